//! Why a decision came out as it did: each publisher held against an identity, nearest first.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::{Compare, Condition, Expected, Finding, Obstacle, TextPattern};
use crate::names::{IndexName, PublisherName};

/// One publisher held against an identity.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The publisher.
    pub publisher: PublisherName,
    /// The index it grants uploads to.
    pub index: IndexName,
    /// Each of its conditions, in the order of the rule.
    pub checks: Vec<Check>,
    /// What keeps it from granting beside its conditions: its dates, its mode, and the upload that was asked about.
    pub obstacles: Vec<Obstacle>,
}

/// One condition held against an identity.
#[derive(Clone, Debug)]
pub struct Check {
    /// The condition.
    pub condition: Condition,
    /// What the identity says; `None` if nothing.
    pub found: Option<String>,
    /// Whether the condition holds.
    pub met: bool,
    /// Whether it is not written in the publisher: every publisher of the issuer has it.
    pub implied: bool,
    /// What the run is of, where a tag or a branch was expected and there is none.
    pub run_ref: Option<String>,
}

impl Trial {
    /// Whether the identity meets every condition.
    pub fn met(&self) -> bool {
        // A publisher without conditions is refused when the configuration is read; here it meets nobody.
        !self.checks.is_empty() && self.checks.iter().all(|check| check.met)
    }

    /// Whether the publisher grants: the upload that was asked about, or anything if none was.
    pub fn grants(&self) -> bool {
        self.met() && self.obstacles.is_empty()
    }

    /// Whether the identity has proved to control the repository (project, pipeline) that the publisher names,
    /// so that it may be told what the publisher asks for.
    pub fn identity_proved(&self) -> bool {
        let mut identifying = self.checks.iter().filter(|check| check.condition.identifies).peekable();
        identifying.peek().is_some() && identifying.all(|check| check.met)
    }

    /// How far the identity is from what the publisher grants: whether it is the publisher's at all, then how little a
    /// stranger's name looks like the publisher's, then how much is missing.
    pub fn distance(&self) -> (bool, usize, usize) {
        let missed = self.checks.iter().filter(|check| !check.met).count() + self.obstacles.len();
        if self.identity_proved() {
            return (false, 0, missed);
        }
        let identifying = self.checks.iter().filter(|check| check.condition.identifies);
        // A repository that was renamed keeps its id, and is no stranger.
        let renamed =
            ["repository_id", "project_id"].iter().any(|key| self.check(key).is_some_and(|id| id.met));
        let unlike = if renamed { 0 } else { identifying.map(Check::unlikeness).sum() };
        (true, unlike, missed)
    }

    /// Every condition and every obstacle, in words.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        let checks = self.checks.iter().map(|check| Finding::of_check(check, self));
        checks.chain(self.obstacles.iter().map(|obstacle| obstacle.finding(&self.publisher)))
    }

    /// What is missing, in words.
    pub fn misses(&self) -> impl Iterator<Item = Finding> {
        self.findings().filter(|finding| !finding.met)
    }

    /// The check of a rule key, if the publisher has one.
    pub(super) fn check(&self, key: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.condition.key == key)
    }
}

impl fmt::Display for Trial {
    /// Everything that is missing, in one line: ``publisher `x`: workflow is …, expected … (…)``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "publisher `{}`: ", self.publisher)?;
        for (n, miss) in self.misses().enumerate() {
            write!(f, "{}{miss}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl Serialize for Trial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut trial = serializer.serialize_struct("Trial", 4)?;
        trial.serialize_field("publisher", &self.publisher)?;
        trial.serialize_field("index", &self.index)?;
        trial.serialize_field("grants", &self.grants())?;
        trial.serialize_field("findings", &self.findings().collect::<Vec<_>>())?;
        trial.end()
    }
}

impl Check {
    /// How many characters of a name that is not the expected one differ, roughly: a look-alike stands before what has
    /// nothing in common.
    fn unlikeness(&self) -> usize {
        let Expected::Text(patterns, Compare::Exact | Compare::FoldCase) = &self.condition.expected else {
            return 0;
        };
        let Some(found) = self.found.as_ref().filter(|_| !self.met) else { return 0 };
        let unlike = |pattern: &TextPattern| match pattern {
            TextPattern::Exact(text) => difference(text, found),
            TextPattern::Glob(glob) => difference(glob.as_str(), found),
        };
        patterns.iter().map(unlike).min().unwrap_or_default()
    }
}

fn difference(a: &str, b: &str) -> usize {
    let same = |(x, y): &(u8, u8)| x == y;
    let start = a.bytes().zip(b.bytes()).take_while(same).count();
    let (rest_a, rest_b) = (&a.as_bytes()[start..], &b.as_bytes()[start..]);
    let end = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(x, y)| x == y).count();
    rest_a.len().max(rest_b.len()) - end
}
