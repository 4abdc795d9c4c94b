//! The whole upload, when all of it is there: do form, file name, archive and digests tell one story?

use pep440_rs::Version;

use super::UploadError;
use super::archive;
use super::digests;
use super::fields::{FieldError, Form};
use super::file_name::{FileName, Kind};
use super::limits::UploadLimits;
use super::rebuild;
use super::release::{Release, parse_version};
use super::spool::Spooled;
use crate::names::ProjectName;

/// An upload in which everything agrees. What it says about itself can be decided by.
#[derive(Debug)]
pub struct Upload {
    pub(super) release: Release,
    pub(super) file_name: FileName,
    pub(super) sha256: String,
    /// What is kept of the form, in the order in which it goes on.
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) content: Spooled,
    /// The boundary of the rebuilt body.
    pub(super) boundary: String,
    had_attestations: bool,
}

impl Upload {
    /// The project that every reading gives.
    pub const fn project(&self) -> &ProjectName {
        &self.release.project
    }

    /// The version that every reading gives, as the form spells it.
    pub const fn version(&self) -> &Version {
        &self.release.version
    }

    /// The name of the package file.
    pub fn file_name(&self) -> &str {
        self.file_name.as_str()
    }

    /// Wheel or sdist.
    pub const fn kind(&self) -> Kind {
        self.file_name.kind()
    }

    /// The digest of the package file, in lower-case hexadecimal. Computed here, never copied from the form.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The size of the package file in bytes.
    pub const fn size(&self) -> u64 {
        self.content.len()
    }

    /// Whether the client sent attestations. They are not passed on: these indexes do not keep them.
    pub const fn had_attestations(&self) -> bool {
        self.had_attestations
    }
}

/// Checks what can only be checked in a whole upload: cheap and telling first, the archive last.
pub(super) fn upload(
    form: Form,
    content: Spooled,
    sha256: String,
    limits: &UploadLimits,
) -> Result<Upload, UploadError> {
    check_action(&form)?;
    let release = Release {
        project: form.require("name")?.parse()?,
        version: parse_version(form.require("version")?)?,
    };
    let file_name: FileName = form.content_name()?.parse()?;
    agree(&release, "the file name", file_name.release())?;
    check_file_type(&form, file_name.kind())?;
    check_signature_name(&form, &file_name)?;
    digests::check(&form, &sha256, &content)?;
    let (place, inside) = archive::release(file_name.kind(), &content, &release, limits)?;
    agree(&release, place, &inside)?;
    Ok(Upload {
        release,
        file_name,
        sha256,
        had_attestations: form.had_attestations(),
        fields: form.into_fields(),
        content,
        boundary: rebuild::random_boundary()?,
    })
}

/// pypiserver deletes packages by `:action=remove_pkg` on the same path.
fn check_action(form: &Form) -> Result<(), FieldError> {
    only(":action", form.require(":action")?, "file_upload")?;
    form.get("protocol_version").map_or(Ok(()), |version| only("protocol_version", version, "1"))
}

fn only(field: &'static str, got: &str, expected: &'static str) -> Result<(), FieldError> {
    if got == expected { Ok(()) } else { Err(FieldError::Value { field, got: got.to_owned(), expected }) }
}

fn agree(form: &Release, place: &'static str, other: &Release) -> Result<(), UploadError> {
    if form == other {
        return Ok(());
    }
    Err(UploadError::Disagreement { form: form.clone(), place, other: other.clone() })
}

fn check_file_type(form: &Form, kind: Kind) -> Result<(), UploadError> {
    let expected = kind.file_type();
    match form.get("filetype") {
        Some(got) if got != expected => Err(UploadError::FileType { got: got.to_owned(), expected }),
        _ => Ok(()),
    }
}

fn check_signature_name(form: &Form, file_name: &FileName) -> Result<(), FieldError> {
    match form.signature_name() {
        Some(name) if name.strip_suffix(".asc") != Some(file_name.as_str()) => {
            Err(FieldError::Signature(name.to_owned()))
        }
        _ => Ok(()),
    }
}
