//! `[[publisher]]`: a rule as it was written becomes a rule that decides.

use toml::de::DeValue;

use super::issuer::IssuerSettings;
use super::named::Named;
use super::reader::{Table, Value};
use super::upstream::NAME_FIX;
use crate::clock::Timestamp;
use crate::names::{ProjectName, PublisherName};
use crate::oidc::{Form, Preset, RuleKey};
use crate::policy::{
    Compare, Condition, Expected, Glob, JsonPattern, ProjectPattern, Publisher, Source, TextPattern,
    VersionTag,
};
use crate::proxy::IndexRoute;

/// Rule keys of the contract that this version does not have yet.
const TO_COME: [&str; 6] = ["job_workflow", "events", "dangerous_events", "protected", "versions", "mode"];

/// Reads one `[[publisher]]`.
pub fn publisher(
    table: &Table<'_>,
    issuers: &Named<IssuerSettings>,
    indexes: &Named<IndexRoute>,
) -> Option<Publisher> {
    table.not_yet(&TO_COME);
    let name: Option<PublisherName> =
        table.require("name", "name = \"billing-release\"").and_then(|name| name.parsed(NAME_FIX));
    let issuer =
        table.require("issuer", "issuer = \"github\"").and_then(|name| issuers.find(&name, "issuer"));
    let index = table.require("index", "index = \"prod\"").and_then(|name| indexes.find(&name, "index"));
    let projects = table.require("projects", "projects = [\"billing-core\"]").map(|list| projects(&list));
    let expires = table.get("expires").map(|date| expiry(&date));
    let claims = table.get("claims");
    // The keys of every preset, so that one of another issuer is told from one that does not exist.
    let keys: Vec<(&'static str, Value<'_>)> =
        rule_keys().filter_map(|key| Some((key, table.get(key)?))).collect();
    let issuer = issuer?;

    let mut conditions: Vec<Condition> =
        keys.iter().filter_map(|(key, value)| fact_condition(key, value, issuer)).collect();
    check_required(table, &keys, issuer);
    check_one_ref(&keys);
    check_owner_pin(&keys, issuer);
    conditions.extend(claims.into_iter().flat_map(|claims| claim_conditions(&claims, issuer)));
    check_identity_claims(table, claims, issuer);
    conditions.extend(implied(issuer));
    Some(Publisher {
        name: name?,
        issuer: issuer.name.clone(),
        index: index?.index.clone(),
        projects: projects?,
        conditions,
        expires: expires.unwrap_or(Some(None))?,
    })
}

fn rule_keys() -> impl Iterator<Item = &'static str> {
    Preset::publisher_keys().iter().copied().filter(|key| !TO_COME.contains(key))
}

fn projects(list: &Value<'_>) -> Vec<ProjectPattern> {
    list.items().iter().filter_map(project).collect()
}

fn project(value: &Value<'_>) -> Option<ProjectPattern> {
    match glob_text(value)? {
        ("any", false) => {
            value.problem(
                "`projects = \"any\"` is not supported by this version of indexgate",
                "name the projects",
            );
            None
        }
        (text, false) => {
            no_wildcard(value, text)?;
            let name: Result<ProjectName, _> = text.parse();
            name.map_err(|error| value.problem(error.to_string(), "write the project's name"))
                .ok()
                .map(ProjectPattern::Exact)
        }
        (text, true) => {
            let normalised =
                text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*?".contains(&b));
            let anchored = text.bytes().any(|b| b.is_ascii_alphanumeric());
            if !normalised || !anchored {
                value.problem(
                    format!("the glob `{text}` cannot be held against project names"),
                    "write normalised names: lower case, `-` for `_` and `.`, and at least one letter or digit",
                );
                return None;
            }
            glob(value, text).map(ProjectPattern::Glob)
        }
    }
}

/// Midnight, UTC, at the beginning of a date; or a moment.
fn expiry(value: &Value<'_>) -> Option<Option<Timestamp>> {
    let text = match value.raw() {
        DeValue::Datetime(date) => date.to_string(),
        _ => String::new(),
    };
    let moment: Option<jiff::Timestamp> = text.parse().ok();
    let midnight = || {
        let date: jiff::civil::Date = text.parse().ok().filter(|_| !text.contains(':'))?;
        date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    };
    match moment.or_else(midnight) {
        Some(moment) => Some(Some(Timestamp(moment.as_second()))),
        None => {
            value.problem(
                "`expires` is no date",
                "write it without quotes, as in expires = 2027-06-30 (midnight UTC)",
            );
            None
        }
    }
}

