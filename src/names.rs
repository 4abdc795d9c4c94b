//! The names the gateway reasons about, as types. A value of one of these types is well formed; nothing here
//! does I/O or knows the time.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A project name in its normalised form (PEP 503): lower case, runs of `-`, `_` and `.` folded into one `-`.
///
/// The grammar is checked on ASCII bytes *before* anything is folded: devpi turns `ſ` into `-`, Rust's
/// `to_lowercase` turns U+212A into `k`, so a foreign character must never reach the folding.
///
/// ```
/// use indexgate::names::ProjectName;
/// let name: ProjectName = "Billing__Core".parse().unwrap();
/// assert_eq!(name.as_str(), "billing-core");
/// assert!("billing\n".parse::<ProjectName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectName(String);

/// Why a text is not a project name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a project name: ASCII letters, digits, `-`, `_` and `.` only, beginning and ending with a letter or digit, at most {} characters",
    printable(.0), ProjectName::MAX_LENGTH
)]
pub struct BadProjectName(pub String);

impl ProjectName {
    /// The longest accepted name, in bytes. File names are limited to 255 bytes by every file system in use.
    pub const MAX_LENGTH: usize = 128;

    /// The normalised name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectName {
    type Err = BadProjectName;

    fn from_str(text: &str) -> Result<Self, BadProjectName> {
        let bytes = text.as_bytes();
        let well_formed = (1..=Self::MAX_LENGTH).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && bytes[0].is_ascii_alphanumeric()
            && bytes[bytes.len() - 1].is_ascii_alphanumeric();
        if !well_formed {
            return Err(BadProjectName(text.to_owned()));
        }
        let mut folded = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '-' | '_' | '.' if folded.ends_with('-') => {}
                '-' | '_' | '.' => folded.push('-'),
                _ => folded.push(c.to_ascii_lowercase()),
            }
        }
        Ok(Self(folded))
    }
}

impl TryFrom<String> for ProjectName {
    type Error = BadProjectName;

    fn try_from(text: String) -> Result<Self, BadProjectName> {
        text.parse()
    }
}

impl From<ProjectName> for String {
    fn from(name: ProjectName) -> Self {
        name.0
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names an administrator gives to things in the configuration: the same rules for each, a type for each.
macro_rules! configured_name {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                check_configured_name(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

configured_name! {
    /// The name of an `[[index]]`: one upload target.
    IndexName
    /// The name of an `[[issuer]]`: an identity provider that is trusted. Not its URL.
    IssuerName
    /// The name of a `[[publisher]]`: one rule.
    PublisherName
    /// The name of an `[[upstream]]`: one index server.
    UpstreamName
}

/// Why a text cannot name something in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a usable name: 1 to 64 ASCII letters, digits, `-`, `_` and `.`, and not only the last three", printable(.0))]
pub struct BadName(pub String);

fn check_configured_name(text: &str) -> Result<(), BadName> {
    // `.` and `..` would be something else in the paths that an index has.
    let well_formed = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.bytes().any(|b| b.is_ascii_alphanumeric());
    if well_formed { Ok(()) } else { Err(BadName(text.to_owned())) }
}

/// Hostile text, made fit for a message: control and non-ASCII characters escaped, cut at 80 characters.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut out: String = text.chars().take(LONGEST).flat_map(escape).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let keep = c == ' ' || c.is_ascii_graphic();
    let escaped = (!keep).then(|| c.escape_default());
    keep.then_some(c).into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_differ_only_in_case_and_separators_are_one_project() {
        for spelling in ["my-pkg", "My_Pkg", "MY.PKG", "my--pkg", "my-_.pkg"] {
            assert_eq!(spelling.parse::<ProjectName>().unwrap().as_str(), "my-pkg");
        }
    }

    #[test]
    fn a_name_outside_the_grammar_is_refused_before_it_is_folded() {
        let long = "a".repeat(ProjectName::MAX_LENGTH + 1);
        for bad in [
            "",
            "-own",
            "own-",
            "own\n",
            " own",
            "own ",
            "own\0pkg",
            "own/pkg",
            "own~pkg",
            "ｏｗｎ",
            "o\u{200b}wn",
            "ﬁle",
            "ſown",
            "\u{212a}own",
            "own+1",
            &long,
        ] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_configured_name_can_stand_in_a_path() {
        for good in ["prod", "A.b_c-1", "0"] {
            assert!(good.parse::<IndexName>().is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "-_.", "a/b", "a b", "é", "a%2e"] {
            assert!(bad.parse::<IndexName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hostile_text_becomes_one_short_printable_line() {
        assert_eq!(printable("a\r\n\u{1b}[2Jé"), r"a\r\n\u{1b}[2J\u{e9}");
        assert!(printable(&"x".repeat(10_000)).chars().count() <= 81);
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(text in "[A-Za-z0-9][A-Za-z0-9._-]{0,20}[A-Za-z0-9]") {
            let once: ProjectName = text.parse().unwrap();
            let twice: ProjectName = once.as_str().parse().unwrap();
            prop_assert_eq!(once, twice);
        }
    }
}
