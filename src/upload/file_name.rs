//! The name of the package file, accepted only if every index reads the same project and version in it.
//!
//! pypiserver stores by the file name alone and guesses where the name ends; devpi only asks that the file name
//! begins with the project. Legal names can collide: `ok-9.0-1.tar.gz` is `ok-9.0` version 1 or `ok` version 9.0-1.

use std::str::FromStr;

use super::release::Release;
use crate::names::printable;

/// A file name with one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    text: String,
    kind: Kind,
    release: Release,
}

/// What a package file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A built distribution, `.whl`.
    Wheel,
    /// A source distribution, `.tar.gz`.
    Sdist,
}

impl Kind {
    /// What the form field `filetype` calls it.
    pub const fn file_type(self) -> &'static str {
        match self {
            Self::Wheel => "bdist_wheel",
            Self::Sdist => "sdist",
        }
    }
}

/// Why a file name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFileName {
    /// Characters that some system treats specially.
    #[error("the file name `{}` cannot be used; letters, digits and `._+!-` only, not beginning with `.`", printable(.0))]
    Characters(String),
    /// Too long for a file system once an index adds to it.
    #[error("the file name is longer than {} bytes; use a shorter name or version", FileName::MAX_LENGTH)]
    TooLong,
    /// Neither wheel nor `.tar.gz`.
    #[error("the file `{}` is neither a wheel (.whl) nor a .tar.gz source distribution; upload one of these", printable(.0))]
    Extension(String),
    /// Not `name-version[-build]-python-abi-platform.whl`.
    #[error("the wheel name `{}` is not name-version[-build]-python-abi-platform.whl; rebuild it with a current build tool", printable(.0))]
    Wheel(String),
    /// Not `name-version.tar.gz`, or in more than one way.
    #[error("the sdist name `{}` is not name-version.tar.gz in only one way; spell the name with `_` instead of `-` (PEP 625), as current build tools do", printable(.0))]
    Sdist(String),
}

impl FileName {
    /// The longest accepted file name, in bytes. Indexes append to it (`.asc`, `.metadata`, temporary suffixes).
    pub const MAX_LENGTH: usize = 200;

    /// The file name as it was sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Wheel or sdist.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The project and version that it names.
    pub const fn release(&self) -> &Release {
        &self.release
    }
}

impl FromStr for FileName {
    type Err = BadFileName;

    fn from_str(text: &str) -> Result<Self, BadFileName> {
        if text.len() > Self::MAX_LENGTH {
            return Err(BadFileName::TooLong);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+!-".contains(&b);
        if text.is_empty() || text.starts_with('.') || !text.bytes().all(plain) {
            return Err(BadFileName::Characters(text.to_owned()));
        }
        let (kind, release) = if let Some(stem) = text.strip_suffix(".whl") {
            (Kind::Wheel, wheel(stem).ok_or_else(|| BadFileName::Wheel(text.to_owned()))?)
        } else if let Some(stem) = text.strip_suffix(".tar.gz") {
            (Kind::Sdist, sdist(stem).ok_or_else(|| BadFileName::Sdist(text.to_owned()))?)
        } else {
            return Err(BadFileName::Extension(text.to_owned()));
        };
        Ok(Self { text: text.to_owned(), kind, release })
    }
}

/// The [binary distribution format](https://packaging.python.org/en/latest/specifications/binary-distribution-format/):
/// no part contains a `-`, so there is one way to split.
fn wheel(stem: &str) -> Option<Release> {
    let parts: Vec<&str> = stem.split('-').collect();
    let (name, version, build, tags) = match parts[..] {
        [name, version, ref tags @ ..] if tags.len() == 3 => (name, version, None, tags),
        [name, version, build, ref tags @ ..] if tags.len() == 3 => (name, version, Some(build), tags),
        _ => return None,
    };
    let is_tag = |tag: &&str| {
        !tag.is_empty()
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b))
            && !begins_with_digit(tag)
    };
    let well_formed = build.is_none_or(begins_with_digit) && tags.iter().all(is_tag);
    well_formed.then(|| release(name, version)).flatten()
}