/// A rule key: what one fact of the identity must be.
fn fact_condition(key: &'static str, value: &Value<'_>, issuer: &IssuerSettings) -> Option<Condition> {
    let Some(rule_key) = issuer.preset.rule_key(key) else {
        let of_preset = issuer.preset.rule_keys.iter().map(|known| known.key);
        let known: Vec<_> = of_preset.filter(|known| rule_keys().any(|key| key == *known)).collect();
        let known = if known.is_empty() { "claims = { … }".to_owned() } else { known.join(", ") };
        value.problem(
            format!("identities of issuer `{}` (preset {}) have no `{key}`", issuer.name, issuer.preset.name),
            format!("use {known}"),
        );
        return None;
    };
    let expected = expected(rule_key, value)?;
    let claim = rule_key.claim.to_owned();
    Some(Condition {
        key: key.to_owned(),
        claim,
        source: Source::Fact,
        expected,
        identifies: rule_key.identifies,
    })
}

fn expected(rule_key: &RuleKey, value: &Value<'_>) -> Option<Expected> {
    if rule_key.key == "tag"
        && let Some(template) = value.raw().as_str().and_then(VersionTag::parse)
    {
        return Some(Expected::VersionTag(template));
    }
    let pattern = |item: &Value<'_>| match rule_key.form {
        Form::Number => id(item).map(TextPattern::Exact),
        Form::Text => text_pattern(item),
        Form::WrittenOut | Form::Uuid | Form::BracedUuid => written_out(item, rule_key),
    };
    let items = value.items();
    let patterns: Vec<_> = items.iter().filter_map(pattern).collect();
    (patterns.len() == items.len() && !patterns.is_empty())
        .then_some(Expected::Text(patterns, rule_key.compare))
}

/// An id as decimal text, which is how ids are compared: tokens write them as numbers or as strings.
fn id(value: &Value<'_>) -> Option<String> {
    let text = match value.raw() {
        DeValue::Integer(_) => value.integer()?.to_string(),
        _ => value.text()?.to_owned(),
    };
    let decimal = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if !decimal || text.is_empty() {
        value.problem(
            format!("`{text}` is no id"),
            "write the provider's number, without sign or leading zero",
        );
        return None;
    }
    Some(text)
}

/// A value that names who somebody is: never a pattern, and of the form that the provider's tokens have.
fn written_out(value: &Value<'_>, rule_key: &RuleKey) -> Option<TextPattern> {
    let (text, is_glob) = glob_text(value)?;
    if is_glob {
        value.problem(
            format!("`{}` says whose identity it is, so it is never a pattern", rule_key.key),
            format!("write the value out; a list may hold several: {} = [\"…\", \"…\"]", rule_key.key),
        );
        return None;
    }
    if !rule_key.form.fits(text) {
        let form = rule_key.form.name();
        value.problem(
            format!("`{text}` is no {form}, so no token matches it"),
            format!("write it as it stands in the claim `{}`", rule_key.claim),
        );
        return None;
    }
    Some(TextPattern::Exact(text.to_owned()))
}

fn text_pattern(value: &Value<'_>) -> Option<TextPattern> {
    match glob_text(value)? {
        (text, true) => glob(value, text).map(TextPattern::Glob),
        (text, false) => {
            no_wildcard(value, text)?;
            Some(TextPattern::Exact(text.to_owned()))
        }
    }
}

/// The text of a plain string, or of `{ glob = … }`; `true` for a glob.
fn glob_text<'a>(value: &Value<'a>) -> Option<(&'a str, bool)> {
    let DeValue::Table(_) = value.raw() else { return Some((value.text()?, false)) };
    let table = value.table("a pattern")?;
    let text = table.require("glob", "{ glob = \"…\" }").and_then(|glob| glob.text());
    table.finish();
    Some((text?, true))
}

fn glob(value: &Value<'_>, text: &str) -> Option<Glob> {
    let glob: Result<Glob, _> = text.parse();
    glob.map_err(|error| {
        value.problem(format!("`{text}`: {error}"), "see the rules for globs in the documentation")
    })
    .ok()
}

/// A plain string is exact. One that looks like a pattern was meant as one.
fn no_wildcard(value: &Value<'_>, text: &str) -> Option<()> {
    if text.contains(['*', '?']) {
        value.problem(
            format!("`{text}` is a plain text, and a plain text is exact"),
            format!("write {{ glob = \"{text}\" }}"),
        );
        return None;
    }
    Some(())
}

fn check_required(table: &Table<'_>, keys: &[(&'static str, Value<'_>)], issuer: &IssuerSettings) {
    for any_of in issuer.preset.required_rule_keys {
        if !keys.iter().any(|(key, _)| any_of.contains(key)) {
            let names: Vec<_> = any_of.iter().map(|key| format!("`{key}`")).collect();
            let preset = issuer.preset.name;
            table.problem(
                format!("{} is missing; every publisher of a {preset} issuer needs it", names.join(" or ")),
                format!("add {} = \"…\"", any_of.join(" = \"…\" or ")),
            );
        }
    }
}

fn check_one_ref(keys: &[(&'static str, Value<'_>)]) {
    let refs: Vec<_> = keys.iter().filter(|(key, _)| matches!(*key, "tag" | "branch" | "ref")).collect();
    for (key, value) in refs.iter().skip(1) {
        value.problem(format!("`{key}` excludes `{}`", refs[0].0), "keep one of tag, branch and ref");
    }
}

