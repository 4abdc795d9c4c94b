//! The `PKG-INFO` of an sdist.

use std::io;

use super::ArchiveError;
use super::gzip::{Inflated, Trouble};
use super::tar_entry::{self, EntryKind};
use crate::upload::limits::UploadLimits;
use crate::upload::spool::Spooled;

/// The bytes of `PKG-INFO`, directly in the one top-level directory.
///
/// The whole archive is read: a second `PKG-INFO` behind the first would win when it is unpacked.
pub(super) fn metadata(content: &Spooled, limits: &UploadLimits) -> Result<Vec<u8>, ArchiveError> {
    let trouble = Trouble::default();
    let mut archive = tar::Archive::new(Inflated::new(content, limits, &trouble)?);
    let mut walk = Walk { limits, entries: 0, top: None, next_path: None, metadata: None };
    for entry in archive.entries().map_err(|error| trouble.explain(error))?.raw(true) {
        let mut entry = entry.map_err(|error| trouble.explain(error))?;
        walk.take(&mut entry, &trouble)?;
    }
    if walk.next_path.is_some() {
        return Err(ambiguous("it ends within an entry"));
    }
    if !archive.into_inner().expect_end().map_err(|error| trouble.explain(error))? {
        return Err(ambiguous("there is data behind its end"));
    }
    walk.metadata.ok_or(ArchiveError::NoMetadata("PKG-INFO"))
}

/// What has been seen on the way through the archive.
struct Walk<'a> {
    limits: &'a UploadLimits,
    entries: usize,
    /// The top-level directory.
    top: Option<Vec<u8>>,
    /// A path for the next entry that was too long for its header.
    next_path: Option<Vec<u8>>,
    metadata: Option<Vec<u8>>,
}

type Entry<'a, 'b> = tar::Entry<'a, Inflated<'b>>;

impl Walk<'_> {
    fn take(&mut self, entry: &mut Entry<'_, '_>, trouble: &Trouble) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > self.limits.archive_entries {
            return Err(too_large(format!("{} files", self.limits.archive_entries)));
        }
        let (kind, name) = tar_entry::read_header(entry.header().as_bytes()).map_err(ambiguous)?;
        let read = |entry: &mut Entry<'_, '_>| read_whole(entry, self.limits.metadata, trouble);
        match kind {
            EntryKind::LongName => {
                let path = tar_entry::long_name(read(entry)?).map_err(ambiguous)?;
                self.set_next_path(path)
            }
            EntryKind::Attributes => match tar_entry::path_attribute(&read(entry)?).map_err(ambiguous)? {
                Some(path) => self.set_next_path(path),
                None => Ok(()),
            },
            EntryKind::GlobalAttributes => {
                match tar_entry::path_attribute(&read(entry)?).map_err(ambiguous)? {
                    None if self.next_path.is_none() => Ok(()),
                    _ => Err(ambiguous("an attribute gives many files one path")),
                }
            }
            EntryKind::LongLink => Ok(()),
            EntryKind::File | EntryKind::Directory | EntryKind::Link => {
                let path = self.next_path.take().unwrap_or(name);
                if self.is_metadata(&path, kind)? {
                    self.metadata = Some(read_whole(entry, self.limits.metadata, trouble)?);
                }
                Ok(())
            }
        }
    }

    fn set_next_path(&mut self, path: Vec<u8>) -> Result<(), ArchiveError> {
        match self.next_path.replace(path) {
            None => Ok(()),
            Some(_) => Err(ambiguous("a file has two paths")),
        }
    }

    /// Whether this is `PKG-INFO`. Also checks that there is one top-level directory with everything in it.
    fn is_metadata(&mut self, path: &[u8], kind: EntryKind) -> Result<bool, ArchiveError> {
        let parts = parts(path)?;
        let Some((top, inner)) = parts.split_first() else {
            return if kind == EntryKind::Directory {
                Ok(false)
            } else {
                Err(ambiguous("a file has no name"))
            };
        };
        if *self.top.get_or_insert_with(|| top.to_vec()) != **top {
            return Err(ambiguous("it has more than one top-level directory"));
        }
        match inner {
            [] if kind != EntryKind::Directory => {
                Err(ambiguous("it has a file beside its top-level directory"))
            }
            // Case is ignored as some file systems do: the later of two would win when they are unpacked.
            [name, ..] if name.eq_ignore_ascii_case(b"PKG-INFO") => {
                if kind != EntryKind::File
                    || inner.len() > 1
                    || *name != b"PKG-INFO"
                    || self.metadata.is_some()
                {
                    return Err(ambiguous("PKG-INFO stands in it twice, or is not a plain file"));
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// The parts of a path, as they count when it is unpacked.
fn parts(path: &[u8]) -> Result<Vec<&[u8]>, ArchiveError> {
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    let plain = !path.starts_with(b"/")
        && !parts.contains(&&b".."[..])
        && !path.iter().any(|b| b.is_ascii_control() || *b == b'\\');
    if plain { Ok(parts) } else { Err(ambiguous("a file name in it is not a plain relative path")) }
}

fn read_whole(entry: &mut Entry<'_, '_>, limit: usize, trouble: &Trouble) -> Result<Vec<u8>, ArchiveError> {
    let size = entry.size();
    tar_entry::read_small(entry, size, limit)
        .ok_or_else(|| too_large(format!("{limit} bytes of PKG-INFO")))?
        .and_then(
            |data| {
                if data.len() as u64 == size { Ok(data) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            },
        )
        .map_err(|error| trouble.explain(error))
}

fn ambiguous(problem: &'static str) -> ArchiveError {
    ArchiveError::Ambiguous { format: "sdist", problem }
}

fn too_large(limit: String) -> ArchiveError {
    ArchiveError::TooLarge { format: "sdist", limit }
}
