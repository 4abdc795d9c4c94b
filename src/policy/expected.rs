//! What a value must be: the right-hand sides of the rules.

use std::fmt;

use pep440_rs::Version;
use serde_json::Value;

use super::{Compare, Glob};
use crate::names::printable;

/// What a value must be. A missing value meets only [`Expected::Absent`].
#[derive(Clone, Debug)]
pub enum Expected {
    /// One of these texts or globs.
    Text(Vec<TextPattern>, Compare),
    /// One of these JSON values; each matches its own JSON type only.
    Json(Vec<JsonPattern>),
    /// A tag that spells a version; at the upload it must be the uploaded version.
    VersionTag(VersionTag),
    /// The identity must not say anything here.
    Absent,
}

impl Expected {
    /// Whether a fact is what is expected.
    pub fn fact_meets(&self, found: Option<&str>) -> bool {
        match (self, found) {
            (Self::Absent, found) => found.is_none(),
            (Self::Text(patterns, compare), Some(found)) => {
                patterns.iter().any(|pattern| pattern.matches(found, *compare))
            }
            (Self::VersionTag(template), Some(found)) => template.version(found).is_some(),
            (Self::Text(..) | Self::VersionTag(_), None) | (Self::Json(_), _) => false,
        }
    }

    /// Whether a raw claim is what is expected.
    pub fn claim_meets(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::Json(patterns), Some(found)) => patterns.iter().any(|pattern| pattern.matches(found)),
            (Self::Json(_), None) | (Self::Text(..) | Self::VersionTag(_) | Self::Absent, _) => false,
        }
    }
}

/// A text, exact or as a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextPattern {
    /// This text and no other.
    Exact(String),
    /// Every text that matches.
    Glob(Glob),
}

impl TextPattern {
    /// Whether `found` is what the pattern asks for.
    pub fn matches(&self, found: &str, compare: Compare) -> bool {
        match self {
            Self::Exact(text) => compare.same(text, found),
            Self::Glob(glob) => glob.matches(found, compare),
        }
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "`{}`", printable(text)),
            Self::Glob(glob) => write!(f, "`{}` (glob)", printable(glob.as_str())),
        }
    }
}

/// A value of a raw claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonPattern {
    /// A JSON string.
    Text(TextPattern),
    /// A JSON integer.
    Integer(i64),
    /// A JSON boolean.
    Bool(bool),
}

impl JsonPattern {
    /// Whether `found` has this type and value.
    pub fn matches(&self, found: &Value) -> bool {
        match (self, found) {
            (Self::Text(pattern), Value::String(text)) => pattern.matches(text, Compare::Exact),
            (Self::Integer(number), Value::Number(found)) => found.as_i64() == Some(*number),
            (Self::Bool(expected), Value::Bool(found)) => expected == found,
            (Self::Text(_) | Self::Integer(_) | Self::Bool(_), _) => false,
        }
    }
}

impl fmt::Display for JsonPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // With its quotes: `"7"` is another value than `7`.
            Self::Text(TextPattern::Exact(text)) => write!(f, "`\"{}\"`", printable(text)),
            Self::Text(TextPattern::Glob(glob)) => write!(f, "`\"{}\"` (glob)", printable(glob.as_str())),
            Self::Integer(number) => write!(f, "`{number}`"),
            Self::Bool(value) => write!(f, "`{value}`"),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(patterns, _) => one_of(f, patterns),
            Self::Json(patterns) => one_of(f, patterns),
            Self::VersionTag(tag) => write!(f, "a tag `{tag}`"),
            Self::Absent => f.write_str("nothing"),
        }
    }
}

fn one_of<T: fmt::Display>(f: &mut fmt::Formatter<'_>, patterns: &[T]) -> fmt::Result {
    for (n, pattern) in patterns.iter().enumerate() {
        let separator = match n {
            0 => "",
            _ if n + 1 == patterns.len() => " or ",
            _ => ", ",
        };
        write!(f, "{separator}{pattern}")?;
    }
    Ok(())
}

/// A tag that contains the version: `v{version}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionTag {
    prefix: String,
    suffix: String,
}

impl VersionTag {
    /// What stands for the version in the configuration.
    pub const PLACEHOLDER: &str = "{version}";

    /// Reads `v{version}`; `None` if the placeholder is not there exactly once.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, suffix) = text.split_once(Self::PLACEHOLDER)?;
        let again = suffix.contains(Self::PLACEHOLDER);
        (!again).then(|| Self { prefix: prefix.to_owned(), suffix: suffix.to_owned() })
    }

    /// The version that `tag` spells, if it has this form.
    pub fn version(&self, tag: &str) -> Option<Version> {
        let version = tag.strip_prefix(&self.prefix)?.strip_suffix(&self.suffix)?;
        // PEP 440 itself allows a leading `v` and white space; in a tag only the template may add text.
        let plain = version.bytes().next().is_some_and(|b| b.is_ascii_digit()) && !version.contains(' ');
        if plain { version.parse().ok() } else { None }
    }

    /// The tag that spells a version.
    pub fn tag_of(&self, version: &Version) -> String {
        format!("{}{version}{}", self.prefix, self.suffix)
    }
}

impl fmt::Display for VersionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.prefix, Self::PLACEHOLDER, self.suffix)
    }
}
