//! The header lines of one part: what uploaders send, and nothing that two parsers read differently.
//!
//! Refused on purpose, although some RFC allows it: folded lines, `filename*`, backslash escapes, parameters twice or
//! in capitals, part charsets, transfer encodings, nested multiparts. Each of them has made an index store another
//! project than the one a checking proxy saw.

use crate::names::printable;

/// What the header lines of a part say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartHead {
    pub(super) name: String,
    pub(super) filename: Option<String>,
}

/// Why the header lines of a part are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// Longer than the limit.
    #[error("the header of a form part is longer than {limit} bytes; shorten the file name")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A line without colon, a folded line, a control or non-ASCII character.
    #[error("the form part header `{}` is malformed; use ASCII lines of the form `Name: value`", printable(.0))]
    Line(String),
    /// A header that no uploader sends.
    #[error("form parts cannot have the header `{}`; send Content-Disposition and Content-Type only", printable(.0))]
    Unknown(String),
    /// The same header twice.
    #[error("a form part has the header {0} twice; send it once")]
    Repeated(&'static str),
    /// No `Content-Disposition`.
    #[error("a form part has no Content-Disposition; send `form-data; name=\"...\"`")]
    Nameless,
    /// A `Content-Disposition` that parsers read differently.
    #[error("the Content-Disposition `{}` cannot be read in only one way; send `form-data; name=\"...\"` or `form-data; name=\"...\"; filename=\"...\"`", printable(.0))]
    Disposition(String),
    /// A type that changes how a field or a nested form is read.
    #[error("the Content-Type `{}` of a form part cannot be used; leave it out, or send fields as UTF-8 text", printable(.0))]
    Type(String),
    /// base64 or quoted-printable.
    #[error("the Content-Transfer-Encoding `{}` of a form part cannot be used; send the bytes as they are", printable(.0))]
    Encoding(String),
}

/// Reads the lines between a delimiter line and the empty line. `head` has neither of them.
pub(super) fn parse(head: &[u8]) -> Result<PartHead, PartError> {
    let (mut disposition, mut content_type, mut encoding) = (None, None, None);
    for line in lines(head)? {
        let (name, value) = line.split_once(':').ok_or_else(|| PartError::Line(line.to_owned()))?;
        let value = value.trim_start_matches(' ');
        let (known, slot) = match () {
            () if name.eq_ignore_ascii_case("content-disposition") => {
                ("Content-Disposition", &mut disposition)
            }
            () if name.eq_ignore_ascii_case("content-type") => ("Content-Type", &mut content_type),
            () if name.eq_ignore_ascii_case("content-transfer-encoding") => {
                ("Content-Transfer-Encoding", &mut encoding)
            }
            () => return Err(PartError::Unknown(name.to_owned())),
        };
        if slot.replace(value).is_some() {
            return Err(PartError::Repeated(known));
        }
    }
    let head = read_disposition(disposition.ok_or(PartError::Nameless)?)?;
    check_type(content_type, head.filename.is_some())?;
    check_encoding(encoding)?;
    Ok(head)
}

/// CRLF ends a line; a bare CR or LF is a control character like any other.
fn lines(head: &[u8]) -> Result<impl Iterator<Item = &str>, PartError> {
    let malformed = || PartError::Line(String::from_utf8_lossy(head).into_owned());
    let text = str::from_utf8(head).map_err(|_| malformed())?;
    let clean = |line: &str| line.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if text.split("\r\n").all(clean) { Ok(text.split("\r\n")) } else { Err(malformed()) }
}

fn read_disposition(text: &str) -> Result<PartHead, PartError> {
    disposition(text).ok_or_else(|| PartError::Disposition(text.to_owned()))
}

/// `form-data; name=…` with at most one `filename=…` before or behind it.
fn disposition(text: &str) -> Option<PartHead> {
    let (mut name, mut filename) = (None, None);
    let mut rest = text.strip_prefix("form-data")?;
    while !rest.is_empty() {
        let (key, after) = rest.strip_prefix(';')?.trim_start_matches(' ').split_once('=')?;
        let slot = match key {
            "name" => &mut name,
            "filename" => &mut filename,
            _ => return None,
        };
        let value;
        (value, rest) = parameter_value(after)?;
        if slot.replace(value.to_owned()).is_some() {
            return None;
        }
    }
    Some(PartHead { name: name?, filename })
}

