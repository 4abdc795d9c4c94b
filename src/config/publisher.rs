//! `[[publisher]]`: a rule as it was written becomes a rule that decides.

use super::issuer::IssuerSettings;
use super::named::Named;
use super::pattern::{expected, json_pattern, moment, projects_of};
use super::reader::{Table, Value};
use super::soundness::{
    check_identity_claims, check_job_workflow, check_one_ref, check_owner_pin, check_required,
};
use super::started::Started;
use super::upstream::NAME_FIX;
use crate::names::PublisherName;
use crate::oidc::{Preset, RuleKey};
use crate::policy::{Condition, Expected, Mode, Publisher, Source, Versions};
use crate::proxy::IndexRoute;

/// Reads one `[[publisher]]`.
pub fn publisher(
    table: &Table<'_>,
    issuers: &Named<IssuerSettings>,
    indexes: &Named<IndexRoute>,
) -> Option<Publisher> {
    let name: Option<PublisherName> =
        table.require("name", "name = \"billing-release\"").and_then(|name| name.parsed(NAME_FIX));
    let issuer =
        table.require("issuer", "issuer = \"github\"").and_then(|name| issuers.find(&name, "issuer"));
    let index = table.require("index", "index = \"prod\"").and_then(|name| indexes.find(&name, "index"));
    let projects = table.require("projects", "projects = [\"billing-core\"]");
    let projects = projects.and_then(|list| projects_of(&list, index));
    let expires = table.get("expires").map(|date| moment(&date));
    let versions = table.get("versions").map(|value| value.choice(&[("dev-only", Versions::DevOnly)]));
    let mode = table
        .get("mode")
        .map(|value| value.choice(&[("enforce", Mode::Enforce), ("observe", Mode::Observe)]));
    let claims = table.get("claims");
    // The keys of every preset, so that one of another issuer is told from one that does not exist.
    let mut keys: Vec<(&'static str, Value<'_>)> =
        Preset::publisher_keys().iter().copied().filter_map(|key| Some((key, table.get(key)?))).collect();
    let started = Started {
        events: table.get("events"),
        dangerous: table.get("dangerous_events"),
        protected: table.get("protected"),
    };
    let issuer = issuer?;
    // As the preset lists them: who it is before what it does.
    keys.sort_by_key(|(key, _)| issuer.preset.rule_keys.iter().position(|known| known.key == *key));

    let mut conditions: Vec<Condition> =
        keys.iter().filter_map(|(key, value)| fact_condition(key, value, issuer)).collect();
    check_required(table, &keys, issuer);
    check_one_ref(&keys);
    check_owner_pin(&keys, issuer);
    conditions.extend(claims.into_iter().flat_map(|claims| claim_conditions(&claims, issuer)));
    check_identity_claims(table, claims, issuer);
    conditions.extend(started.conditions(issuer));
    let job_workflow = keys.iter().any(|(key, _)| *key == "job_workflow");
    Some(Publisher {
        name: name?,
        issuer: issuer.name.clone(),
        index: index?.index.clone(),
        projects: projects?,
        conditions,
        implied: issuer.implied.conditions(started.events.is_none(), !job_workflow),
        versions: versions.unwrap_or_else(|| Some(Versions::default()))?,
        expires: expires.unwrap_or(Some(None))?,
        mode: mode.unwrap_or_else(|| Some(Mode::default()))?,
    })
}

/// A rule key: what one fact of the identity must be.
fn fact_condition(key: &'static str, value: &Value<'_>, issuer: &IssuerSettings) -> Option<Condition> {
    let Some(rule_key) = issuer.preset.rule_key(key) else {
        let of_preset = issuer.preset.rule_keys.iter().map(|known| known.key);
        let known: Vec<_> = of_preset.filter(|known| Preset::publisher_keys().contains(known)).collect();
        let known = if known.is_empty() { "claims = { … }".to_owned() } else { known.join(", ") };
        value.problem(
            format!("identities of issuer `{}` (preset {}) have no `{key}`", issuer.name, issuer.preset.name),
            format!("use {known}"),
        );
        return None;
    };
    let expected = expected(rule_key, value)?;
    if key == "job_workflow" {
        check_job_workflow(value);
    }
    Some(condition(rule_key, expected, rule_key.identifies))
}

pub(super) fn condition(rule_key: &RuleKey, expected: Expected, identifies: bool) -> Condition {
    Condition {
        key: rule_key.key.into(),
        claim: rule_key.claim.into(),
        source: Source::Fact,
        expected,
        identifies,
    }
}

/// What an issuer requires of every publisher. It narrows, so it proves nothing about who may see a rule.
pub(super) fn required_fact(rule_key: &RuleKey, value: &Value<'_>) -> Option<Condition> {
    Some(condition(rule_key, expected(rule_key, value)?, false))
}

/// `claims = { … }`: the token's own members.
fn claim_conditions(value: &Value<'_>, issuer: &IssuerSettings) -> Vec<Condition> {
    let mut conditions = required_claims(value, issuer.preset);
    for condition in &mut conditions {
        condition.identifies = issuer.identity_claims.contains(&*condition.claim);
    }
    conditions
}

/// `claims = { … }` of an issuer's `require`, or of a publisher as far as the preset goes.
pub(super) fn required_claims(value: &Value<'_>, preset: &Preset) -> Vec<Condition> {
    let Some(table) = value.table("claims") else { return Vec::new() };
    table.entries().filter_map(|(name, value)| claim_condition(name, &value, preset)).collect()
}

fn claim_condition(name: &str, value: &Value<'_>, preset: &Preset) -> Option<Condition> {
    if preset.never_matched.contains(&name) {
        value.problem(
            format!("`{name}` is not compared for {} issuers: it does not identify reliably", preset.name),
            "pin the repository or the project and its ids instead",
        );
        return None;
    }
    let items = value.items();
    let patterns: Vec<_> = items.iter().filter_map(json_pattern).collect();
    (patterns.len() == items.len() && !patterns.is_empty()).then(|| Condition {
        key: name.to_owned().into(),
        claim: name.to_owned().into(),
        source: Source::Claim,
        expected: Expected::Json(patterns),
        identifies: false,
    })
}
