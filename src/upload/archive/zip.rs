//! The layout of a zip file, accepted only if it leaves no byte unaccounted for.
//!
//! A zip has two tables of contents: the local headers between the files, and the central directory at the end.
//! Readers that stream see the first, the others the second. Archives that hide files use gaps, overlaps, duplicate
//! names or a second end record; none of these is left when the two tables match and the file is
//! `(local header, data, [descriptor])* central directory, [zip64 records], end record` without a gap.
//! Layout: [APPNOTE](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT) 4.3.

use std::collections::HashSet;
use std::io::Read;

use super::ArchiveError;
use super::zip_end;
use crate::upload::limits::UploadLimits;
use crate::upload::spool::Spooled;

/// A file in a zip, as both tables describe it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    flags: u16,
    method: u16,
    crc32: u32,
    packed: u64,
    size: u64,
    header_at: u64,
    data_at: u64,
}

/// The files of a zip, in the order in which they lie in it.
pub(super) fn entries(content: &Spooled, limits: &UploadLimits) -> Result<Vec<Entry>, ArchiveError> {
    if content.len() < 4 || !read(content, 0, 4)?.starts_with(LOCAL) {
        return Err(ArchiveError::NotA("wheel"));
    }
    let directory = zip_end::find_directory(content)?;
    let too_large = |limit| ArchiveError::TooLarge { format: "wheel", limit };
    if directory.entries > limits.archive_entries as u64 {
        return Err(too_large(format!("{} files", limits.archive_entries)));
    }
    if directory.size > limits.archive_directory as u64 {
        return Err(too_large(format!("{} bytes of file names", limits.archive_directory)));
    }
    let table = read(content, directory.at, usize::try_from(directory.size).unwrap_or(usize::MAX))?;
    let mut entries = read_directory(&table, directory.entries)?;
    check_names(&entries)?;
    entries.sort_by_key(|entry| entry.header_at);
    let mut at = 0;
    for entry in &mut entries {
        if entry.header_at != at {
            return Err(ambiguous("there is data between its files"));
        }
        at = check_local(content, entry)?;
    }
    if at != directory.at {
        return Err(ambiguous("there is data behind its files"));
    }
    Ok(entries)
}

/// The inflated bytes of one file, checked against its size and CRC.
pub(super) fn extract(content: &Spooled, entry: &Entry, limit: usize) -> Result<Vec<u8>, ArchiveError> {
    if entry.size > limit as u64 || entry.packed > limit as u64 {
        return Err(ArchiveError::TooLarge { format: "wheel", limit: format!("{limit} bytes of METADATA") });
    }
    let packed = read(content, entry.data_at, usize::try_from(entry.packed).unwrap_or(usize::MAX))?;
    let data = if entry.method == STORED { packed } else { inflate(&packed, entry.size)? };
    let mut crc = flate2::Crc::new();
    crc.update(&data);
    if data.len() as u64 == entry.size && crc.sum() == entry.crc32 {
        Ok(data)
    } else {
        Err(ambiguous("the size or checksum of a file is wrong"))
    }
}

/// Inflates to at most one byte more than was promised. All of the input has to be used.
fn inflate(packed: &[u8], size: u64) -> Result<Vec<u8>, ArchiveError> {
    let mut decoder = flate2::bufread::DeflateDecoder::new(packed);
    let mut data = Vec::new();
    (&mut decoder)
        .take(size + 1)
        .read_to_end(&mut data)
        .map_err(|error| ArchiveError::Damaged { format: "wheel", problem: error.to_string() })?;
    if decoder.total_in() == packed.len() as u64 {
        Ok(data)
    } else {
        Err(ambiguous("a file has data behind its end"))
    }
}

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";

const LOCAL_SIZE: u64 = 30;
const CENTRAL_SIZE: usize = 46;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const HAS_DESCRIPTOR: u16 = 1 << 3;
const PATCHED: u16 = 1 << 5;

const ZIP64_EXTRA: u16 = 1;
/// Info-ZIP's Unicode path: a second name for the same file.
const UNICODE_PATH_EXTRA: u16 = 0x7075;

pub(super) fn ambiguous(problem: &'static str) -> ArchiveError {
    ArchiveError::Ambiguous { format: "wheel", problem }
}

pub(super) fn read(content: &Spooled, at: u64, size: usize) -> Result<Vec<u8>, ArchiveError> {
    if at.checked_add(size as u64).is_none_or(|end| end > content.len()) {
        return Err(ambiguous("a record lies outside of the file"));
    }
    let mut buffer = vec![0; size];
    content.read_exact_at(at, &mut buffer).map_err(ArchiveError::Spool)?;
    Ok(buffer)
}

fn read_directory(table: &[u8], expected: u64) -> Result<Vec<Entry>, ArchiveError> {
    let mut entries = Vec::new();
    let mut rest = table;
    while !rest.is_empty() {
        let (entry, size) =
            central_entry(rest).ok_or_else(|| ambiguous("its central directory is malformed"))?;
        check_entry(&entry)?;
        entries.push(entry);
        rest = &rest[size..];
    }
    if entries.len() as u64 == expected {
        Ok(entries)
    } else {
        Err(ambiguous("its number of files is wrong"))
    }
}

