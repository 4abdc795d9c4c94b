//! The decision: one pure function of rules, claims, the upload and the time.

use super::trail::{Check, Trial};
use super::{Condition, Expected, Permit, ProjectPattern, Publisher, Rules, Source, VerifiedClaims};
use crate::clock::Timestamp;
use crate::names::{IndexName, ProjectName, PublisherName};

/// What somebody wants to upload, as the inspection of the upload found it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The index that the request was sent to.
    pub index: IndexName,
    /// The project.
    pub project: ProjectName,
    /// The version.
    pub version: pep440_rs::Version,
}

/// What one publisher gives to an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The publisher.
    pub publisher: PublisherName,
    /// The index it allows uploads to.
    pub index: IndexName,
    /// The projects it allows.
    pub projects: Vec<ProjectPattern>,
}

/// The answer, always with its reasons.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What every publisher that the identity meets would allow.
    pub grants: Vec<Grant>,
    /// The right to make the upload that was asked about; `None` if there is none, or none was asked about.
    pub permit: Option<Permit>,
    /// Each publisher of the issuer with each of its conditions, nearest first.
    pub trail: Vec<Trial>,
}

/// Decides what an identity may do now: in general, and about one upload if `asked` names one.
///
/// Publishers add and their order never matters; the first by name is the one that the permit names.
pub fn decide(rules: &Rules, claims: &VerifiedClaims, asked: Option<&Asked>, now: Timestamp) -> Decision {
    let mut decision = Decision { grants: Vec::new(), permit: None, trail: Vec::new() };
    for publisher in rules.of_issuer(claims.issuer()) {
        let trial = try_publisher(publisher, claims, now);
        if trial.passed() {
            decision.grants.push(grant(publisher));
            if let Some(asked) = asked
                && decision.permit.is_none()
                && allows(publisher, claims, asked)
            {
                decision.permit = Some(Permit::new(publisher.name.clone(), asked));
            }
        }
        decision.trail.push(trial);
    }
    decision.trail.sort_by_key(Trial::distance);
    decision
}

fn grant(publisher: &Publisher) -> Grant {
    Grant {
        publisher: publisher.name.clone(),
        index: publisher.index.clone(),
        projects: publisher.projects.clone(),
    }
}

/// Whether a publisher whose conditions are met covers this very upload.
fn allows(publisher: &Publisher, claims: &VerifiedClaims, asked: &Asked) -> bool {
    publisher.index == asked.index
        && publisher.covers(&asked.project)
        && publisher.conditions.iter().all(|condition| tag_is_version(condition, claims, asked))
}

fn tag_is_version(condition: &Condition, claims: &VerifiedClaims, asked: &Asked) -> bool {
    let Expected::VersionTag(template) = &condition.expected else { return true };
    let tagged = claims.fact(&condition.key).and_then(|tag| template.version(tag));
    tagged.is_some_and(|version| version == asked.version)
}

fn try_publisher(publisher: &Publisher, claims: &VerifiedClaims, now: Timestamp) -> Trial {
    Trial {
        publisher: publisher.name.clone(),
        index: publisher.index.clone(),
        projects: publisher.projects.clone(),
        expired: publisher.expires.filter(|expires| *expires <= now),
        checks: publisher.conditions.iter().map(|condition| check(condition, claims)).collect(),
    }
}

fn check(condition: &Condition, claims: &VerifiedClaims) -> Check {
    let (met, found) = match condition.source {
        Source::Fact => {
            let found = claims.fact(&condition.key);
            (fact_meets(&condition.expected, found), found.map(str::to_owned))
        }
        Source::Claim => {
            let found = claims.claim(&condition.claim);
            (claim_meets(&condition.expected, found), found.map(ToString::to_string))
        }
    };
    Check { condition: condition.clone(), found, met }
}

fn fact_meets(expected: &Expected, found: Option<&str>) -> bool {
    match (expected, found) {
        (Expected::Absent, found) => found.is_none(),
        (Expected::Text(patterns, compare), Some(found)) => {
            patterns.iter().any(|pattern| pattern.matches(found, *compare))
        }
        (Expected::VersionTag(template), Some(found)) => template.version(found).is_some(),
        (Expected::Text(..) | Expected::VersionTag(_), None) | (Expected::Json(_), _) => false,
    }
}

fn claim_meets(expected: &Expected, found: Option<&serde_json::Value>) -> bool {
    match (expected, found) {
        (Expected::Json(patterns), Some(found)) => patterns.iter().any(|pattern| pattern.matches(found)),
        (Expected::Json(_), None) | (Expected::Text(..) | Expected::VersionTag(_) | Expected::Absent, _) => {
            false
        }
    }
}
