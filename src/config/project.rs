//! `[[project]]`: what narrows the rules.

use std::collections::HashSet;

use super::named::Named;
use super::pattern::{moment, project};
use super::reader::{Table, Value};
use super::upstream::PASSWORDS;
use crate::names::PublisherName;
use crate::policy::{PasswordRule, Restriction};
use crate::proxy::IndexRoute;

/// A `[[project]]`, and the publishers that it names; they may stand in a file that was not read yet.
pub struct ReadRestriction<'a> {
    /// The restriction.
    pub restriction: Restriction,
    only: Option<Value<'a>>,
}

/// Reads one `[[project]]`.
pub fn restriction<'a>(table: &Table<'a>, indexes: &Named<IndexRoute>) -> Option<ReadRestriction<'a>> {
    let index = table.require("index", "index = \"prod\"").and_then(|name| indexes.find(&name, "index"));
    let projects = table.require("name", "name = \"billing-core\"").and_then(|name| project(&name));
    let only = table.get("only");
    let names = only.map(|list| list.items().iter().filter_map(publisher_name).collect());
    let passwords = table.get("passwords").map(|value| value.choice(&PASSWORDS));
    let from = table.get("passwords_from").map(|date| moment(&date));
    if passwords.is_none()
        && let Some(date) = table.get("passwords_from")
    {
        date.problem("`passwords_from` has no effect without `passwords`", "add passwords = \"refuse\"");
    }
    if only.is_none() && passwords.is_none() {
        table.problem(
            "it restricts nothing",
            "add only = [\"publisher\"] or passwords = \"refuse\", or remove the table",
        );
    }
    let passwords = match passwords {
        None => None,
        Some(then) => Some(PasswordRule { then: then?, from: from.unwrap_or(Some(None))? }),
    };
    let restriction =
        Restriction { index: index?.index.clone(), projects: projects?, only: names, passwords };
    Some(ReadRestriction { restriction, only })
}

fn publisher_name(value: &Value<'_>) -> Option<PublisherName> {
    value.parsed("write the name of a publisher")
}

impl ReadRestriction<'_> {
    /// Reports publishers that do not exist: a misspelt name would let nobody publish.
    pub fn check_names(&self, publishers: &HashSet<String>) {
        for name in self.only.iter().flat_map(Value::items) {
            if let Some(text) = name.raw().as_str().filter(|text| !publishers.contains(*text)) {
                name.problem(
                    format!("there is no publisher `{text}`"),
                    "correct the name, or add the publisher",
                );
            }
        }
    }
}
