//! What an administrator wrote, compiled: publishers and their conditions.

use std::collections::HashMap;
use std::fmt;

use pep440_rs::Version;
use serde_json::Value;

use super::{Compare, Glob};
use crate::clock::Timestamp;
use crate::names::{IndexName, IssuerName, ProjectName, PublisherName, printable};

/// All rules of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    by_issuer: HashMap<IssuerName, Vec<Publisher>>,
}

impl Rules {
    /// Collects publishers; their order does not matter.
    pub fn new(publishers: impl IntoIterator<Item = Publisher>) -> Self {
        let mut by_issuer: HashMap<IssuerName, Vec<Publisher>> = HashMap::new();
        for publisher in publishers {
            by_issuer.entry(publisher.issuer.clone()).or_default().push(publisher);
        }
        for of_one_issuer in by_issuer.values_mut() {
            of_one_issuer.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Self { by_issuer }
    }

    /// The publishers that trust an issuer, by name.
    pub fn of_issuer(&self, issuer: &IssuerName) -> &[Publisher] {
        self.by_issuer.get(issuer).map_or(&[], Vec::as_slice)
    }

    /// How many publishers there are.
    pub fn len(&self) -> usize {
        self.by_issuer.values().map(Vec::len).sum()
    }

    /// Whether there is no publisher at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One rule: identities that meet every condition may upload these projects to this index.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Its name in the configuration.
    pub name: PublisherName,
    /// The issuer that must vouch for the identity.
    pub issuer: IssuerName,
    /// The index it grants uploads to.
    pub index: IndexName,
    /// The projects it grants.
    pub projects: Vec<ProjectPattern>,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// From this moment on it grants nothing.
    pub expires: Option<Timestamp>,
}

impl Publisher {
    /// Whether `project` is among the projects of this publisher.
    pub fn covers(&self, project: &ProjectName) -> bool {
        self.projects.iter().any(|pattern| pattern.matches(project))
    }
}

/// A project name, or a glob over normalised project names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectPattern {
    /// This project.
    Exact(ProjectName),
    /// Every project whose normalised name matches.
    Glob(Glob),
}

impl ProjectPattern {
    /// Whether the pattern covers `project`.
    pub fn matches(&self, project: &ProjectName) -> bool {
        match self {
            Self::Exact(name) => name == project,
            Self::Glob(glob) => glob.matches(project.as_str(), Compare::Exact),
        }
    }
}

impl fmt::Display for ProjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Glob(glob) => glob.fmt(f),
        }
    }
}

/// One thing that must hold of an identity.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The key in the TOML: `repository`, `workflow`, …; for `claims = { … }` the claim's name.
    pub key: String,
    /// The claim that the value comes from, as the provider calls it.
    pub claim: String,
    /// Where to look the value up.
    pub source: Source,
    /// What the value must be.
    pub expected: Expected,
    /// Whether this condition says *whose* identity it is (repository, its ids) rather than what it is doing.
    /// Who meets all of these has proved control of the publisher's repository and may see the publisher's rule.
    pub identifies: bool,
}

/// Where a condition finds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Among the facts that the preset read, under the condition's key.
    Fact,
    /// Among the token's own claims.
    Claim,
}

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
            Self::Text(pattern) => pattern.fmt(f),
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
}

impl fmt::Display for VersionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.prefix, Self::PLACEHOLDER, self.suffix)
    }
}