/// One record of the central directory and its size.
fn central_entry(table: &[u8]) -> Option<(Entry, usize)> {
    let head = table.get(..CENTRAL_SIZE)?;
    let (name_size, extra_size, comment_size) =
        (usize::from(u16_at(head, 28)), usize::from(u16_at(head, 30)), usize::from(u16_at(head, 32)));
    let size = CENTRAL_SIZE + name_size + extra_size + comment_size;
    let record = table.get(..size)?;
    let on_this_disk = u16_at(head, 34) == 0;
    if !head.starts_with(CENTRAL) || !on_this_disk {
        return None;
    }
    let extra = &record[CENTRAL_SIZE + name_size..CENTRAL_SIZE + name_size + extra_size];
    let mut wide = Zip64::find(extra)?;
    let entry = Entry {
        name: record[CENTRAL_SIZE..CENTRAL_SIZE + name_size].to_vec(),
        flags: u16_at(head, 8),
        method: u16_at(head, 10),
        crc32: u32_at(head, 16),
        size: wide.widen(u32_at(head, 24))?,
        packed: wide.widen(u32_at(head, 20))?,
        header_at: wide.widen(u32_at(head, 42))?,
        data_at: 0,
    };
    wide.0.is_empty().then_some((entry, size))
}

fn check_entry(entry: &Entry) -> Result<(), ArchiveError> {
    if entry.flags & (ENCRYPTED | PATCHED) != 0 {
        return Err(ambiguous("a file in it is encrypted"));
    }
    match entry.method {
        STORED if entry.packed != entry.size => Err(ambiguous("a stored file has two sizes")),
        STORED | DEFLATED => Ok(()),
        _ => Err(ambiguous("a file in it is compressed with something else than deflate")),
    }
}

/// Names that extract to the same path, or to another one than they show, are refused.
fn check_names(entries: &[Entry]) -> Result<(), ArchiveError> {
    let mut seen = HashSet::new();
    for entry in entries {
        let path = entry.name.strip_suffix(b"/").unwrap_or(&entry.name);
        let plain = path.split(|b| *b == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
            && !path.iter().any(|b| b.is_ascii_control() || *b == b'\\');
        if !plain {
            return Err(ambiguous("a file name in it is not a plain relative path"));
        }
        if !seen.insert(path) {
            return Err(ambiguous("a file name stands in it twice"));
        }
    }
    Ok(())
}

/// Compares the local header with the central one. Sets where the data begins, returns where the next file does.
fn check_local(content: &Spooled, entry: &mut Entry) -> Result<u64, ArchiveError> {
    let differs = || ambiguous("its two tables of contents differ");
    let head = read(content, entry.header_at, LOCAL_SIZE as usize)?;
    let (name_size, extra_size) = (usize::from(u16_at(&head, 26)), usize::from(u16_at(&head, 28)));
    let rest = read(content, entry.header_at + LOCAL_SIZE, name_size + extra_size)?;
    let (name, extra) = rest.split_at(name_size);
    let same = head.starts_with(LOCAL)
        && name == entry.name
        && u16_at(&head, 6) == entry.flags
        && u16_at(&head, 8) == entry.method;
    let mut wide = Zip64::find(extra).ok_or_else(differs)?;
    let is_wide = !wide.0.is_empty();
    let size = wide.widen(u32_at(&head, 22)).ok_or_else(differs)?;
    let packed = wide.widen(u32_at(&head, 18)).ok_or_else(differs)?;
    let described = (u32_at(&head, 14), packed, size) == (entry.crc32, entry.packed, entry.size);
    let later = entry.flags & HAS_DESCRIPTOR != 0;
    let left_open = later && (u32_at(&head, 14), packed, size) == (0, 0, 0);
    if !same || !(described || left_open) {
        return Err(differs());
    }
    entry.data_at = entry.header_at + LOCAL_SIZE + rest.len() as u64;
    let end = entry.data_at.checked_add(entry.packed).ok_or_else(differs)?;
    if later { check_descriptor(content, entry, end, is_wide) } else { Ok(end) }
}

/// The sizes and CRC behind the data, where they were not known before it. The signature is optional, and the sizes
/// have 64 bits if the local header says so.
fn check_descriptor(content: &Spooled, entry: &Entry, at: u64, is_wide: bool) -> Result<u64, ArchiveError> {
    let mut expected = entry.crc32.to_le_bytes().to_vec();
    for size in [entry.packed, entry.size] {
        let bytes = size.to_le_bytes();
        expected.extend_from_slice(if is_wide { &bytes } else { &bytes[..4] });
    }
    let signed = [DESCRIPTOR, &expected].concat();
    for form in [signed, expected] {
        if read(content, at, form.len())? == form {
            return Ok(at + form.len() as u64);
        }
    }
    Err(ambiguous("the descriptor of a file is wrong"))
}

/// The 64-bit values of an extra field, handed out in the order in which the short ones say that they do not fit.
struct Zip64<'a>(&'a [u8]);

impl<'a> Zip64<'a> {
    /// Walks the extra fields; `None` if they are malformed or give the file a second name.
    fn find(mut extra: &'a [u8]) -> Option<Self> {
        let mut found = None;
        while !extra.is_empty() {
            let (head, rest) = extra.split_at_checked(4)?;
            let (value, rest) = rest.split_at_checked(u16_at(head, 2).into())?;
            match u16_at(head, 0) {
                UNICODE_PATH_EXTRA => return None,
                ZIP64_EXTRA if found.replace(value).is_some() => return None,
                _ => {}
            }
            extra = rest;
        }
        Some(Self(found.unwrap_or_default()))
    }

    fn widen(&mut self, short: u32) -> Option<u64> {
        if short != u32::MAX {
            return Some(short.into());
        }
        let (value, rest) = self.0.split_at_checked(8)?;
        self.0 = rest;
        Some(u64_at(value, 0))
    }
}

/// A little-endian number. Callers have sized the slice.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
