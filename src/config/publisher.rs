//! `[[publisher]]`: a rule as it was written becomes a rule that decides.

use toml::de::DeValue;

use super::issuer::IssuerSettings;
use super::named::Named;
use super::reader::{Table, Value};
use super::upstream::NAME_FIX;
use crate::clock::Timestamp;
use crate::names::{ProjectName, PublisherName};
use crate::oidc::{Preset, RuleKey};
use crate::policy::{
    Compare, Condition, Expected, Glob, JsonPattern, Mode, ProjectPattern, Projects, Publisher, Source,
    TextPattern, VersionTag, Versions,
};
use crate::proxy::IndexRoute;

/// Every rule key of every preset that is built: what a publisher of another issuer may write by mistake.
const RULE_KEYS: [&str; 13] = [
    "job_workflow",
    "repository",
    "repository_id",
    "repository_owner_id",
    "workflow",
    "environment",
    "ref",
    "tag",
    "branch",
    "project_path",
    "project_id",
    "namespace_id",
    "namespace_path",
];

/// Rule keys that say whose identity it is, not what it is doing.
const IDENTIFYING: [&str; 7] = [
    "repository",
    "repository_id",
    "repository_owner_id",
    "project_path",
    "project_id",
    "namespace_id",
    "namespace_path",
];

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
    let keys: Vec<(&'static str, Value<'_>)> =
        RULE_KEYS.into_iter().filter_map(|key| Some((key, table.get(key)?))).collect();
    let started = Started {
        events: table.get("events"),
        dangerous: table.get("dangerous_events"),
        protected: table.get("protected"),
    };
    let issuer = issuer?;

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

fn projects_of(list: &Value<'_>, index: Option<&IndexRoute>) -> Option<Projects> {
    if list.raw().as_str() != Some("any") {
        return Some(Projects::These(projects(list)));
    }
    if index.is_some_and(|index| !index.any_project) {
        list.problem(
            "this index does not allow publishers of any project",
            "name the projects, or set any_project = true in the [[index]]",
        );
    }
    Some(Projects::Any)
}

/// What started the run, and on what kind of ref.
struct Started<'a> {
    events: Option<Value<'a>>,
    dangerous: Option<Value<'a>>,
    protected: Option<Value<'a>>,
}

impl Started<'_> {
    fn conditions(&self, issuer: &IssuerSettings) -> Vec<Condition> {
        self.event(issuer).into_iter().chain(self.protected_ref(issuer)).collect()
    }

    /// `events`: instead of the preset's list.
    fn event(&self, issuer: &IssuerSettings) -> Option<Condition> {
        let dangerous = self.dangerous.and_then(|value| value.boolean()).unwrap_or(false);
        let Some(events) = self.events else {
            if let Some(value) = self.dangerous {
                value.problem(
                    "`dangerous_events` has no effect without `events`",
                    "list the events, or remove the key",
                );
            }
            return None;
        };
        let Some(rule_key) = issuer.preset.event_key() else {
            events.problem(
                format!("identities of issuer `{}` say nothing about events", issuer.name),
                "remove the key",
            );
            return None;
        };
        for event in events.items() {
            if let Some(text) =
                event.raw().as_str().filter(|text| issuer.preset.dangerous_events.contains(text))
                && !dangerous
            {
                event.problem(
                    format!("strangers can start a run by `{text}`, or choose what it works on"),
                    "remove it, or add dangerous_events = true if you know why it is safe here",
                );
            }
        }
        Some(condition(rule_key, expected(rule_key, &events)?, false))
    }

    /// `protected = true`: only protected branches and tags. Providers write it as text or as a boolean.
    fn protected_ref(&self, issuer: &IssuerSettings) -> Option<Condition> {
        const CLAIM: &str = "ref_protected";
        let value = self.protected?;
        if !issuer.preset.knows_claim(CLAIM) {
            value.problem(
                format!("identities of issuer `{}` do not say whether a ref is protected", issuer.name),
                "remove the key",
            );
            return None;
        }
        match value.boolean()? {
            false => None,
            true => Some(Condition {
                key: "protected".into(),
                claim: CLAIM.into(),
                source: Source::Claim,
                expected: Expected::Json(vec![
                    JsonPattern::Text(TextPattern::Exact("true".to_owned())),
                    JsonPattern::Bool(true),
                ]),
                identifies: false,
            }),
        }
    }
}

fn projects(list: &Value<'_>) -> Vec<ProjectPattern> {
    list.items().iter().filter_map(project).collect()
}

/// One project, or a glob over projects.
pub(super) fn project(value: &Value<'_>) -> Option<ProjectPattern> {
    match glob_text(value)? {
        ("any", false) => {
            value.problem(
                "`any` stands alone: it is no project of a list",
                "write projects = \"any\", or name the projects",
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
pub(super) fn moment(value: &Value<'_>) -> Option<Option<Timestamp>> {
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
            value.problem("this is no date", "write it without quotes, as in 2027-06-30 (midnight UTC)");
            None
        }
    }
}

/// A rule key: what one fact of the identity must be.
fn fact_condition(key: &'static str, value: &Value<'_>, issuer: &IssuerSettings) -> Option<Condition> {
    let Some(rule_key) = issuer.preset.rule_key(key) else {
        let known: Vec<_> = issuer
            .preset
            .rule_keys
            .iter()
            .map(|known| known.key)
            .filter(|key| RULE_KEYS.contains(key))
            .collect();
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
    Some(condition(rule_key, expected, IDENTIFYING.contains(&key)))
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

/// A workflow file of another repository is named with its repository, whose owner is written out.
fn check_job_workflow(value: &Value<'_>) {
    for item in value.items() {
        let Some((text, _)) = glob_text(&item) else { continue };
        let mut segments = text.split('/');
        let owner = segments.next().unwrap_or_default();
        let folder: Vec<&str> = segments.skip(1).take(2).collect();
        if owner.contains(['*', '?']) || owner.is_empty() || folder.len() != 2 || !folder[0].starts_with('.')
        {
            item.problem(
                format!("`{text}` is no workflow file with its repository"),
                "write it as owner/repository/.github/workflows/file.yml, with the owner written out",
            );
        }
    }
}

fn expected(rule_key: &RuleKey, value: &Value<'_>) -> Option<Expected> {
    if rule_key.key == "tag"
        && let Some(template) = value.raw().as_str().and_then(VersionTag::parse)
    {
        return Some(Expected::VersionTag(template));
    }
    let pattern = |item: &Value<'_>| match rule_key.compare {
        Compare::Id => id(item).map(TextPattern::Exact),
        Compare::Exact | Compare::FoldCase => text_pattern(item),
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
    for required in issuer.preset.required_rule_keys {
        if !keys.iter().any(|(key, _)| key == required) {
            table.problem(
                format!(
                    "`{required}` is missing; every publisher of a {} issuer needs it",
                    issuer.preset.name
                ),
                format!("add {required} = \"…\""),
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
            "pin the repository and its ids instead",
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
