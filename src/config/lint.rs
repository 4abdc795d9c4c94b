//! What is allowed but hardly meant: rules that grant more than they say, or nothing at all.

mod covers;
mod never;
mod overlap;
mod spelling;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::Settings;
use super::issuer::IssuerSettings;
use super::problem::Problem;
use crate::clock::Timestamp;
use crate::names::IssuerName;
use crate::policy::{Compare, Expected, Publisher};

impl Settings {
    /// Everything that an administrator should look at, in the order of the files. None of it keeps the configuration
    /// from being served.
    pub fn lint(&self, now: Timestamp) -> Vec<Problem> {
        let issuers: HashMap<&IssuerName, &IssuerSettings> =
            self.issuers.iter().map(|issuer| (&issuer.name, issuer)).collect();
        let mut found = Vec::new();
        for publisher in &self.publishers {
            let Some(issuer) = issuers.get(&publisher.issuer) else { continue };
            let lints =
                [expired(publisher, now), unpinned(publisher, issuer), open_to_pushers(publisher, issuer)];
            found.extend(lints.into_iter().flatten().map(|lint| (publisher, lint)));
            found.extend(
                never::never_granting(publisher, issuer, &self.restrictions).map(|lint| (publisher, lint)),
            );
        }
        found.extend(spelling::both_extensions(&self.publishers));
        found.extend(overlap::overlapping(&self.publishers, &self.restrictions));
        let placed = found.into_iter().filter_map(|(publisher, Lint { what, fix })| {
            let message = format!("publisher `{}`: {what}", publisher.name);
            Some(self.places.publisher(&publisher.name, message)?.fix(fix))
        });
        let restrictions = never::idle_restrictions(&self.restrictions, &self.publishers);
        let restrictions = restrictions.into_iter().filter_map(|(number, Lint { what, fix })| {
            Some(self.places.restriction(number, format!("[[project]]: {what}"))?.fix(fix))
        });
        let mut problems: Vec<Problem> = placed.chain(restrictions).collect();
        Problem::sort(&mut problems);
        problems
    }
}

/// Something to look at, and what to do about it.
struct Lint {
    what: String,
    fix: String,
}

impl Lint {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }
}

fn expired(publisher: &Publisher, now: Timestamp) -> Option<Lint> {
    let expires = publisher.expires.filter(|expires| *expires <= now)?;
    Some(Lint::new(
        format!("it expired at {expires} and grants nothing"),
        "write a later `expires`, or remove it",
    ))
}

/// A name can pass to somebody else; an id cannot.
fn unpinned(publisher: &Publisher, issuer: &IssuerSettings) -> Option<Lint> {
    let mut ids = issuer.preset.rule_keys.iter().filter(|key| key.compare == Compare::Id).peekable();
    ids.peek()?;
    let pinned = publisher
        .all_conditions()
        .any(|condition| matches!(condition.expected, Expected::Text(_, Compare::Id)));
    if pinned {
        return None;
    }
    let keys: Vec<_> = ids.map(|key| key.key).collect();
    Some(Lint::new(
        "no id is pinned, so whoever gets the name of the owner or the repository next may publish",
        format!("add {} = …, as it stands in a token of the job", keys.join(" or ")),
    ))
}

/// We cannot know whether a repository is public, or who may push to it.
fn open_to_pushers(publisher: &Publisher, issuer: &IssuerSettings) -> Option<Lint> {
    const GUARDS: [&str; 5] = ["environment", "tag", "branch", "ref", "protected"];
    let has = |key: &str| publisher.all_conditions().any(|condition| condition.key == key);
    let offered: Vec<&str> = GUARDS.into_iter().filter(|key| issuer.preset.rule_key(key).is_some()).collect();
    if offered.is_empty() || GUARDS.into_iter().any(has) {
        return None;
    }
    Some(Lint::new(
        "any branch of the repository may publish, so whoever can push to one can change the workflow there and publish",
        "add environment = \"…\" (with reviewers, in the repository's settings), tag = \"v{version}\" or protected = true",
    ))
}
