//! Globs over values with `/`: the only pattern language of the rules.

use std::fmt;

use super::Compare;

/// A glob that matches whole values: `*` any run without `/`, `?` one character that is not `/`, `**` any number
/// of whole segments (at least one where it stands last).
///
/// ```
/// use indexgate::policy::{Compare, Glob};
/// let glob: Glob = "acme/*".parse().unwrap();
/// assert!(glob.matches("acme/billing", Compare::Exact));
/// assert!(!glob.matches("acme/billing/evil", Compare::Exact));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
}

/// Why a text is not a glob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGlob {
    /// Nothing, or nothing between two slashes.
    #[error("a glob has no empty segment; remove the extra `/`")]
    EmptySegment,
    /// A character that means something in other glob languages.
    #[error(
        "`{0}` has no meaning here: there are no classes, alternatives or escapes; write a list of patterns instead"
    )]
    OtherLanguage(char),
    /// `**` next to other text.
    #[error("`**` stands for whole segments and must stand alone between slashes, as in `group/**/*`")]
    PartialDoubleStar,
}

impl std::str::FromStr for Glob {
    type Err = BadGlob;

    fn from_str(text: &str) -> Result<Self, BadGlob> {
        if let Some(foreign) = text.chars().find(|c| matches!(c, '[' | ']' | '{' | '}' | '\\')) {
            return Err(BadGlob::OtherLanguage(foreign));
        }
        for segment in text.split('/') {
            if segment.is_empty() {
                return Err(BadGlob::EmptySegment);
            }
            if segment.contains("**") && segment != "**" {
                return Err(BadGlob::PartialDoubleStar);
            }
        }
        Ok(Self { text: text.to_owned() })
    }
}

