//! The `METADATA` of a wheel.

use super::ArchiveError;
use super::tar_entry;
use super::zip::{self, Entry};
use crate::upload::limits::UploadLimits;
use crate::upload::release::Release;
use crate::upload::spool::Spooled;

/// The bytes of `METADATA`, from the only `.dist-info` directory, which has to be that of the claimed release.
pub(super) fn metadata(
    content: &Spooled,
    claimed: &Release,
    limits: &UploadLimits,
) -> Result<Vec<u8>, ArchiveError> {
    let entries = zip::entries(content, limits)?;
    if tar_entry::begins_a_tar(content)? {
        return Err(ambiguous("it is a tar file as well"));
    }
    let directory = dist_info(&entries)?;
    if names(&directory).as_ref() != Some(claimed) {
        return Err(ambiguous("its .dist-info directory is that of another release"));
    }
    let path = format!("{directory}/METADATA");
    let same_path = |entry: &&Entry| entry.name.eq_ignore_ascii_case(path.as_bytes());
    let mut found = entries.iter().filter(same_path);
    match (found.next(), found.next()) {
        (Some(only), None) if only.name == path.as_bytes() => zip::extract(content, only, limits.metadata),
        (None, _) => Err(ArchiveError::NoMetadata("METADATA")),
        _ => Err(ambiguous("METADATA stands in it in capitals and small letters")),
    }
}

/// The one top-level directory whose name ends with `.dist-info`. Vendored packages keep theirs further down.
fn dist_info(entries: &[Entry]) -> Result<String, ArchiveError> {
    const SUFFIX: &[u8] = b".dist-info";
    let mut only: Option<&[u8]> = None;
    for entry in entries {
        let top = entry.name.split(|b| *b == b'/').next().unwrap_or_default();
        let ending = &top[top.len().saturating_sub(SUFFIX.len())..];
        if ending.eq_ignore_ascii_case(SUFFIX) && *only.get_or_insert(top) != top {
            return Err(ambiguous("it has two .dist-info directories"));
        }
    }
    let directory = only.ok_or(ArchiveError::NoMetadata(".dist-info directory"))?;
    String::from_utf8(directory.to_vec())
        .map_err(|_| ambiguous("its .dist-info directory is not named in ASCII"))
}

fn names(directory: &str) -> Option<Release> {
    let (name, version) = directory.strip_suffix(".dist-info")?.rsplit_once('-')?;
    Release::parse(name, version)
}

fn ambiguous(problem: &'static str) -> ArchiveError {
    ArchiveError::Ambiguous { format: "wheel", problem }
}
