//! What an administrator wrote, compiled: publishers, what narrows them, and their conditions.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use pep440_rs::Version;

use super::index::PublisherIndex;
use super::{Expected, Glob};
use crate::clock::Timestamp;
use crate::names::{IndexName, IssuerName, ProjectName, PublisherName};
use crate::policy::Compare;

/// All rules of one configuration. Their order does not matter.
#[derive(Debug, Default)]
pub struct Rules {
    publishers: PublisherIndex,
    restrictions: Vec<Restriction>,
}

impl Rules {
    /// Collects publishers, which grant, and restrictions, which narrow.
    pub fn new(publishers: Vec<Publisher>, restrictions: Vec<Restriction>) -> Self {
        Self { publishers: PublisherIndex::new(publishers), restrictions }
    }

    /// The publishers.
    pub const fn publishers(&self) -> &PublisherIndex {
        &self.publishers
    }

    /// The restrictions on a project of an index.
    pub fn restrictions_on<'a>(
        &'a self,
        index: &'a IndexName,
        project: &'a ProjectName,
    ) -> impl Iterator<Item = &'a Restriction> {
        self.restrictions.iter().filter(move |restriction| restriction.covers(index, project))
    }

    /// All restrictions.
    pub fn restrictions(&self) -> &[Restriction] {
        &self.restrictions
    }

    /// How many publishers there are.
    pub fn len(&self) -> usize {
        self.publishers.len()
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
    pub projects: Projects,
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// And these, which every publisher of the issuer has without writing them.
    pub implied: Arc<[Condition]>,
    /// Which versions it grants.
    pub versions: Versions,
    /// From this moment on it grants nothing.
    pub expires: Option<Timestamp>,
    /// Whether it grants at all, or only shows what it would grant.
    pub mode: Mode,
}

impl Publisher {
    /// All conditions, written and implied.
    pub fn all_conditions(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().chain(self.implied.iter())
    }
}

/// What a publisher does with an identity that meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Grants.
    #[default]
    Enforce,
    /// Records that it would grant, and grants nothing.
    Observe,
}

/// Which versions a publisher grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Versions {
    /// All.
    #[default]
    Any,
    /// Developmental releases and local versions (PEP 440): nightly builds, never a release.
    DevOnly,
}

impl Versions {
    /// Whether `version` is among them.
    pub fn contain(self, version: &Version) -> bool {
        match self {
            Self::Any => true,
            Self::DevOnly => version.is_dev() || version.is_local(),
        }
    }
}

/// The projects of a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projects {
    /// Every project of the index; only where the index allows it.
    Any,
    /// These.
    These(Vec<ProjectPattern>),
}

impl Projects {
    /// Whether `project` is among them.
    pub fn contain(&self, project: &ProjectName) -> bool {
        match self {
            Self::Any => true,
            Self::These(patterns) => patterns.iter().any(|pattern| pattern.matches(project)),
        }
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

/// A `[[project]]`: narrows what others grant, and never grants.
#[derive(Clone, Debug)]
pub struct Restriction {
    /// The index it is about.
    pub index: IndexName,
    /// The projects it is about.
    pub projects: ProjectPattern,
    /// No other publisher may grant them.
    pub only: Option<Vec<PublisherName>>,
    /// What classic credentials may do with them.
    pub passwords: Option<PasswordRule>,
}

impl Restriction {
    /// Whether it is about this project.
    pub fn covers(&self, index: &IndexName, project: &ProjectName) -> bool {
        self.index == *index && self.projects.matches(project)
    }

    /// Whether it lets a publisher grant.
    pub fn admits(&self, publisher: &PublisherName) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(publisher))
    }
}

/// What a classic credential may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Passwords {
    /// Upload, unseen.
    #[default]
    Allow,
    /// Upload, with a line in the audit.
    Warn,
    /// Not upload.
    Refuse,
}

/// What a classic credential may do, from a date on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordRule {
    /// What holds from the date on.
    pub then: Passwords,
    /// Until this moment it is only warned.
    pub from: Option<Timestamp>,
}

impl PasswordRule {
    /// What holds now.
    pub fn at(self, now: Timestamp) -> Passwords {
        match self.from {
            Some(from) if now < from => self.then.min(Passwords::Warn),
            Some(_) | None => self.then,
        }
    }
}

/// One thing that must hold of an identity.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The key in the TOML: `repository`, `workflow`, …; for `claims = { … }` the claim's name.
    pub key: Cow<'static, str>,
    /// The claim that the value comes from, as the provider calls it.
    pub claim: Cow<'static, str>,
    /// Where to look the value up.
    pub source: Source,
    /// What the value must be.
    pub expected: Expected,
    /// Whether this condition says *whose* identity it is (repository, its ids) rather than what it is doing.
    /// Who meets all of these has proved control of the publisher's repository and may see the publisher's rule.
    pub identifies: bool,
}

/// Where a condition finds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Among the facts that the preset read, under the condition's key.
    Fact,
    /// Among the token's own claims.
    Claim,
}
