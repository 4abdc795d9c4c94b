//! The `Content-Type` of an upload: `multipart/form-data` with one boundary, and nothing else.

use crate::names::printable;

/// Why a `Content-Type` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaTypeError {
    /// Another media type, or one that only resembles ours.
    #[error("the Content-Type is `{}`; uploads are sent as multipart/form-data", printable(.0))]
    NotAForm(String),
    /// A parameter that changes how some servers read the form (`charset`), or a second boundary.
    #[error(
        "the Content-Type has a parameter besides one boundary; send `multipart/form-data; boundary=...` only"
    )]
    Parameter,
    /// The boundary is missing or breaks RFC 2046 §5.1.1.
    #[error("the Content-Type has no usable boundary; use 1 to 70 letters, digits or `-`")]
    Boundary,
}

/// The boundary that a `Content-Type` announces.
///
/// Of two boundaries some parsers take the first and some the last, and a `charset` makes devpi read the body as
/// JSON, so both are refused, although RFC 7578 leaves room for them.
pub(super) fn boundary(content_type: &[u8]) -> Result<String, MediaTypeError> {
    let text = str::from_utf8(content_type)
        .map_err(|_| MediaTypeError::NotAForm(String::from_utf8_lossy(content_type).into_owned()))?;
    let (media_type, parameters) = text.split_once(';').unwrap_or((text, ""));
    if !media_type.eq_ignore_ascii_case("multipart/form-data") {
        return Err(MediaTypeError::NotAForm(media_type.to_owned()));
    }
    if parameters.contains(';') {
        return Err(MediaTypeError::Parameter);
    }
    let (name, value) = parameters.trim_start_matches(' ').split_once('=').ok_or(MediaTypeError::Boundary)?;
    if !name.eq_ignore_ascii_case("boundary") {
        return Err(MediaTypeError::Parameter);
    }
    let (boundary, allowed): (&str, fn(u8) -> bool) = match value.strip_prefix('"') {
        Some(quoted) => (quoted.strip_suffix('"').ok_or(MediaTypeError::Boundary)?, is_boundary_byte),
        None => (value, |b| is_boundary_byte(b) && is_token_byte(b)),
    };
    let usable =
        (1..=70).contains(&boundary.len()) && boundary.bytes().all(allowed) && !boundary.ends_with(' ');
    if usable { Ok(boundary.to_owned()) } else { Err(MediaTypeError::Boundary) }
}

/// `bchars` of RFC 2046. No CR among them: [`super::delimiter`] relies on it.
fn is_boundary_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b)
}

/// What needs no quotes (RFC 2045 `token`, as far as `bchars` go).
fn is_token_byte(b: u8) -> bool {
    !b"(),/:=? ".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: &str, expected: Result<&str, fn(&MediaTypeError) -> bool>) {
        match (boundary(content_type.as_bytes()), expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected),
            (Err(got), Err(expected)) => assert!(expected(&got), "{content_type}: {got:?}"),
            (got, _) => panic!("{content_type}: {got:?}"),
        }
    }

    const NOT_A_FORM: fn(&MediaTypeError) -> bool = |e| matches!(e, MediaTypeError::NotAForm(_));
    const PARAMETER: fn(&MediaTypeError) -> bool = |e| *e == MediaTypeError::Parameter;
    const BOUNDARY: fn(&MediaTypeError) -> bool = |e| *e == MediaTypeError::Boundary;

    #[test]
    fn the_boundaries_of_real_clients_are_read() {
        for boundary in [
            "0123456789abcdef0123456789abcdef", // requests, httpx
            "0123456789abcdef-0123456789abcdef-0123456789abcdef-0123456", // uv
            "----formdata-ureq-0123abcd",       // maturin
            "------------------------0123456789abcdef", // curl
            "--------------GHSKFJDLGDS7543FJKLFHRE75642756743254", // distutils
        ] {
            check(&format!("multipart/form-data; boundary={boundary}"), Ok(boundary));
        }
        check("Multipart/Form-Data; BOUNDARY=XBX", Ok("XBX"));
        check("multipart/form-data;boundary=\"a b:c\"", Ok("a b:c"));
    }

    #[test]
    fn c018_c039_a_parameter_besides_one_boundary_is_refused() {
        for bad in [
            "multipart/form-data; boundary=XBX; boundary=YBY",
            "multipart/form-data; boundary=XBX; charset=utf-16",
            "multipart/form-data; charset=utf-16-le; boundary=XBX",
            "multipart/form-data; charset=utf-8",
            "multipart/form-data; boundary=XBX;",
            "multipart/form-data; boundary*=XBX",
            "multipart/form-data; boundary =XBX",
        ] {
            check(bad, Err(PARAMETER));
        }
    }

    #[test]
    fn c019_a_boundary_that_parsers_read_differently_is_refused() {
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for bad in [
            "multipart/form-data",
            "multipart/form-data;",
            "multipart/form-data; boundary",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"\"",
            "multipart/form-data; boundary=\"XBX ",
            "multipart/form-data; boundary=\"XBX \"",
            "multipart/form-data; boundary=\"X\\BX\"",
            "multipart/form-data; boundary=\"XBX\"x",
            "multipart/form-data; boundary=a b",
            "multipart/form-data; boundary=X\tX",
            "multipart/form-data; boundary=Xé",
            "multipart/form-data; boundary=\"X\rX\"",
            "multipart/form-data; boundary= XBX",
            "multipart/form-data; boundary=XBX, text/plain",
            &long,
        ] {
            check(bad, Err(BOUNDARY));
        }
        check(&format!("multipart/form-data; boundary={}", "x".repeat(70)), Ok(&"x".repeat(70)));
    }

    #[test]
    fn c020_c021_c022_other_media_types_are_refused() {
        for bad in [
            "",
            "multipart/mixed; boundary=XBX",
            "multipart/related; boundary=XBX",
            "multipart/form-data, text/plain; boundary=XBX",
            "multipart/form-data ; boundary=XBX",
            " multipart/form-data; boundary=XBX",
            "text/plain; boundary=XBX",
            "application/x-www-form-urlencoded",
            "application/json",
        ] {
            check(bad, Err(NOT_A_FORM));
        }
        assert!(matches!(boundary(b"multipart/form-data\xff; boundary=x"), Err(MediaTypeError::NotAForm(_))));
    }
}
