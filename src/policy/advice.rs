//! What to change so that a condition holds: in the CI job, or in the rules. The values alone often do not tell.

mod conditions;
mod toml;

use std::fmt;

use serde::Serialize;

pub use self::toml::{listed, quoted};
use super::{Check, Obstacle, Trial};
use crate::names::PublisherName;

/// What to do about something that does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// What the two values alone do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What to change in the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// What to change in the rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

impl Remedy {
    /// For a condition that is not met. The rest of the trial tells what kind of mismatch it is.
    pub(super) fn of_check(check: &Check, trial: &Trial) -> Self {
        conditions::remedy(check, trial)
    }

    /// For what stands in a publisher's way beside its conditions.
    pub(super) fn of_obstacle(obstacle: &Obstacle, publisher: &PublisherName) -> Self {
        match obstacle {
            Obstacle::Expired { .. } => {
                Self::rule("write a later `expires` in the publisher, or remove the key")
            }
            Obstacle::Observing => Self::rule("write mode = \"enforce\" in the publisher, or remove `mode`")
                .noting("an observing publisher only records what it would grant"),
            Obstacle::OtherIndex { asked, granted } => Self::job(format!("upload to index `{granted}`"))
                .or(format!("add a publisher with index = \"{asked}\"")),
            Obstacle::OtherProject { asked, granted } => {
                Self::job(format!("upload {granted}, or rename the project"))
                    .or(format!("add \"{asked}\" to `projects` of the publisher"))
            }
            Obstacle::Release { .. } => Self::job("upload a version such as 1.2.0.dev3")
                .or("remove versions = \"dev-only\" from the publisher"),
            Obstacle::OtherVersion { tagged, wanted, .. } => Self::job(format!(
                "build version {tagged} from this tag, or tag the commit `{wanted}` and publish from that run"
            )),
            Obstacle::Reserved { only, project } => reserved(only, project.is_some(), publisher),
        }
    }

    /// Whether there is nothing to say.
    pub const fn is_empty(&self) -> bool {
        self.note.is_none() && self.job.is_none() && self.rule.is_none()
    }

    fn job(change: impl Into<String>) -> Self {
        Self { job: Some(change.into()), ..Self::default() }
    }

    fn rule(change: impl Into<String>) -> Self {
        Self { rule: Some(change.into()), ..Self::default() }
    }

    fn or(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

fn reserved(only: &[PublisherName], one: bool, publisher: &PublisherName) -> Remedy {
    let what = if one { "the project is" } else { "all its projects are" };
    let rule = format!("add \"{publisher}\" to `only` of the [[project]]");
    let remedy = Remedy::rule(rule).noting(format!("{what} reserved"));
    match only {
        [] => remedy,
        [chosen] => {
            Remedy { job: Some(format!("publish with the identity of publisher `{chosen}`")), ..remedy }
        }
        _ => {
            Remedy { job: Some("publish with the identity of one of these publishers".to_owned()), ..remedy }
        }
    }
}

impl fmt::Display for Remedy {
    /// `note: job, or rule`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes: Vec<&str> = self.job.iter().chain(&self.rule).map(String::as_str).collect();
        let changes = changes.join("; or ");
        match (&self.note, changes.as_str()) {
            (Some(note), "") => f.write_str(note),
            (Some(note), changes) => write!(f, "{note}: {changes}"),
            (None, changes) => f.write_str(changes),
        }
    }
}
