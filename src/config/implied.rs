//! What holds for every publisher of an issuer without being written in it: the issuer's guardrail, nothing that
//! strangers can start, and no job that ran in another workflow file than the one the publisher trusts.

use std::sync::Arc;

use super::publisher::{condition, required_claims, required_fact};
use super::reader::Value;
use crate::oidc::Preset;
use crate::policy::{Compare, Condition, Expected, TextPattern};

/// The implied conditions of an issuer, in the four combinations that publishers share: millions of publishers hold
/// one of these.
#[derive(Clone, Debug)]
pub struct Implied {
    combinations: [Arc<[Condition]>; 4],
}

impl Implied {
    /// Of a preset and the issuer's own `require`.
    pub fn new(preset: &Preset, require: &[Condition]) -> Self {
        let combination = |events: bool, own_workflow: bool| {
            let event = default_events(preset).filter(|_| events);
            let workflow = own_workflow_only(preset).filter(|_| own_workflow);
            require.iter().cloned().chain(event).chain(workflow).collect()
        };
        let (yes, no) = (true, false);
        Self {
            combinations: [
                combination(no, no),
                combination(no, yes),
                combination(yes, no),
                combination(yes, yes),
            ],
        }
    }

    /// Those of a publisher that has no list of events of its own, or names no other workflow file of the job.
    pub fn conditions(&self, default_events: bool, own_workflow: bool) -> Arc<[Condition]> {
        Arc::clone(&self.combinations[usize::from(default_events) * 2 + usize::from(own_workflow)])
    }
}

fn default_events(preset: &Preset) -> Option<Condition> {
    let events = preset.default_events.iter().map(|event| TextPattern::Exact((*event).to_owned())).collect();
    Some(condition(preset.event_key()?, Expected::Text(events, Compare::Exact), false))
}

fn own_workflow_only(preset: &Preset) -> Option<Condition> {
    Some(condition(preset.rule_key("job_workflow")?, Expected::Absent, false))
}

/// `require = { … }` of an `[[issuer]]`: the same keys and values as in a publisher.
pub fn require(value: &Value<'_>, preset: &'static Preset) -> Vec<Condition> {
    let Some(table) = value.table("require") else { return Vec::new() };
    let facts = preset.rule_keys.iter().filter_map(|rule_key| {
        let key = if preset.event_key().is_some_and(|event| event.key == rule_key.key) {
            "events"
        } else {
            rule_key.key
        };
        required_fact(rule_key, &table.get(key)?)
    });
    let mut conditions: Vec<Condition> = facts.collect();
    conditions.extend(table.get("claims").into_iter().flat_map(|claims| required_claims(&claims, preset)));
    table.finish();
    conditions
}
