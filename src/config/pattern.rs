//! The right-hand sides of the rules: texts, globs, ids, projects, dates.

use toml::de::DeValue;

use super::reader::Value;
use crate::clock::Timestamp;
use crate::names::ProjectName;
use crate::oidc::{Form, RuleKey};
use crate::policy::{Expected, Glob, JsonPattern, ProjectPattern, Projects, TextPattern, VersionTag};
use crate::proxy::IndexRoute;

pub(super) fn projects_of(list: &Value<'_>, index: Option<&IndexRoute>) -> Option<Projects> {
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

pub(super) fn expected(rule_key: &RuleKey, value: &Value<'_>) -> Option<Expected> {
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
pub(super) fn glob_text<'a>(value: &Value<'a>) -> Option<(&'a str, bool)> {
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

pub(super) fn json_pattern(value: &Value<'_>) -> Option<JsonPattern> {
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
