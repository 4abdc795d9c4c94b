//! One thing that holds or does not, in words. The mint answer, the refusal of an upload, the audit, `check` and
//! `explain` all show findings, so they cannot disagree.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::advice::Remedy;
use super::{Check, Trial};
use crate::names::printable;

/// What was expected, what there is, and what to change. All of it is ASCII: it travels in HTTP answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The key in the rules: `workflow`, or `project` and `version` for what an upload is.
    pub key: Cow<'static, str>,
    /// The claim that the value comes from, if it is not called like the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Cow<'static, str>>,
    /// Whether it holds.
    pub met: bool,
    /// What there is; `None` if the identity says nothing about it.
    pub got: Option<String>,
    /// What there should be.
    pub expected: String,
    /// What to do about it, if it does not hold.
    #[serde(flatten)]
    pub remedy: Remedy,
}

impl Finding {
    /// A condition of a publisher.
    pub(super) fn of_check(check: &Check, trial: &Trial) -> Self {
        let condition = &check.condition;
        Self {
            key: condition.key.clone(),
            claim: (condition.key != condition.claim).then(|| condition.claim.clone()),
            met: check.met,
            got: check.found.as_deref().map(printable),
            expected: condition.expected.to_string(),
            remedy: if check.met { Remedy::default() } else { Remedy::of_check(check, trial) },
        }
    }

    /// Whether it is about this key or claim.
    pub fn is_about(&self, name: &str) -> bool {
        self.key == name || self.claim.as_deref() == Some(name)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.got {
            Some(got) => write!(f, "{} is `{got}`", self.key)?,
            None => write!(f, "the token says nothing about {}", self.key)?,
        }
        if let Some(claim) = &self.claim {
            write!(f, " (claim {claim})")?;
        }
        if !self.met {
            write!(f, ", expected {}", self.expected)?;
            if !self.remedy.is_empty() {
                write!(f, " ({})", self.remedy)?;
            }
        }
        Ok(())
    }
}
