//! What the archive says about itself: Pulp stores by the metadata inside and looks at nothing else.
//!
//! Wheels and sdists are opened just far enough, and only if every tool that opens them sees the same files.

mod gzip;
mod metadata;
mod sdist;
mod tar_entry;
mod wheel;
mod zip;
mod zip_end;

use std::io;

use super::file_name::Kind;
use super::limits::UploadLimits;
use super::release::Release;
use super::spool::Spooled;
use crate::names::printable;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not the format that the file name promises.
    #[error("the file is not a {0}, although its name says so; build and upload it again")]
    NotA(&'static str),
    /// Tools would disagree about the files in it, or it is damaged.
    #[error("the {format} cannot be read in only one way ({problem}); rebuild it with a current build tool")]
    Ambiguous {
        /// wheel or sdist.
        format: &'static str,
        /// What was found.
        problem: &'static str,
    },
    /// Compressed data that cannot be inflated.
    #[error("the {format} is damaged ({problem}); build and upload it again", problem = printable(.problem))]
    Damaged {
        /// wheel or sdist.
        format: &'static str,
        /// What the decoder says.
        problem: String,
    },
    /// It inflates to more than it should, or holds more files.
    #[error("the {format} holds more than the gateway inspects ({limit}); make the package smaller")]
    TooLarge {
        /// wheel or sdist.
        format: &'static str,
        /// The limit that was reached.
        limit: String,
    },
    /// `METADATA` or `PKG-INFO` is not where it belongs.
    #[error("the archive has no {0}; rebuild it with a current build tool")]
    NoMetadata(&'static str),
    /// `METADATA` or `PKG-INFO` cannot be read in only one way.
    #[error(
        "the {file} in the archive is unusable: {problem}; rebuild the package with a current build tool"
    )]
    Metadata {
        /// `METADATA` or `PKG-INFO`.
        file: &'static str,
        /// What was found.
        problem: &'static str,
    },
    /// Our own disk failed.
    #[error("the gateway cannot read the stored upload back; try again later")]
    Spool(#[source] io::Error),
}

/// The release that the archive names, and where it does. `claimed` is what the form says.
pub(super) fn release(
    kind: Kind,
    content: &Spooled,
    claimed: &Release,
    limits: &UploadLimits,
) -> Result<(&'static str, Release), ArchiveError> {
    match kind {
        Kind::Wheel => {
            let text = wheel::metadata(content, claimed, limits)?;
            Ok(("METADATA in the wheel", metadata::release("METADATA", &text)?))
        }
        Kind::Sdist => {
            let text = sdist::metadata(content, limits)?;
            Ok(("PKG-INFO in the sdist", metadata::release("PKG-INFO", &text)?))
        }
    }
}
