//! What keeps a publisher from granting although its conditions may hold: its dates, its mode, the upload.

use pep440_rs::Version;

use super::advice::{Remedy, listed};
use super::{
    Asked, Condition, Expected, Finding, Mode, Projects, Publisher, Restriction, Rules, VerifiedClaims,
};
use crate::clock::Timestamp;
use crate::names::{IndexName, ProjectName, PublisherName};

/// One thing in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It grants nothing any more.
    Expired {
        /// Since when.
        since: Timestamp,
    },
    /// It only shows what it would grant.
    Observing,
    /// The upload is for another index.
    OtherIndex {
        /// The index that was asked for.
        asked: IndexName,
        /// The publisher's.
        granted: IndexName,
    },
    /// The upload is of another project.
    OtherProject {
        /// The project that was asked for.
        asked: ProjectName,
        /// The publisher's, ten of them at most.
        granted: String,
    },
    /// The upload is a release, and the publisher grants none.
    Release {
        /// The version that was asked for.
        asked: Version,
    },
    /// The upload is not the version that was tagged.
    OtherVersion {
        /// The version that was asked for.
        asked: Version,
        /// The tag of the run.
        tag: String,
        /// The version it spells.
        tagged: Version,
        /// The tag that would spell the version that was asked for.
        wanted: String,
    },
    /// A `[[project]]` reserves what the publisher grants for others.
    Reserved {
        /// The project, if one was asked for; else all that the publisher names.
        project: Option<ProjectName>,
        /// Those that may grant it.
        only: Vec<PublisherName>,
    },
}

impl Obstacle {
    /// Everything that keeps a publisher from granting now, and from granting this upload.
    pub(super) fn all(
        publisher: &Publisher,
        rules: &Rules,
        claims: &VerifiedClaims,
        asked: Option<&Asked>,
        now: Timestamp,
    ) -> Vec<Self> {
        let expired = publisher.expires.filter(|expires| *expires <= now);
        let observing = publisher.mode == Mode::Observe;
        let mut all: Vec<Self> = expired.map(|since| Self::Expired { since }).into_iter().collect();
        all.extend(observing.then_some(Self::Observing));
        if let Some(asked) = asked {
            all.extend(Self::of_target(publisher, asked));
            all.extend(Self::of_version(publisher, claims, asked));
            all.extend(Self::of_restrictions(publisher, rules, asked));
        }
        all
    }

    fn of_target(publisher: &Publisher, asked: &Asked) -> Vec<Self> {
        let other_index = (publisher.index != asked.index)
            .then(|| Self::OtherIndex { asked: asked.index.clone(), granted: publisher.index.clone() });
        let other_project = (!publisher.projects.contain(&asked.project)).then(|| Self::OtherProject {
            asked: asked.project.clone(),
            granted: listed(publisher.projects.names()),
        });
        other_index.into_iter().chain(other_project).collect()
    }

    fn of_version(publisher: &Publisher, claims: &VerifiedClaims, asked: &Asked) -> Vec<Self> {
        let release = (!publisher.versions.contain(&asked.version))
            .then(|| Self::Release { asked: asked.version.clone() });
        let tags = publisher.all_conditions().filter_map(|condition| other_version(condition, claims, asked));
        release.into_iter().chain(tags).collect()
    }

    fn of_restrictions(publisher: &Publisher, rules: &Rules, asked: &Asked) -> Option<Self> {
        let mut restrictions = rules.restrictions_on(&asked.index, &asked.project);
        let closed = restrictions.find(|restriction| !restriction.admits(&publisher.name))?;
        Some(Self::reserved(Some(asked.project.clone()), [closed]))
    }

    pub(super) fn reserved<'r>(
        project: Option<ProjectName>,
        by: impl IntoIterator<Item = &'r Restriction>,
    ) -> Self {
        let mut only: Vec<_> = by.into_iter().flat_map(|by| by.only.iter().flatten()).cloned().collect();
        only.sort();
        only.dedup();
        Self::Reserved { project, only }
    }

    /// The obstacle in words.
    pub(super) fn finding(&self, publisher: &PublisherName) -> Finding {
        let (key, got, expected) = match self {
            Self::Expired { since } => ("expires", since.to_string(), "a date that is not over".to_owned()),
            Self::Observing => ("mode", "observe".to_owned(), "`enforce`".to_owned()),
            Self::OtherIndex { asked, granted } => ("index", asked.to_string(), format!("`{granted}`")),
            Self::OtherProject { asked, granted } => ("project", asked.to_string(), granted.clone()),
            Self::Release { asked } => {
                let expected = "a developmental release (.dev) or a local version";
                ("version", asked.to_string(), expected.to_owned())
            }
            Self::OtherVersion { asked, tag, tagged, .. } => {
                let tag = crate::names::printable(tag);
                ("version", asked.to_string(), format!("`{tagged}`, the version of tag `{tag}`"))
            }
            Self::Reserved { only, .. } => {
                ("publisher", publisher.to_string(), listed(only.iter().map(ToString::to_string)))
            }
        };
        let remedy = Remedy::of_obstacle(self, publisher);
        Finding { key: key.into(), claim: None, met: false, got: Some(got), expected, remedy }
    }
}

/// A tag that spells another version than the uploaded one. One that spells none is a condition that is not met.
fn other_version(condition: &Condition, claims: &VerifiedClaims, asked: &Asked) -> Option<Obstacle> {
    let Expected::VersionTag(template) = &condition.expected else { return None };
    let tag = claims.fact(&condition.key)?;
    let tagged = template.version(tag).filter(|version| *version != asked.version)?;
    let wanted = template.tag_of(&asked.version);
    Some(Obstacle::OtherVersion { asked: asked.version.clone(), tag: tag.to_owned(), tagged, wanted })
}

impl Projects {
    /// The names and globs, as they are shown.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let (any, these) = match self {
            Self::Any => (Some("any project".to_owned()), &[][..]),
            Self::These(patterns) => (None, patterns.as_slice()),
        };
        any.into_iter().chain(these.iter().map(ToString::to_string))
    }
}
