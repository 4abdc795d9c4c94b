//! Reading claims, type by type. JSON `null` counts as absent; any other type than the expected one is a problem.

use serde_json::{Map, Value};

use super::ClaimProblem;
use super::rule_key::{Form, is_decimal};

/// The claims of a token, as a preset reads them.
pub(super) struct Claims<'a>(pub &'a Map<String, Value>);

impl<'a> Claims<'a> {
    /// A claim that is there, of whatever type.
    pub(super) fn present(&self, claim: &'static str) -> Result<&'a Value, ClaimProblem> {
        self.0.get(claim).filter(|value| !value.is_null()).ok_or(ClaimProblem::Missing(claim))
    }

    /// A text that must be there. It may be empty.
    pub(super) fn text(&self, claim: &'static str) -> Result<&'a str, ClaimProblem> {
        let value = self.present(claim)?;
        let text = value.as_str().ok_or(ClaimProblem::Unfit { claim, why: "it is not a string" })?;
        if text.chars().any(char::is_control) {
            return Err(ClaimProblem::Unfit { claim, why: "it has a control character" });
        }
        Ok(text)
    }

    /// A text that must be there and say something.
    pub(super) fn some_text(&self, claim: &'static str) -> Result<&'a str, ClaimProblem> {
        match self.text(claim)? {
            "" => Err(ClaimProblem::Unfit { claim, why: "it is empty" }),
            text => Ok(text),
        }
    }

    /// A text that may be absent.
    pub(super) fn optional_text(&self, claim: &'static str) -> Result<Option<&'a str>, ClaimProblem> {
        self.if_stated(claim, Self::text)
    }

    /// Reads a claim that may be absent; an empty text counts as absent.
    pub(super) fn if_stated<T>(
        &self,
        claim: &'static str,
        read: impl FnOnce(&Self, &'static str) -> Result<T, ClaimProblem>,
    ) -> Result<Option<T>, ClaimProblem> {
        match self.0.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(_) => read(self, claim).map(Some),
        }
    }

    /// A text that names who somebody is. Only ASCII: a Cyrillic `а` looks like an `a` and is another account.
    pub(super) fn name(&self, claim: &'static str) -> Result<&'a str, ClaimProblem> {
        let text = self.some_text(claim)?;
        if text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            Ok(text)
        } else {
            Err(ClaimProblem::Unfit { claim, why: "it has a character outside ASCII" })
        }
    }

    /// A path such as `owner/repository`: at least two segments of letters, digits, `-`, `_` and `.`.
    pub(super) fn path(&self, claim: &'static str) -> Result<&'a str, ClaimProblem> {
        let path = self.name(claim)?;
        if path.contains('/') && path.split('/').all(is_segment) {
            Ok(path)
        } else {
            Err(ClaimProblem::Unfit { claim, why: "it is not a path of plain names" })
        }
    }

    /// A numeric id as decimal text. Issuers write ids as numbers or as strings, and change from one to the other.
    pub(super) fn id(&self, claim: &'static str) -> Result<String, ClaimProblem> {
        let decimal = match self.present(claim)? {
            Value::String(text) if is_decimal(text) => text.clone(),
            Value::Number(number) if number.is_u64() => number.to_string(),
            _ => return Err(ClaimProblem::Unfit { claim, why: "it is not a decimal number" }),
        };
        Ok(decimal)
    }

    /// An id that may be absent.
    pub(super) fn optional_id(&self, claim: &'static str) -> Result<Option<String>, ClaimProblem> {
        self.if_stated(claim, Self::id)
    }

    /// An id that is a UUID.
    pub(super) fn uuid(&self, claim: &'static str) -> Result<&'a str, ClaimProblem> {
        self.of_form(claim, Form::Uuid, "it is not a UUID")
    }

    /// An id that is a UUID in braces.
    pub(super) fn braced_uuid(&self, claim: &'static str) -> Result<&'a str, ClaimProblem> {
        self.of_form(claim, Form::BracedUuid, "it is not a UUID in braces")
    }

    fn of_form(&self, claim: &'static str, form: Form, why: &'static str) -> Result<&'a str, ClaimProblem> {
        let text = self.name(claim)?;
        if form.fits(text) { Ok(text) } else { Err(ClaimProblem::Unfit { claim, why }) }
    }

    /// A name that is part of a longer text in other claims: nothing in it may separate such parts.
    pub(super) fn part(&self, claim: &'static str) -> Result<&'a str, ClaimProblem> {
        let text = self.name(claim)?;
        if text.contains([':', '/']) {
            return Err(ClaimProblem::Unfit { claim, why: "it has a `:` or `/`" });
        }
        Ok(text)
    }

    /// A JSON boolean that must have this value; the text `"true"` is no boolean.
    pub(super) fn must_be(
        &self,
        claim: &'static str,
        expected: bool,
        why: &'static str,
    ) -> Result<(), ClaimProblem> {
        match self.present(claim)? {
            Value::Bool(value) if *value == expected => Ok(()),
            _ => Err(ClaimProblem::Unfit { claim, why }),
        }
    }

    /// Checks that `sub`, if it is of the form that begins with `scheme`, begins with `start` and ends there or goes
    /// on with `separator`: what it restates must agree with the claims `other`. A `sub` of another form restates
    /// nothing; some providers let people shape it.
    pub(super) fn subject_restates(
        &self,
        scheme: &str,
        start: &str,
        separator: char,
        other: &'static str,
    ) -> Result<(), ClaimProblem> {
        let Some(subject) = self.optional_text("sub")? else { return Ok(()) };
        let rest = subject.strip_prefix(start);
        let agrees = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(separator));
        if agrees || !subject.starts_with(scheme) {
            return Ok(());
        }
        let (got, stated) = (subject.to_owned(), start.to_owned());
        Err(ClaimProblem::Disagrees { claim: "sub", got, other, stated })
    }
}

/// Checks that two claims that state the same thing state it alike.
pub(super) fn agree(
    (claim, got): (&'static str, &str),
    (other, stated): (&'static str, &str),
) -> Result<(), ClaimProblem> {
    if got == stated {
        return Ok(());
    }
    Err(ClaimProblem::Disagrees { claim, got: got.to_owned(), other, stated: stated.to_owned() })
}

/// Strips `start` from a text, folding ASCII case.
pub(super) fn strip_prefix_folded<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let head = text.get(..start.len())?;
    head.eq_ignore_ascii_case(start).then(|| &text[start.len()..])
}

/// Whether a text is one plain name: no `/`, nothing outside ASCII.
pub(super) fn is_segment(segment: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_a_plain_decimal_number_or_the_same_as_text() {
        for (value, expected) in [
            (json!(74), Some("74")),
            (json!("74"), Some("74")),
            (json!(0), Some("0")),
            (json!("18446744073709551615"), Some("18446744073709551615")),
            (json!("074"), None),
            (json!("+74"), None),
            (json!("-74"), None),
            (json!(" 74"), None),
            (json!("74 "), None),
            (json!("7_4"), None),
            (json!("7٤"), None),
            (json!(""), None),
            (json!("0x4a"), None),
            (json!(74.0), None),
            (json!(-74), None),
            (json!(true), None),
            (json!([74]), None),
            (json!({}), None),
            (json!("9".repeat(21)), None),
        ] {
            let claims = Map::from_iter([("id".to_owned(), value.clone())]);
            assert_eq!(Claims(&claims).id("id").ok().as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn null_is_absent() {
        let claims = Map::from_iter([("x".to_owned(), Value::Null)]);
        assert_eq!(Claims(&claims).text("x"), Err(ClaimProblem::Missing("x")));
        assert_eq!(Claims(&claims).optional_text("x"), Ok(None));
        assert_eq!(Claims(&claims).optional_id("x"), Ok(None));
    }
}