/// A quoted or bare value and what follows it. A backslash is an escape to some and a character to others.
fn parameter_value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"')?;
        return (!value.contains('\\')).then_some((value, rest));
    }
    let bare = |b: u8| b.is_ascii_alphanumeric() || b"_:.-".contains(&b);
    let end = text.bytes().position(|b| !bare(b)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn check_type(content_type: Option<&str>, is_file: bool) -> Result<(), PartError> {
    let Some(text) = content_type else { return Ok(()) };
    let fine = if is_file { is_simple_type(text) } else { is_plain_utf8(text) };
    if fine { Ok(()) } else { Err(PartError::Type(text.to_owned())) }
}

/// The type of a file is dropped, so anything goes that cannot make a parser descend into it.
fn is_simple_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let nests = |kind: &str| kind.eq_ignore_ascii_case("multipart") || kind.eq_ignore_ascii_case("message");
    text.split_once('/').is_some_and(|(kind, rest)| token(kind) && token(rest) && !nests(kind))
}

/// WebOb decodes a field with any codec its part names, utf-7 included.
fn is_plain_utf8(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let Some((media_type, charset)) = text.split_once(';') else { return text == "text/plain" };
    let charset = charset.trim_start_matches(' ').strip_prefix("charset=").unwrap_or_default();
    media_type == "text/plain" && matches!(charset, "utf-8" | "\"utf-8\"" | "us-ascii" | "\"us-ascii\"")
}