/// `name-version`, where every dash that could end the name gives the same reading.
fn sdist(stem: &str) -> Option<Release> {
    let (name, version) = stem.rsplit_once('-')?;
    let mut readings =
        stem.match_indices('-').filter_map(|(at, _)| Release::parse(&stem[..at], &stem[at + 1..]));
    let only = readings.next()?;
    let unambiguous = readings.all(|other| other == only);
    (unambiguous && !is_guessed_wrong(name)).then(|| release(name, version)).flatten()
}

/// pypiserver ends the name at the first `-<digits>` and at `-py3.8-` or `.win32-py3.8.`; what it would cut is
/// refused. Names in the PEP 625 spelling have no dash and are never cut.
fn is_guessed_wrong(name: &str) -> bool {
    let dash_digit = name.split('-').skip(1).any(begins_with_digit);
    dash_digit || (name.contains('-') && name.contains('.'))
}

/// Versions begin with a digit here: `-v1.0` is a version for PEP 440 and part of the name for pypiserver.
fn release(name: &str, version: &str) -> Option<Release> {
    begins_with_digit(version).then(|| Release::parse(name, version)).flatten()
}

fn begins_with_digit(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upload::release::parse_version;

    #[track_caller]
    fn accept(name: &str, project: &str, version: &str) {
        let parsed: FileName = name.parse().unwrap();
        assert_eq!(parsed.release().to_string(), format!("{project} {version}"), "{name}");
        assert_eq!(parsed.as_str(), name);
    }

    #[test]
    fn names_that_build_tools_write_are_read() {
        accept("own-1.0.tar.gz", "own", "1.0");
        accept("own_pkg-1.0.tar.gz", "own-pkg", "1.0");
        accept("own.pkg-1.0rc1.tar.gz", "own-pkg", "1.0rc1");
        accept("my-pkg-1.0.tar.gz", "my-pkg", "1.0");
        accept("own-1!1.0+local.1.tar.gz", "own", "1!1.0+local.1");
        accept("py3_thing-2024.1.tar.gz", "py3-thing", "2024.1");
        accept("own-1.0-py3-none-any.whl", "own", "1.0");
        accept("zope.interface-5.0-cp39-cp39-macosx_10_9_x86_64.whl", "zope-interface", "5.0");
        accept("Own_Pkg-1.0-1-py2.py3-none-any.whl", "own-pkg", "1.0");
        accept(
            "own-1.0+cu118-2a-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "own",
            "1.0+cu118",
        );
        accept("ok-9.0-1-py3-none-any.whl", "ok", "9.0");
    }

    #[test]
    fn c051_a_wheel_name_with_other_parts_is_refused() {
        for bad in [
            "own-bar-1.0-py3-none-any.whl",
            "own-1.0.whl",
            "own-1.0-py3-none.whl",
            "own-1.0-x-py3-none-any.whl",
            "own-1.0-1-2-py3-none-any.whl",
            "own-1.0--py3-none-any.whl",
            "own-1.0-py3-none-.whl",
            "own-1.0-3py-none-any.whl",
            "own-1.0-py3-none-any+x.whl",
            "own-v1.0-py3-none-any.whl",
            "own--py3-none-any.whl",
            "-1.0-py3-none-any.whl",
            "_own-1.0-py3-none-any.whl",
            "own+x-1.0-py3-none-any.whl",
            "own-1.0_x-py3-none-any.whl",
            ".whl",
        ] {
            assert!(bad.parse::<FileName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_sdist_name_that_someone_reads_differently_is_refused() {
        for bad in [
            "ok-9.0-1.tar.gz",            // ok 9.0.post1, or ok-9.0 1
            "ok-v9-1.tar.gz",             // the same with the `v` that PEP 440 allows
            "q3a-4a6ok-1.0.tar.gz",       // pypiserver: q3a
            "own-1-dev1.tar.gz",          // pypiserver: own-1
            "own-py3.1-2.0.tar.gz",       // pypiserver: own
            "o.win32-py2.7.x-1.0.tar.gz", // pypiserver: o
            "own-v1.0.tar.gz",
            "own-1.0-dev1.tar.gz",
            "own.tar.gz",
            "own-.tar.gz",
            "-1.0.tar.gz",
            "1.0.tar.gz",
            "own-one.tar.gz",
            "own--1.0.tar.gz",
            "own+x-1.0.tar.gz",
        ] {
            assert!(matches!(bad.parse::<FileName>(), Err(BadFileName::Sdist(_))), "{bad}");
        }
    }

    #[test]
    fn c057_c058_c059_characters_and_extensions_outside_the_list_are_refused() {
        for bad in [
            "",
            ".tar.gz",
            ".own-1.0.tar.gz",
            "../own-1.0.tar.gz",
            "..\\own-1.0.tar.gz",
            "/etc/own-1.0.tar.gz",
            "C:\\x\\own-1.0.tar.gz",
            "%2e%2e%2fown-1.0.tar.gz",
            "own-1.0.tar.gz/",
            "own-1.0.tar.gz\n",
            "own\0-1.0.tar.gz",
            "own-1.0.tar.gz\u{7f}",
            "own\u{202e}-1.0.tar.gz",
            "own-1.0\u{85}.tar.gz",
            "own-1.0%0d%0a.tar.gz",
            "own 1.0.tar.gz",
            "ſown-1.0.tar.gz",
            "own:1.0.tar.gz",
        ] {
            assert!(matches!(bad.parse::<FileName>(), Err(BadFileName::Characters(_))), "{bad:?}");
        }
        for bad in [
            "own-1.0.exe",
            "own-1.0.egg",
            "own-1.0.zip",
            "own-1.0.tgz",
            "own-1.0.tar.bz2",
            "own-1.0.tar.xz",
            "own-1.0.rpm",
            "own-1.0.deb",
            "own-1.0.html",
            "own-1.0",
            "own-1.0-py3-none-any.whl.zip",
            "own-1.0.tar.gz.",
            "own-1.0.TAR.GZ",
            "own-1.0.tar.gz.asc",
            "own-1.0-py3-none-any.WHL",
        ] {
            assert!(matches!(bad.parse::<FileName>(), Err(BadFileName::Extension(_))), "{bad:?}");
        }
    }

    #[test]
    fn c060_the_limit_and_one_more() {
        let of_length = |n: usize| format!("own-1.0+{}.tar.gz", "a".repeat(n - "own-1.0+.tar.gz".len()));
        assert!(of_length(120).parse::<FileName>().is_ok());
        assert_eq!(of_length(201).parse::<FileName>(), Err(BadFileName::TooLong));
        let wheel =
            |n: usize| format!("own-1.0-py3-none-{}.whl", "a".repeat(n - "own-1.0-py3-none-.whl".len()));
        assert!(wheel(200).parse::<FileName>().is_ok());
        assert_eq!(wheel(201).parse::<FileName>(), Err(BadFileName::TooLong));
    }

    proptest! {
        #[test]
        fn the_pep_625_spelling_always_has_one_reading(name in "[a-z][a-z0-9_]{0,8}[a-z0-9]", version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}((a|b|rc|\\.post|\\.dev)[0-9]{1,2})?") {
            let parsed: FileName = format!("{name}-{version}.tar.gz").parse().unwrap();
            prop_assert_eq!(&parsed.release().project, &name.parse().unwrap());
            prop_assert_eq!(&parsed.release().version, &parse_version(&version).unwrap());
        }

        #[test]
        fn no_text_panics(text in "[own.v0-9_+!-]{0,12}(\\.tar\\.gz|\\.whl|-py3-none-any\\.whl)?") {
            let _ = text.parse::<FileName>();
        }
    }
}
