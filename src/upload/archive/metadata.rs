//! The header of `METADATA` and `PKG-INFO`: exactly one name and one version, wherever a reader ends its lines.

use super::ArchiveError;
use crate::upload::release::{Release, parse_version};

/// The release in a metadata file.
pub(super) fn release(file: &'static str, text: &[u8]) -> Result<Release, ArchiveError> {
    let unusable = |problem| ArchiveError::Metadata { file, problem };
    let (name, version) = name_and_version(text).map_err(unusable)?;
    Ok(Release {
        project: name.parse().map_err(|_| unusable("Name is not a project name"))?,
        version: parse_version(version).map_err(|_| unusable("Version is not a version"))?,
    })
}

fn name_and_version(text: &[u8]) -> Result<(&str, &str), &'static str> {
    let text = str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    let header = header_of(text)?;
    let (mut name, mut version) = (None, None);
    let mut previous_counts = true; // the first line continues nothing
    for line in header.lines() {
        if line.starts_with([' ', '\t']) {
            if previous_counts {
                return Err("Name, Version or the first line is continued on a second line");
            }
            continue;
        }
        check_syntax(line)?;
        previous_counts = false;
        for (slot, key) in [(&mut name, "name:"), (&mut version, "version:")] {
            for value in values(line, key) {
                previous_counts = true;
                if slot.replace(value.trim_matches([' ', '\t'])).is_some() {
                    return Err("Name or Version stands there twice");
                }
            }
        }
    }
    name.zip(version).ok_or("Name or Version is missing")
}

/// What stands before the first empty line. Python's reader also ends a line at a CR alone, so there must be none.
fn header_of(text: &str) -> Result<&str, &'static str> {
    let end = match (text.find("\n\n"), text.find("\n\r\n")) {
        (Some(a), Some(b)) => a.min(b) + 1,
        (a, b) => a.or(b).map_or(text.len(), |line_end| line_end + 1),
    };
    let header = &text[..end];
    let bare_cr = header.match_indices('\r').any(|(at, _)| !text[at + 1..].starts_with('\n'));
    if bare_cr || header.contains('\0') { Err("there is a bare CR or NUL in its header") } else { Ok(header) }
}

/// A line that is no header ends the header section for some readers and not for others.
fn check_syntax(line: &str) -> Result<(), &'static str> {
    let key = line.split_once(':').map_or("", |(key, _)| key);
    let well_formed = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
    if well_formed { Ok(()) } else { Err("a line of its header is not of the form `Key: value`") }
}

/// The values of `key` in a line, of which some readers (`str.splitlines`) make several.
fn values<'a>(line: &'a str, key: &'static str) -> impl Iterator<Item = &'a str> {
    const LINE_ENDS: [char; 8] =
        ['\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];
    line.split(LINE_ENDS).filter_map(move |line| {
        let (start, value) = line.split_at_checked(key.len())?;
        start.eq_ignore_ascii_case(key).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_version_are_read_from_the_header_only() {
        for text in [
            "Metadata-Version: 2.4\nName: own\nVersion: 1.0\n\nName: victim\n",
            "Metadata-Version: 2.4\r\nName: own\r\nVersion: 1.0\r\n\r\nVersion: 2\r\n",
            "name:own\nVERSION:\t1.0 \nSummary: Name: victim\nLicense: a\n  Name: victim\n        \n\tb",
            "Name: Own\nVersion: 1.0.0",
            "Name: own\nVersion: 1.0\nSummary: caf\u{e9}\u{c}x\n\nbody\r",
        ] {
            assert_eq!(
                release("METADATA", text.as_bytes()).unwrap().to_string().get(..5),
                Some("own 1"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_second_reading_is_refused() {
        for bad in [
            "",
            "\nName: own\nVersion: 1.0\n",
            "\r\nName: own\nVersion: 1.0\n",
            "Name: own\n",
            "Version: 1.0\n",
            "Name: own\n\nVersion: 1.0\n",
            "Name: own\nName: own\nVersion: 1.0\n",
            "Name: own\nVersion: 1.0\nVersion: 2.0\n",
            "Name: own\nNAME: victim\nVersion: 1.0\n",
            "Name: own\n victim\nVersion: 1.0\n",
            "Name: own\nVersion: 1.0\n\t+x\n",
            " Name: own\nName: own\nVersion: 1.0\n",
            "\u{feff}Name: own\nVersion: 1.0\n",
            "Name : own\nVersion: 1.0\n",
            "Name: own\nVersion: 1.0\nno header\n",
            "From me\nName: own\nVersion: 1.0\n",
            "Name: own\nVersion: 1.0\rName: victim\n",
            "Name: own\nVersion: 1.0\nSummary: x\rName: victim\n",
            "Name: own\nVersion: 1.0\nSummary: x\u{2028}Name: victim\n",
            "Name: own\nVersion: 1.0\nSummary: x\u{c}name: victim\n",
            "Name: own\0\nVersion: 1.0\n",
            "Name: own\nVersion: 1.0\nSummary: \0\n",
            "Name: =?utf-8?q?own?=\nVersion: 1.0\n",
            "Name: own\nVersion: \n",
        ] {
            assert!(release("METADATA", bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(release("METADATA", b"Name: own\nVersion: 1.0\nSummary: \xff\n").is_err());
    }
}