fn check_encoding(encoding: Option<&str>) -> Result<(), PartError> {
    let Some(text) = encoding else { return Ok(()) };
    let identity = ["7bit", "8bit", "binary"].iter().any(|name| text.eq_ignore_ascii_case(name));
    if identity { Ok(()) } else { Err(PartError::Encoding(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn accept(head: &str, name: &str, filename: Option<&str>) {
        let expected = PartHead { name: name.to_owned(), filename: filename.map(str::to_owned) };
        assert_eq!(parse(head.as_bytes()), Ok(expected), "{head}");
    }

    #[test]
    fn what_clients_send_is_read() {
        accept("Content-Disposition: form-data; name=\":action\"", ":action", None);
        accept("content-disposition:form-data;name=name", "name", None);
        accept("Content-Disposition: form-data; filename=\"a+1\"; name=\"content\"", "content", Some("a+1"));
        for extra in [
            "Content-Type: application/octet-stream",
            "Content-Type: application/gzip",
            "Content-Transfer-Encoding: binary",
            "content-transfer-encoding: 8BIT",
        ] {
            let head = format!("Content-Disposition: form-data; name=\"content\"; filename=\"a\"\r\n{extra}");
            accept(&head, "content", Some("a"));
        }
        for extra in [
            "Content-Type: text/plain",
            "Content-Type: text/plain; charset=UTF-8",
            "CONTENT-TYPE: text/plain;charset=\"us-ascii\"",
            "Content-Transfer-Encoding: 7bit",
        ] {
            accept(&format!("{extra}\r\nContent-Disposition: form-data; name=\"x\""), "x", None);
        }
    }

    #[test]
    fn a_disposition_with_two_readings_is_refused() {
        for bad in [
            "form-data; NAME=\"name\"",                      // C-027
            "form-data; name=\"x\"; NAME=\"name\"",          //
            "form-data; name=\"x\"; name=\"name\"",          // C-028
            "form-data; name=\"name\"; name=\"x\"",          //
            "form-data; name=\"a\"; filename=b; filename=b", //
            "form-data; name*=UTF-8''name",                  // C-029
            "form-data; name*0=\"na\"; name*1=\"me\"",       //
            "form-data; name=\"content\"; filename=\"own-1.0.tar.gz\"; filename*=UTF-8''victim-1.0.tar.gz", // C-030
            "form-data; name=\"content\"; filename=\"own-1.0.tar.gz\".exe", // C-031
            "form-data; name=\"name\"x",                                    //
            "form-data; name='name'",                                       // C-032
            "form-data; name=\"na\\me\"",                                   // C-033
            "form-data; name=\"name\\\"",                                   //
            "form-data; name=\"x\"; filename=\"a\\\"; filename=\\\"victim-1.0.tar.gz\"", //
            "attachment; name=\"name\"",                                    // C-036
            "name=\"name\"",                                                //
            "form-data name=\"name\"",                                      //
            "form-data",                                                    //
            "form-data; filename=\"x\"",                                    //
            "Form-Data; name=\"name\"",                                     //
            "form-data ; name=\"name\"",                                    //
            "form-data; name =\"name\"",                                    //
            "form-data; name= \"name\"",                                    //
            "form-data; name=\"name\" ",                                    //
            "form-data; name=\"name\";",                                    //
            "form-data; name=\"name",                                       //
            "form-data; name=",                                             //
            "form-data; name=\"name\"; size=3",                             //
            "form-data, form-data; name=\"name\"",                          //
        ] {
            let head = format!("Content-Disposition: {bad}");
            assert!(matches!(parse(head.as_bytes()), Err(PartError::Disposition(_))), "{bad}");
        }
    }

    #[test]
    fn c034_c040_c041_a_line_that_is_not_plain_is_refused() {
        let disposition = "Content-Disposition: form-data; name=\"name\"";
        for bad in [
            "Content-Disposition: form-data;\r\n name=\"name\"",
            "Content-Disposition: form-data;\r\n\tname=\"name\"",
            "Content-Disposition: form-data; name=\"na\u{0}me\"",
            "Content-Disposition: form-data; name=\"na\u{b}me\"",
            "Content-Disposition: form-data; name=\"na\u{c}me\"",
            "Content-Disposition: form-data; name=\"na\u{7f}me\"",
            "Content-Disposition: form-data; name=\"naéme\"",
            "Content-Disposition: form-data; name=\"x\"\rX: y",
            "Content-Disposition: form-data; name=\"x\"\nX: y",
            "Content-Disposition:\tform-data; name=\"x\"",
            "Content-Disposition: form-data; name=\"x\"\r\nnonsense",
            "",
        ] {
            assert!(matches!(parse(bad.as_bytes()), Err(PartError::Line(_))), "{bad:?}");
        }
        for bad in
            ["Content-Disposition : form-data; name=\"x\"", " Content-Disposition: form-data; name=\"x\""]
        {
            assert!(matches!(parse(bad.as_bytes()), Err(PartError::Unknown(_))), "{bad:?}");
        }
        for byte in 0x80..=0xff {
            let head = [b"Content-Disposition: form-data; name=\"", &[byte][..], b"\""].concat();
            assert!(matches!(parse(&head), Err(PartError::Line(_))), "{byte}");
        }
        assert!(matches!(parse(format!("{disposition}\r\nX-Y: z").as_bytes()), Err(PartError::Unknown(_))));
        assert!(matches!(
            parse(format!("{disposition}\r\nContent-Length: 1").as_bytes()),
            Err(PartError::Unknown(_))
        ));
    }

    #[test]
    fn c035_a_header_may_stand_once() {
        for header in ["Content-Disposition: form-data; name=\"x\"", "Content-Type: text/plain"] {
            let head = format!("Content-Disposition: form-data; name=\"name\"\r\n{header}\r\n{header}");
            assert!(matches!(parse(head.as_bytes()), Err(PartError::Repeated(_))), "{header}");
        }
        assert_eq!(parse(b"Content-Type: text/plain"), Err(PartError::Nameless));
    }

    #[test]
    fn c023_c037_c038_types_and_encodings_that_change_the_value_are_refused() {
        for (extra, for_file) in [
            ("Content-Type: text/plain; charset=utf-7", false),
            ("Content-Type: text/plain; charset=utf-16le", false),
            ("Content-Type: text/plain; charset=utf-8; charset=utf-7", false),
            ("Content-Type: text/plain; x=y", false),
            ("Content-Type: text/plain ", false),
            ("Content-Type: application/octet-stream", false),
            ("Content-Type: multipart/mixed; boundary=IN", false),
            ("Content-Type: multipart/mixed; boundary=IN", true),
            ("Content-Type: Multipart/mixed", true),
            ("Content-Type: message/rfc822", true),
            ("Content-Type: text/plain; charset=utf-8", true),
            ("Content-Type: gzip", true),
            ("Content-Type: ", true),
            ("Content-Transfer-Encoding: base64", false),
            ("Content-Transfer-Encoding: quoted-printable", true),
            ("Content-Transfer-Encoding: binary ", true),
            ("Content-Transfer-Encoding: ", true),
        ] {
            let file = if for_file { "; filename=\"a\"" } else { "" };
            let head = format!("Content-Disposition: form-data; name=\"name\"{file}\r\n{extra}");
            assert!(
                matches!(parse(head.as_bytes()), Err(PartError::Type(_) | PartError::Encoding(_))),
                "{head}"
            );
        }
    }
}