impl Glob {
    /// The glob as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments before the first wildcard: what is certain of every value that matches.
    pub fn literal_segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').take_while(|segment| !segment.contains(['*', '?']))
    }

    /// Whether the whole of `value` matches. A value with an empty segment never does.
    pub fn matches(&self, value: &str, compare: Compare) -> bool {
        let pattern: Vec<&str> = self.text.split('/').collect();
        let value: Vec<&str> = value.split('/').collect();
        !value.iter().any(|segment| segment.is_empty()) && segments_match(&pattern, &value, compare)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Matches segment lists. Only the last `**` seen is ever tried again, so the work is at most the product of the
/// two lengths.
fn segments_match(pattern: &[&str], value: &[&str], compare: Compare) -> bool {
    let (mut p, mut v) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while v < value.len() {
        if pattern.get(p) == Some(&"**") {
            // Where it stands last, `**` takes at least this one segment, and then all others.
            if p + 1 == pattern.len() {
                return true;
            }
            retry = Some((p, v));
            p += 1;
        } else if pattern.get(p).is_some_and(|segment| segment_matches(segment, value[v], compare)) {
            p += 1;
            v += 1;
        } else if let Some((star, taken)) = retry {
            retry = Some((star, taken + 1));
            p = star + 1;
            v = taken + 1;
        } else {
            return false;
        }
    }
    p == pattern.len()
}

fn segment_matches(pattern: &str, value: &str, compare: Compare) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let value: Vec<char> = value.chars().collect();
    let same = |a: char, b: char| match compare {
        Compare::Exact | Compare::Id => a == b,
        Compare::FoldCase => a.eq_ignore_ascii_case(&b),
    };
    let (mut p, mut v) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while v < value.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, v));
                p += 1;
            }
            Some('?') => {
                p += 1;
                v += 1;
            }
            Some(&c) if same(c, value[v]) => {
                p += 1;
                v += 1;
            }
            Some(_) | None => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                p = star + 1;
                v = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(glob: &str, matching: &[&str], not_matching: &[&str]) {
        let parsed: Glob = glob.parse().unwrap();
        for value in matching {
            assert!(parsed.matches(value, Compare::Exact), "`{glob}` should match `{value}`");
        }
        for value in not_matching {
            assert!(!parsed.matches(value, Compare::Exact), "`{glob}` should not match `{value}`");
        }
    }

    #[test]
    fn a_star_does_not_cross_a_slash() {
        check("acme/*", &["acme/x"], &["acme/x/y", "acme/", "acme2/x", "acme", "xacme/x", "acme//x"]);
        check("v*", &["v", "v1", "v1.2"], &["v1/evil", "xv1", ""]);
        check(
            "release*.yml",
            &["release.yml", "release-x.yml"],
            &["release.yaml", "release.yml2", "a/release.yml"],
        );
        check("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a"]);
        check("v?", &["v1", "vé"], &["v", "v12", "v/"]);
    }

    #[test]
    fn a_double_star_is_whole_segments() {
        check("ml/**/*", &["ml/x", "ml/a/x", "ml/a/b/x"], &["ml", "mlx/x", "x/ml/x"]);
        check("ml/**", &["ml/x", "ml/x/y"], &["ml", "mlx"]);
        check("**/ci", &["ci", "a/ci", "a/b/ci"], &["ci/x", "aci"]);
        check("a/**/b/**/c", &["a/b/c", "a/x/b/y/z/c", "a/b/b/c"], &["a/c", "a/b", "a/x/c"]);
    }

    #[test]
    fn everything_else_is_literal() {
        check("own.lib", &["own.lib"], &["ownXlib"]);
        check("refs/heads/main|x", &["refs/heads/main|x"], &["refs/heads/main"]);
        check("!x", &["!x"], &["y"]);
    }

    #[test]
    fn only_ascii_folds() {
        let glob: Glob = "Acme/K*".parse().unwrap();
        assert!(glob.matches("aCME/kit", Compare::FoldCase));
        assert!(!glob.matches("acme/\u{212a}it", Compare::FoldCase), "the Kelvin sign is not a k");
        assert!(!glob.matches("acme/kit", Compare::Exact));
    }

    #[test]
    fn a_malformed_glob_says_what_is_wrong() {
        for (text, problem) in [
            ("", BadGlob::EmptySegment),
            ("a//b", BadGlob::EmptySegment),
            ("a/", BadGlob::EmptySegment),
            ("a**", BadGlob::PartialDoubleStar),
            ("x/**y", BadGlob::PartialDoubleStar),
            ("[0-9]*", BadGlob::OtherLanguage('[')),
            ("v{1,2}", BadGlob::OtherLanguage('{')),
            ("a\\*", BadGlob::OtherLanguage('\\')),
        ] {
            assert_eq!(text.parse::<Glob>().unwrap_err(), problem, "{text}");
        }
    }

    proptest! {
        /// The matcher agrees with a plain recursive definition of what a glob means.
        #[test]
        fn the_matcher_agrees_with_the_definition(
            pattern in proptest::collection::vec(prop_oneof!["[ab*?]{1,4}", Just("**".to_owned())], 1..4),
            value in "[ab/]{0,8}",
        ) {
            let text = pattern.join("/");
            if let Ok(glob) = text.parse::<Glob>() {
                let segments: Vec<&str> = value.split('/').collect();
                let defined = !segments.iter().any(|s| s.is_empty())
                    && means(&pattern.iter().map(String::as_str).collect::<Vec<_>>(), &segments);
                prop_assert_eq!(glob.matches(&value, Compare::Exact), defined, "{} on {}", text, value);
            }
        }
    }

    fn means(pattern: &[&str], value: &[&str]) -> bool {
        match (pattern, value) {
            ([], []) => true,
            (["**"], rest) => !rest.is_empty(),
            (["**", tail @ ..], rest) => (0..=rest.len()).any(|n| means(tail, &rest[n..])),
            ([p, tail @ ..], [v, rest @ ..]) => {
                segment_means(p.as_bytes(), v.as_bytes()) && means(tail, rest)
            }
            _ => false,
        }
    }

    fn segment_means(pattern: &[u8], value: &[u8]) -> bool {
        match (pattern, value) {
            ([], []) => true,
            ([b'*', tail @ ..], rest) => (0..=rest.len()).any(|n| segment_means(tail, &rest[n..])),
            ([b'?', tail @ ..], [_, rest @ ..]) => segment_means(tail, rest),
            ([p, tail @ ..], [v, rest @ ..]) => p == v && segment_means(tail, rest),
            _ => false,
        }
    }
}
