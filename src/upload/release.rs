//! A project and a version: what each reading of an upload has to agree on.

use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;

use crate::names::{ProjectName, printable};

/// One version of one project. Equal if the project is the same after PEP 503 and the version after
/// [PEP 440](https://peps.python.org/pep-0440/): `My.Pkg 1.0` is `my-pkg 1.0.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The project.
    pub project: ProjectName,
    /// The version.
    pub version: Version,
}

impl Release {
    /// The release that a name and a version give, if they are well formed.
    pub(super) fn parse(name: &str, version: &str) -> Option<Self> {
        Some(Self { project: name.parse().ok()?, version: parse_version(version).ok()? })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.project, self.version)
    }
}

/// Why a text is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a version; use one like 1.2.0, 1.2.0rc1 or 1.2.0+local (PEP 440)", printable(.0))]
pub struct BadVersion(pub String);

/// Reads a version. As with names, the bytes are checked first: white space around a version is fine for PEP 440 but
/// not in a file name or URL.
pub(super) fn parse_version(text: &str) -> Result<Version, BadVersion> {
    const LONGEST: usize = 128;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".+!_-".contains(&b);
    let well_formed = text.len() <= LONGEST && text.bytes().all(plain);
    well_formed.then(|| Version::from_str(text).ok()).flatten().ok_or_else(|| BadVersion(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_version_are_equal() {
        for (a, b) in [
            ("1.0", "1.0.0"),
            ("v1.0", "1"),
            ("1.0-1", "1.0.post1"),
            ("1.0+A_b", "1.0+a.b"),
            ("1!1.0", "1!1"),
        ] {
            assert_eq!(parse_version(a), parse_version(b), "{a} {b}");
        }
        for (a, b) in
            [("1.0", "2.0"), ("1.0", "1.0+local"), ("1.0", "1!1.0"), ("1.0", "1.0.post0"), ("1.0", "1.0rc1")]
        {
            assert_ne!(parse_version(a), parse_version(b), "{a} {b}");
        }
    }

    #[test]
    fn other_text_is_no_version() {
        let long = format!("1.{}", "0".repeat(200));
        for bad in [
            "",
            " 1.0",
            "1.0 ",
            "1.0\n",
            "1.0\0",
            "one",
            "1.0/2",
            "1.०",
            "1.0+",
            "99999999999999999999.0",
            &long,
        ] {
            assert!(parse_version(bad).is_err(), "{bad:?}");
        }
    }
}
