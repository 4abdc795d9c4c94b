//! Rules that can never do anything.

use std::collections::HashMap;

use super::Lint;
use crate::config::issuer::IssuerSettings;
use crate::names::PublisherName;
use crate::policy::{Condition, Expected, ProjectPattern, Projects, Publisher, Restriction, TextPattern};

/// Why a publisher, or a part of it, can never grant.
pub(super) fn never_granting(
    publisher: &Publisher,
    issuer: &IssuerSettings,
    restrictions: &[Restriction],
) -> impl Iterator<Item = Lint> {
    let mut found: Vec<Lint> = publisher.conditions.iter().filter_map(plain_glob).collect();
    found.extend(unknown_events(publisher, issuer));
    found.extend(events_without_that_ref(publisher, issuer));
    found.extend(against_the_guardrail(publisher));
    found.extend(reserved_for_others(publisher, restrictions));
    found.into_iter()
}

/// `{ glob = "main" }`.
fn plain_glob(condition: &Condition) -> Option<Lint> {
    let Expected::Text(patterns, _) = &condition.expected else { return None };
    let plain = patterns.iter().find_map(|pattern| match pattern {
        TextPattern::Glob(glob) if !glob.as_str().contains(['*', '?']) => Some(glob.as_str()),
        TextPattern::Glob(_) | TextPattern::Exact(_) => None,
    })?;
    let key = &condition.key;
    Some(Lint::new(
        format!("the glob `{plain}` in `{key}` has no wildcard, so it matches that text only"),
        format!("write {key} = \"{plain}\", or add `*`"),
    ))
}

fn unknown_events(publisher: &Publisher, issuer: &IssuerSettings) -> Option<Lint> {
    let preset = issuer.preset;
    let known: Vec<&str> = preset.default_events.iter().chain(preset.dangerous_events).copied().collect();
    let unknown: Vec<String> =
        events(publisher)?.filter(|event| !known.contains(event)).map(|event| format!("`{event}`")).collect();
    (!unknown.is_empty()).then(|| {
        Lint::new(
            format!("preset {} does not know the event {}", preset.name, unknown.join(", ")),
            format!("check the spelling; it knows {}", known.join(", ")),
        )
    })
}

/// The values of `events`, if the publisher lists any.
fn events(publisher: &Publisher) -> Option<impl Iterator<Item = &str>> {
    let condition = publisher.conditions.iter().find(|condition| condition.key == "event")?;
    let Expected::Text(patterns, _) = &condition.expected else { return None };
    Some(patterns.iter().filter_map(|pattern| match pattern {
        TextPattern::Exact(text) => Some(text.as_str()),
        TextPattern::Glob(_) => None,
    }))
}

/// GitHub runs some events on tags only, and some on branches only.
fn events_without_that_ref(publisher: &Publisher, issuer: &IssuerSettings) -> Option<Lint> {
    const ON_TAGS: [&str; 1] = ["release"];
    const ON_BRANCHES: [&str; 4] = ["schedule", "pull_request_target", "workflow_run", "issue_comment"];
    if !issuer.preset.name.starts_with("github") {
        return None;
    }
    let has = |key: &str| publisher.conditions.iter().any(|condition| condition.key == key);
    let (key, never) = match (has("tag"), has("branch")) {
        (true, _) => ("tag", &ON_BRANCHES[..]),
        (false, true) => ("branch", &ON_TAGS[..]),
        (false, false) => return None,
    };
    let listed: Vec<&str> = events(publisher)?.collect();
    let all_never = !listed.is_empty() && listed.iter().all(|event| never.contains(event));
    all_never.then(|| {
        Lint::new(
            format!("runs that are started by {} never have a {key}", listed.join(" or ")),
            format!("list an event that has one in `events`, as push, or remove `{key}`"),
        )
    })
}

/// A value that the issuer's `require` rules out.
fn against_the_guardrail(publisher: &Publisher) -> Option<Lint> {
    publisher.conditions.iter().find_map(|condition| {
        let required = publisher.implied.iter().find(|implied| implied.key == condition.key)?;
        let (Expected::Text(ours, compare), Expected::Text(theirs, _)) =
            (&condition.expected, &required.expected)
        else {
            return None;
        };
        let fits = |text: &str| theirs.iter().any(|pattern| pattern.matches(text, *compare));
        let possible = ours.iter().any(|pattern| match pattern {
            TextPattern::Exact(text) => fits(text),
            TextPattern::Glob(_) => true,
        });
        (!possible).then(|| {
            Lint::new(
                format!(
                    "`{}` is {}, but the issuer requires {}",
                    condition.key, condition.expected, required.expected
                ),
                "correct it, or the `require` of the [[issuer]]",
            )
        })
    })
}

/// Projects that only others may grant.
fn reserved_for_others(publisher: &Publisher, restrictions: &[Restriction]) -> Option<Lint> {
    let Projects::These(patterns) = &publisher.projects else { return None };
    let reserved = |pattern: &&ProjectPattern| match pattern {
        ProjectPattern::Exact(name) => restrictions.iter().any(|restriction| {
            restriction.covers(&publisher.index, name) && !restriction.admits(&publisher.name)
        }),
        ProjectPattern::Glob(_) => false,
    };
    let reserved: Vec<String> = patterns.iter().filter(reserved).map(|name| format!("`{name}`")).collect();
    (!reserved.is_empty()).then(|| {
        Lint::new(
            format!("a [[project]] reserves {} for other publishers", reserved.join(", ")),
            format!("add \"{}\" to its `only`, or remove the project here", publisher.name),
        )
    })
}

/// `only` with a publisher that does not cover the project.
pub(super) fn idle_restrictions(
    restrictions: &[Restriction],
    publishers: &[Publisher],
) -> Vec<(usize, Lint)> {
    let covers = |publisher: &Publisher, restriction: &Restriction| {
        publisher.index == restriction.index
            && match &restriction.projects {
                ProjectPattern::Exact(name) => publisher.projects.contain(name),
                // Whether two globs have a project in common is not worth finding out.
                ProjectPattern::Glob(_) => true,
            }
    };
    let by_name: HashMap<&PublisherName, &Publisher> =
        publishers.iter().map(|publisher| (&publisher.name, publisher)).collect();
    let mut found = Vec::new();
    for (number, restriction) in restrictions.iter().enumerate() {
        let Some(only) = &restriction.only else { continue };
        for name in only {
            let named = by_name.get(name);
            if let Some(publisher) = named.filter(|publisher| !covers(publisher, restriction)) {
                let (project, index) = (&restriction.projects, &restriction.index);
                found.push((number, Lint::new(
                    format!("`only` names publisher `{}`, which does not grant `{project}` of index `{index}`", publisher.name),
                    format!("add \"{project}\" to the projects of the publisher, or remove it from `only`"),
                )));
            }
        }
    }
    found
}
