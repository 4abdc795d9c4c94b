//! Why an upload is refused, in the words of the person whose job uploads.

use std::io;

use super::archive::ArchiveError;
use super::fields::FieldError;
use super::file_name::BadFileName;
use super::media_type::MediaTypeError;
use super::part::PartError;
use super::release::{BadVersion, Release};
use crate::names::{BadProjectName, printable};

/// Why an upload is refused. The text is one printable line: twine, pdm, hatch and flit show nothing else.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The `Content-Type` of the request is not that of a form we read.
    #[error(transparent)]
    MediaType(#[from] MediaTypeError),
    /// The request body is longer than the configured limit.
    #[error(
        "the upload is larger than the {limit} bytes this gateway accepts; make the package smaller or ask for a higher limits.upload_size"
    )]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body does not begin with the boundary that its `Content-Type` announced.
    #[error(
        "the body does not begin with the boundary of its Content-Type; send the form without anything before the first part"
    )]
    Preamble,
    /// Something other than a line end or `--` follows a boundary.
    #[error(
        "a boundary line is not followed by CRLF or `--`; end each boundary line with CRLF and nothing else"
    )]
    Delimiter,
    /// Bytes follow the closing boundary.
    #[error("the body goes on after the closing boundary; send nothing after the last part")]
    Epilogue,
    /// The closing boundary has not been seen.
    #[error("the body ends before the closing boundary; the upload was cut off, send it again")]
    Unfinished,
    /// More parts than a form needs.
    #[error("the form has more than {limit} parts; send fewer metadata fields")]
    TooManyParts {
        /// The limit.
        limit: usize,
    },
    /// A part's header lines are not what an uploader sends.
    #[error(transparent)]
    Part(#[from] PartError),
    /// A form field is missing, repeated, or has no usable value.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The form field `name` is not a project name.
    #[error("the form field `name` cannot be used: {0}; correct the name in the package's own configuration")]
    Name(#[from] BadProjectName),
    /// The form field `version` is not a version.
    #[error("the form field `version` cannot be used: {0}")]
    Version(#[from] BadVersion),
    /// The name of the package file cannot be used.
    #[error(transparent)]
    FileName(#[from] BadFileName),
    /// Two places name different releases.
    #[error("the form says {form} but {place} says {other}; upload each file with its own name and version")]
    Disagreement {
        /// The release in the form fields.
        form: Release,
        /// Where the other release was read: the file name, `METADATA` or `PKG-INFO`.
        place: &'static str,
        /// The release that was read there.
        other: Release,
    },
    /// The form field `filetype` and the extension of the file differ.
    #[error("the form field `filetype` is `{}` but the file is a {expected}; send `filetype={expected}`", printable(.got))]
    FileType {
        /// What the form says.
        got: String,
        /// What belongs to the extension.
        expected: &'static str,
    },
    /// A declared digest is not the digest of the file that arrived.
    #[error(
        "the {field} of the form is not the digest of the file that arrived; it was damaged or changed after the digest was taken, build and upload it again"
    )]
    Digest {
        /// The form field.
        field: &'static str,
    },
    /// The package file cannot be read in exactly one way, or its metadata cannot be found.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Our own disk failed.
    #[error("the gateway cannot store the upload for checking; try again later")]
    Spool(#[source] io::Error),
}

impl UploadError {
    /// The body is over the size limit (413).
    pub const fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }

    /// The body is not a form at all (415).
    pub const fn is_unsupported_media_type(&self) -> bool {
        matches!(self, Self::MediaType(MediaTypeError::NotAForm(_)))
    }

    /// Our disk failed, not the client.
    pub const fn is_spool_failure(&self) -> bool {
        matches!(self, Self::Spool(_) | Self::Archive(ArchiveError::Spool(_)))
    }

    /// Our disk failed because it is full.
    pub fn is_disk_full(&self) -> bool {
        let (Self::Spool(error) | Self::Archive(ArchiveError::Spool(error))) = self else { return false };
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}
