//! Why a decision came out as it did, and the words for it.

use std::fmt;

use super::{Condition, Expected};
use crate::clock::Timestamp;
use crate::names::{IndexName, PublisherName, printable};

/// One publisher held against an identity.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The publisher.
    pub publisher: PublisherName,
    /// The index it grants uploads to.
    pub index: IndexName,
    /// Since when it grants nothing, if it has expired.
    pub expired: Option<Timestamp>,
    /// Each of its conditions, in the order of the rule.
    pub checks: Vec<Check>,
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
}

impl Trial {
    /// Whether the identity meets the publisher.
    pub fn passed(&self) -> bool {
        // A publisher without conditions is refused when the configuration is read; here it meets nobody.
        self.expired.is_none() && !self.checks.is_empty() && self.checks.iter().all(|check| check.met)
    }

    /// The conditions that failed.
    pub fn misses(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.met)
    }

    /// Whether the identity has proved to control the repository (project, pipeline) that the publisher names,
    /// so that it may be told what the publisher asks for.
    pub fn identity_proved(&self) -> bool {
        let mut identifying = self.checks.iter().filter(|check| check.condition.identifies).peekable();
        identifying.peek().is_some() && identifying.all(|check| check.met)
    }

    /// How far the identity is from meeting the publisher: identity first, then the number of misses.
    pub fn distance(&self) -> (bool, usize) {
        (!self.identity_proved(), self.misses().count() + usize::from(self.expired.is_some()))
    }
}

impl fmt::Display for Trial {
    /// Everything that is missing, in one line: ``publisher `x`: workflow is …, expected …``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "publisher `{}`: ", self.publisher)?;
        if let Some(since) = self.expired {
            write!(f, "expired at {since}; ")?;
        }
        for (n, miss) in self.misses().enumerate() {
            write!(f, "{}{miss}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition { key, claim, expected, .. } = &self.condition;
        match &self.found {
            Some(found) => write!(f, "{key} is `{}`", printable(found))?,
            None => write!(f, "the token says nothing about {key}")?,
        }
        if key != claim {
            write!(f, " (claim {claim})")?;
        }
        if !self.met {
            write!(f, ", expected {expected}")?;
            if let Some(hint) = self.hint() {
                write!(f, " ({hint})")?;
            }
        }
        Ok(())
    }
}

impl Check {
    /// What to change, where there is more to say than the two values.
    fn hint(&self) -> Option<&'static str> {
        let found = self.found.as_deref();
        match (&*self.condition.key, found, &self.condition.expected) {
            ("environment", None, _) => Some("give the job this environment"),
            ("tag", None, _) => Some("start the run from a tag"),
            ("branch", None, _) => Some("start the run from this branch"),
            ("job_workflow", Some(_), Expected::Absent) => {
                Some("the job ran in a reusable workflow; publish from the workflow file that starts the run")
            }
            ("workflow", Some(found), expected) if differs_in_extension(found, expected) => {
                Some("`.yml` and `.yaml` are different files")
            }
            ("workflow", Some(_), _) => {
                Some("publish from this workflow file, or name the other one in the publisher")
            }
            ("repository_owner_id", Some(_), _) => Some("the owner's name belongs to another account now"),
            ("repository_id", Some(_), _) => Some("the repository was created anew or is another one"),
            ("event", Some(_), _) => Some("start the run by a push, a release or by hand"),
            _ => None,
        }
    }
}

fn differs_in_extension(found: &str, expected: &Expected) -> bool {
    let Expected::Text(patterns, _) = expected else { return false };
    let stem =
        |file: &str| file.strip_suffix(".yml").or_else(|| file.strip_suffix(".yaml")).map(str::to_owned);
    patterns.iter().any(|pattern| match pattern {
        super::TextPattern::Exact(text) => stem(text).is_some() && stem(text) == stem(found),
        super::TextPattern::Glob(_) => false,
    })
}
