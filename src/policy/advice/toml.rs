//! Lines for the rules, as an administrator would write them.

use serde_json::Value;

use crate::names::printable;
use crate::policy::{Compare, Condition, Expected, Glob, JsonPattern, Source, TextPattern};

/// The line that lets a publisher accept `found` beside what it accepts already.
pub(super) fn accepting(condition: &Condition, found: &str) -> Option<String> {
    /// Longer lists are only added to.
    const SHOWN: usize = 4;
    let new = value(condition, found)?;
    let mut values = written(&condition.expected);
    if values.len() > SHOWN {
        return Some(format!("add {new} to `{}`", condition.key));
    }
    values.push(new);
    Some(format!("write {}", line(condition, &one_or_list(&values))))
}

/// The line that makes a publisher accept `found` instead.
pub(super) fn replacing(condition: &Condition, found: &str) -> Option<String> {
    Some(line(condition, &value(condition, found)?))
}

/// `key = value`, in its place.
fn line(condition: &Condition, value: &str) -> String {
    match condition.source {
        Source::Fact => format!("{} = {value}", condition.key),
        Source::Claim => format!("claims = {{ {} = {value} }}", condition.claim),
    }
}

/// What was found, as a value of the rules.
fn value(condition: &Condition, found: &str) -> Option<String> {
    match (&condition.expected, condition.source) {
        (Expected::Text(_, Compare::Id), _) => Some(found.to_owned()),
        (_, Source::Fact) => Some(quoted(found)),
        // A claim is compared with a text, a whole number or a boolean, and nothing else.
        (_, Source::Claim) => match serde_json::from_str(found).ok()? {
            Value::String(text) => Some(quoted(&text)),
            Value::Number(number) if number.is_i64() => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
        },
    }
}

/// What is written already.
fn written(expected: &Expected) -> Vec<String> {
    match expected {
        Expected::Text(patterns, compare) => patterns.iter().map(|pattern| text(pattern, *compare)).collect(),
        Expected::Json(patterns) => patterns.iter().map(json).collect(),
        Expected::VersionTag(_) | Expected::Absent => Vec::new(),
    }
}

fn text(pattern: &TextPattern, compare: Compare) -> String {
    match (pattern, compare) {
        (TextPattern::Exact(id), Compare::Id) => id.clone(),
        (TextPattern::Exact(text), Compare::Exact | Compare::FoldCase) => quoted(text),
        (TextPattern::Glob(pattern), _) => glob(pattern),
    }
}

fn json(pattern: &JsonPattern) -> String {
    match pattern {
        JsonPattern::Text(TextPattern::Exact(text)) => quoted(text),
        JsonPattern::Text(TextPattern::Glob(pattern)) => glob(pattern),
        JsonPattern::Integer(number) => number.to_string(),
        JsonPattern::Bool(value) => value.to_string(),
    }
}

fn glob(glob: &Glob) -> String {
    format!("{{ glob = {} }}", quoted(glob.as_str()))
}

fn one_or_list(values: &[String]) -> String {
    match values {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

/// A TOML string.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// At most ten names: a publisher may have thousands of projects.
pub fn listed(names: impl IntoIterator<Item = String>) -> String {
    const SHOWN: usize = 10;
    let mut all: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    all.sort();
    all.dedup();
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    match (more, all.split_last()) {
        (0, Some((last, rest))) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        (0, _) => all.join(", "),
        (more, _) => format!("{} or one of {more} more", all.join(", ")),
    }
}
