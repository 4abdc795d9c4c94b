//! The headers of a tar file, as far as tools that unpack sdists agree about them.

use std::io::Read;

use super::ArchiveError;
use crate::upload::spool::Spooled;

/// What an entry is. Everything else (sparse files, devices) is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    Link,
    /// The next entry's path: GNU's long name.
    LongName,
    /// The next entry's link target, which is of no interest.
    LongLink,
    /// Attributes of the next entry (PAX).
    Attributes,
    /// Attributes of all that follow (PAX); `git archive` writes a comment.
    GlobalAttributes,
}

/// The kind, name and size in a header block.
pub(super) fn read_header(block: &[u8; 512]) -> Result<(EntryKind, Vec<u8>), &'static str> {
    let kind = match block[156] {
        b'0' | 0 => EntryKind::File,
        b'5' => EntryKind::Directory,
        b'1' | b'2' => EntryKind::Link,
        b'L' => EntryKind::LongName,
        b'K' => EntryKind::LongLink,
        b'x' => EntryKind::Attributes,
        b'g' => EntryKind::GlobalAttributes,
        _ => return Err("it holds something other than files, directories and links"),
    };
    let size = octal(&block[124..136]).ok_or("the size of a file is not an octal number")?;
    let has_data = !matches!(kind, EntryKind::Directory | EntryKind::Link);
    if size > 0 && !has_data {
        return Err("a directory or link has a size"); // Python skips no data here, others do
    }
    let name = name(block)?;
    if kind == EntryKind::File && name.ends_with(b"/") {
        return Err("a file is named like a directory");
    }
    Ok((kind, name))
}

/// Whether a file that should be something else also begins like a tar.
pub(super) fn begins_a_tar(content: &Spooled) -> Result<bool, ArchiveError> {
    let mut block = [0; 512];
    if content.len() < block.len() as u64 {
        return Ok(false);
    }
    content.read_exact_at(0, &mut block).map_err(ArchiveError::Spool)?;
    let others = block[..148].iter().chain(&block[156..]).map(|b| u64::from(*b)).sum::<u64>();
    Ok(octal(&block[148..156]) == Some(others + 8 * u64::from(b' ')))
}

/// Blanks, octal digits, and then nothing but NUL and blanks. Readers differ on everything else.
fn octal(field: &[u8]) -> Option<u64> {
    let text = str::from_utf8(field).ok()?.trim_start_matches(' ').trim_end_matches([' ', '\0']);
    let digits = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    digits.then(|| u64::from_str_radix(text, 8).ok()).flatten()
}

/// The path in a header. Python adds the prefix whatever the format; where the format has none, it has to be empty.
fn name(block: &[u8; 512]) -> Result<Vec<u8>, &'static str> {
    let (name, prefix) = (until_nul(&block[..100]), until_nul(&block[345..500]));
    let is_ustar = block[257..265] == *b"ustar\x0000";
    match (prefix.is_empty(), is_ustar) {
        (true, _) => Ok(name.to_vec()),
        (false, true) => Ok([prefix, b"/", name].concat()),
        (false, false) => Err("a header block mixes two tar formats"),
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// The path in a GNU long name entry.
pub(super) fn long_name(mut data: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if data.last() == Some(&0) {
        data.pop();
    }
    if data.is_empty() || data.contains(&0) { Err("a long file name is malformed") } else { Ok(data) }
}

/// The path in PAX attributes, if there is one. Attributes that change which bytes belong to a file are refused.
pub(super) fn path_attribute(mut data: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut path = None;
    while !data.is_empty() {
        let (key, value, rest) = attribute(data).ok_or("an attribute is malformed")?;
        match key {
            b"path" if path.replace(value.to_vec()).is_some() => return Err("a file has two paths"),
            b"size" | b"hdrcharset" => return Err("an attribute changes how a file is read"),
            _ if key.starts_with(b"GNU.sparse") => return Err("it holds a sparse file"),
            _ => {}
        }
        data = rest;
    }
    Ok(path)
}

/// One `"length key=value\n"`, and what follows it.
fn attribute(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = data.iter().take(20).position(|b| *b == b' ')?;
    let digits = str::from_utf8(&data[..blank]).ok()?;
    if digits.starts_with(['0', '+']) {
        return None;
    }
    let (record, rest) = data.split_at_checked(digits.parse().ok()?)?;
    let record = record.strip_suffix(b"\n")?.get(blank + 1..)?;
    let equals = record.iter().position(|b| *b == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty() && !value.contains(&0)).then_some((key, value, rest))
}

/// Reads a small entry whole.
pub(super) fn read_small(entry: &mut impl Read, size: u64, limit: usize) -> Option<std::io::Result<Vec<u8>>> {
    if size > limit as u64 {
        return None;
    }
    let mut data = Vec::new();
    Some(entry.read_to_end(&mut data).map(|_| data))
}
