//! The decision: one pure function of rules, claims, the upload and the time.

use super::trail::{Check, Trial};
use super::{
    Condition, Mode, Obstacle, Permit, ProjectPattern, Projects, Publisher, Rules, Source, VerifiedClaims,
};
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
    pub projects: Projects,
}

/// The answer, always with its reasons.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What every publisher that the identity meets would allow.
    pub grants: Vec<Grant>,
    /// The right to make the upload that was asked about; `None` if there is none, or none was asked about.
    pub permit: Option<Permit>,
    /// Publishers in observe mode that the identity meets, and that would allow the upload if one was asked about.
    pub observed: Vec<PublisherName>,
    /// Each publisher that the identity can possibly meet, with each of its conditions, nearest first.
    pub trail: Vec<Trial>,
}

/// Decides what an identity may do now: in general, and about one upload if `asked` names one.
///
/// Publishers add and their order never matters; the first by name is the one that the permit names.
pub fn decide(rules: &Rules, claims: &VerifiedClaims, asked: Option<&Asked>, now: Timestamp) -> Decision {
    decide_among(rules.publishers().candidates(claims), rules, claims, asked, now)
}

/// The same decision with every publisher of the issuer in its trail: for explaining near misses. It costs as much as
/// there are publishers.
pub fn survey(rules: &Rules, claims: &VerifiedClaims, asked: Option<&Asked>, now: Timestamp) -> Decision {
    decide_among(rules.publishers().of_issuer(claims.issuer()), rules, claims, asked, now)
}

fn decide_among(
    publishers: Vec<&Publisher>,
    rules: &Rules,
    claims: &VerifiedClaims,
    asked: Option<&Asked>,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision { grants: Vec::new(), permit: None, observed: Vec::new(), trail: Vec::new() };
    for publisher in publishers {
        let mut trial = try_publisher(publisher, rules, claims, asked, now);
        if trial.met() {
            decision.consider(publisher, rules, asked, &mut trial);
        }
        decision.trail.push(trial);
    }
    decision.trail.sort_by_cached_key(Trial::distance);
    decision
}

impl Decision {
    /// What is left of it where only one index counts.
    #[must_use]
    pub fn only_for(mut self, index: &IndexName) -> Self {
        self.trail.retain(|trial| trial.index == *index);
        self.observed.retain(|name| self.trail.iter().any(|trial| trial.publisher == *name));
        self.grants.retain(|grant| grant.index == *index);
        self.permit = self.permit.filter(|permit| permit.is_in(index));
        self
    }

    /// Adds what a publisher gives whose conditions are met.
    fn consider(&mut self, publisher: &Publisher, rules: &Rules, asked: Option<&Asked>, trial: &mut Trial) {
        if trial.obstacles.iter().any(|obstacle| matches!(obstacle, Obstacle::Expired { .. })) {
            return;
        }
        if publisher.mode == Mode::Observe {
            if trial.obstacles == [Obstacle::Observing] {
                self.observed.push(publisher.name.clone());
            }
            return;
        }
        match grant(publisher, rules) {
            Some(grant) => self.grants.push(grant),
            None if asked.is_none() => trial.obstacles.push(reserved_for_others(publisher, rules)),
            None => {}
        }
        if let Some(asked) = asked.filter(|_| self.permit.is_none() && trial.grants()) {
            self.permit = Some(Permit::new(publisher.name.clone(), asked));
        }
    }
}

/// What a publisher gives, less the projects that are reserved for others.
fn grant(publisher: &Publisher, rules: &Rules) -> Option<Grant> {
    let reserved = |name: &ProjectName| {
        rules.restrictions_on(&publisher.index, name).any(|restriction| !restriction.admits(&publisher.name))
    };
    let projects = match &publisher.projects {
        Projects::Any => Projects::Any,
        Projects::These(patterns) => {
            let left = patterns.iter().filter(|pattern| match pattern {
                ProjectPattern::Exact(name) => !reserved(name),
                ProjectPattern::Glob(_) => true,
            });
            Projects::These(left.cloned().collect())
        }
    };
    let empty = matches!(&projects, Projects::These(patterns) if patterns.is_empty());
    (!empty).then(|| Grant { publisher: publisher.name.clone(), index: publisher.index.clone(), projects })
}

/// Why a publisher gives nothing whose every project is reserved.
fn reserved_for_others(publisher: &Publisher, rules: &Rules) -> Obstacle {
    let closed = rules.restrictions().iter().filter(|restriction| {
        let about = |pattern: &ProjectPattern| match pattern {
            ProjectPattern::Exact(name) => restriction.covers(&publisher.index, name),
            ProjectPattern::Glob(_) => false,
        };
        let Projects::These(patterns) = &publisher.projects else { return false };
        !restriction.admits(&publisher.name) && patterns.iter().any(about)
    });
    Obstacle::reserved(None, closed)
}

fn try_publisher(
    publisher: &Publisher,
    rules: &Rules,
    claims: &VerifiedClaims,
    asked: Option<&Asked>,
    now: Timestamp,
) -> Trial {
    let written = publisher.conditions.iter().map(|condition| check(condition, claims, false));
    let implied = publisher.implied.iter().map(|condition| check(condition, claims, true));
    Trial {
        publisher: publisher.name.clone(),
        index: publisher.index.clone(),
        checks: written.chain(implied).collect(),
        obstacles: Obstacle::all(publisher, rules, claims, asked, now),
    }
}

fn check(condition: &Condition, claims: &VerifiedClaims, implied: bool) -> Check {
    let (met, found) = match condition.source {
        Source::Fact => {
            let found = claims.fact(&condition.key);
            (condition.expected.fact_meets(found), found.map(str::to_owned))
        }
        Source::Claim => {
            let found = claims.claim(&condition.claim);
            (condition.expected.claim_meets(found), found.map(ToString::to_string))
        }
    };
    let wants_ref = found.is_none() && !met && matches!(&*condition.key, "tag" | "branch");
    let run_ref = claims.fact("ref").filter(|_| wants_ref).map(str::to_owned);
    Check { condition: condition.clone(), found, met, implied, run_ref }
}
