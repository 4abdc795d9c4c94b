//! The end of a zip file: one end record without comment, the zip64 records before it where there are any.

use super::ArchiveError;
use super::zip::{ambiguous, read, u16_at, u32_at, u64_at};
use crate::upload::spool::Spooled;

/// Where the central directory lies.
pub(super) struct Directory {
    pub(super) at: u64,
    pub(super) size: u64,
    pub(super) entries: u64,
}

/// Finds the central directory: right before the end record, which is the last thing in the file.
pub(super) fn find_directory(content: &Spooled) -> Result<Directory, ArchiveError> {
    check_only_end(content)?;
    let end_at = content.len() - END_SIZE;
    let end = read(content, end_at, END_SIZE as usize)?;
    let entries = u64::from(u16_at(&end, 10));
    if end[4..8] != [0; 4] || u16_at(&end, 8) != u16_at(&end, 10) {
        return Err(ambiguous("it is split over several disks"));
    }
    let small = Directory { at: u32_at(&end, 16).into(), size: u32_at(&end, 12).into(), entries };
    let (directory, behind) = match zip64_end(content, end_at)? {
        Some((large, at)) if agrees(&small, &large) => (large, at),
        Some(_) => return Err(ambiguous("its two end records differ")),
        None => (small, end_at),
    };
    if directory.at.checked_add(directory.size) != Some(behind) {
        return Err(ambiguous("its central directory is not where it belongs"));
    }
    Ok(directory)
}

/// An end record may carry a comment, and what looks like one may stand in it: of several, each tool takes another.
fn check_only_end(content: &Spooled) -> Result<(), ArchiveError> {
    match end_records(content)?[..] {
        [only] if only == content.len() - END_SIZE => Ok(()),
        [] => Err(ambiguous("it has no end record")),
        _ => Err(ambiguous("it has a comment or a second end record")),
    }
}

/// Where a zip reader might see an end record: anywhere in the last 64 KiB, with a comment up to the end.
pub(super) fn end_records(content: &Spooled) -> Result<Vec<u64>, ArchiveError> {
    let size = content.len().min(END_SIZE + u64::from(u16::MAX));
    let start = content.len() - size;
    let tail = read(content, start, usize::try_from(size).unwrap_or(0))?;
    let ends_the_file = |at: &usize| {
        tail.len() - at >= END_SIZE as usize
            && usize::from(u16_at(&tail, at + 20)) == tail.len() - at - END_SIZE as usize
    };
    Ok(memchr::memmem::find_iter(&tail, END).filter(ends_the_file).map(|at| start + at as u64).collect())
}

/// The zip64 end record and where it begins, if there is one.
fn zip64_end(content: &Spooled, end_at: u64) -> Result<Option<(Directory, u64)>, ArchiveError> {
    let Some(locator_at) = end_at.checked_sub(ZIP64_LOCATOR_SIZE) else { return Ok(None) };
    let locator = read(content, locator_at, ZIP64_LOCATOR_SIZE as usize)?;
    if !locator.starts_with(ZIP64_LOCATOR) {
        return Ok(None);
    }
    let wrong = || ambiguous("its zip64 end record is not where it belongs");
    let record_at = locator_at.checked_sub(ZIP64_END_SIZE).ok_or_else(wrong)?;
    let record = read(content, record_at, ZIP64_END_SIZE as usize)?;
    let in_place = u64_at(&locator, 8) == record_at
        && u32_at(&locator, 4) == 0
        && record.starts_with(ZIP64_END)
        && u64_at(&record, 4) == ZIP64_END_SIZE - 12
        && record[16..24] == [0; 8]
        && u64_at(&record, 24) == u64_at(&record, 32);
    if !in_place {
        return Err(wrong());
    }
    let directory =
        Directory { at: u64_at(&record, 48), size: u64_at(&record, 40), entries: u64_at(&record, 32) };
    Ok(Some((directory, record_at)))
}

/// Each value of the short record is that of the long one, or says that it does not fit.
fn agrees(small: &Directory, large: &Directory) -> bool {
    let same = |small: u64, large: u64, full: u64| small == large || small == full;
    same(small.at, large.at, u32::MAX.into())
        && same(small.size, large.size, u32::MAX.into())
        && same(small.entries, large.entries, u16::MAX.into())
}

const END: &[u8] = b"PK\x05\x06";
const ZIP64_END: &[u8] = b"PK\x06\x06";
const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";

const END_SIZE: u64 = 22;
const ZIP64_END_SIZE: u64 = 56;
const ZIP64_LOCATOR_SIZE: u64 = 20;