/// An owner's name can pass to somebody else; the id cannot. So whoever trusts all repositories of an owner names the
/// owner's id, and the owner itself is never a pattern.
fn check_owner_pin(keys: &[(&'static str, Value<'_>)], issuer: &IssuerSettings) {
    let Some(pin) = issuer.preset.owner_pin else { return };
    let Some((_, path)) = keys.iter().find(|(key, _)| *key == pin.path_key) else { return };
    for item in path.items() {
        let Some((text, is_glob)) = glob_text(&item) else { continue };
        if !is_glob {
            check_path(&item, pin.path_key, text);
            continue;
        }
        let owner = text.split('/').next().unwrap_or_default();
        if owner.contains(['*', '?']) || !text.contains('/') {
            item.problem(
                format!("the owner in `{text}` must be written out"),
                format!("write {} = {{ glob = \"owner/*\" }}", pin.path_key),
            );
        }
        if !keys.iter().any(|(key, _)| *key == pin.id_key) {
            item.problem(
                format!(
                    "a glob over `{}` needs `{}`, because a name can pass to another owner",
                    pin.path_key, pin.id_key
                ),
                format!("add {} = …", pin.id_key),
            );
        }
    }
}

fn check_path(value: &Value<'_>, key: &str, text: &str) {
    let segments = text.split('/').count();
    let well_formed =
        !text.split('/').any(str::is_empty) && segments >= 2 && (key != "repository" || segments == 2);
    if !well_formed {
        value.problem(format!("`{text}` is no {key}"), "write it as owner/name");
    }
}

/// `claims = { … }`: the token's own members.
fn claim_conditions(value: &Value<'_>, issuer: &IssuerSettings) -> Vec<Condition> {
    let Some(table) = value.table("claims") else { return Vec::new() };
    table.entries().filter_map(|(name, value)| claim_condition(name, &value, issuer)).collect()
}

fn claim_condition(name: &str, value: &Value<'_>, issuer: &IssuerSettings) -> Option<Condition> {
    if issuer.preset.never_matched.contains(&name) {
        value.problem(
            format!(
                "`sub` is not compared for {} issuers: its form differs between runs, or people may shape it",
                issuer.preset.name
            ),
            "pin the repository or the project and its ids instead",
        );
        return None;
    }
    let items = value.items();
    let patterns: Vec<_> = items.iter().filter_map(json_pattern).collect();
    let identifies = issuer.identity_claims.contains(name);
    (patterns.len() == items.len() && !patterns.is_empty()).then(|| Condition {
        key: name.to_owned(),
        claim: name.to_owned(),
        source: Source::Claim,
        expected: Expected::Json(patterns),
        identifies,
    })
}

fn json_pattern(value: &Value<'_>) -> Option<JsonPattern> {
    match value.raw() {
        DeValue::Integer(_) => value.integer().map(JsonPattern::Integer),
        DeValue::Boolean(boolean) => Some(JsonPattern::Bool(*boolean)),
        DeValue::String(_) | DeValue::Table(_) => text_pattern(value).map(JsonPattern::Text),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            value.problem(
                "a claim is compared with a text, a glob, a whole number or true or false",
                "write one of these",
            );
            None
        }
    }
}

/// Every publisher of a generic issuer pins what tells its identities apart, each to exact values.
fn check_identity_claims(table: &Table<'_>, claims: Option<Value<'_>>, issuer: &IssuerSettings) {
    for identity in &issuer.identity_claims {
        let pinned = claims.and_then(|claims| {
            let table = claims.table("claims")?;
            table.entries().find(|(name, _)| *name == identity.as_str()).map(|(_, value)| value)
        });
        match pinned {
            None => table.problem(
                format!("the claim `{identity}` is not pinned; issuer `{}` asks for it", issuer.name),
                format!("add claims = {{ {identity} = \"…\" }}"),
            ),
            Some(value) if value.items().iter().any(|item| matches!(item.raw(), DeValue::Table(_))) => {
                value.problem(
                    format!("the claim `{identity}` identifies, so it is compared exactly"),
                    "write plain values",
                );
            }
            Some(_) => {}
        }
    }
}

/// What holds for every publisher of an issuer without being written: nothing that strangers can start, and no job
/// that ran in another workflow file than the one the publisher trusts.
fn implied(issuer: &IssuerSettings) -> Vec<Condition> {
    let preset = issuer.preset;
    let condition = |rule_key: &RuleKey, expected| Condition {
        key: rule_key.key.to_owned(),
        claim: rule_key.claim.to_owned(),
        source: Source::Fact,
        expected,
        identifies: false,
    };
    let events = preset.default_events.iter().map(|event| TextPattern::Exact((*event).to_owned())).collect();
    let event = preset.event_key().map(|key| condition(key, Expected::Text(events, Compare::Exact)));
    let job_workflow = preset.rule_key("job_workflow").map(|key| condition(key, Expected::Absent));
    event.into_iter().chain(job_workflow).collect()
}
