//! Tables that other tables refer to by name.

use std::collections::HashSet;

use super::reader::{Table, Value};

/// What was read of all `[[…]]` tables of one kind.
#[derive(Debug)]
pub struct Named<T> {
    /// Every name that was written, so that a table with a problem of its own is not reported as missing, too.
    written: HashSet<String>,
    items: Vec<(String, T)>,
}

impl<T> Named<T> {
    /// Reads each table; two with one name are a problem.
    pub fn read(tables: &[Table<'_>], read: impl Fn(&Table<'_>) -> Option<T>) -> Self {
        let mut named = Self { written: HashSet::new(), items: Vec::new() };
        for table in tables {
            let name = unique_name(table, &mut named.written);
            let item = read(table);
            table.finish();
            named.items.extend(name.zip(item));
        }
        named
    }

    /// Reports each table whose `key` has the value of another's: only one of them would ever be found.
    pub fn check_distinct(&self, tables: &[Table<'_>], key: &'static str, of: impl Fn(&T) -> &str) {
        let mut seen = HashSet::new();
        for (name, item) in &self.items {
            if seen.insert(of(item).to_owned()) {
                continue;
            }
            let table = tables.iter().find(|table| table.name() == Some(name));
            if let Some(table) = table {
                table.problem(
                    format!("another table has the same `{key}`, and only one would ever be found"),
                    format!("give each its own {key}, or remove one of them"),
                );
            }
        }
    }

    /// What a value refers to by name.
    pub fn find(&self, value: &Value<'_>, kind: &str) -> Option<&T> {
        let text = value.text()?;
        if !self.written.contains(text) {
            value.problem(
                format!("there is no {kind} `{text}`"),
                format!("add [[{kind}]] with name = \"{text}\" to the main file, or correct the name"),
            );
        }
        self.items.iter().find(|(name, _)| name == text).map(|(_, item)| item)
    }

    /// All that could be read.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|(_, item)| item)
    }

    /// All that could be read.
    pub fn into_items(self) -> Vec<T> {
        self.items.into_iter().map(|(_, item)| item).collect()
    }
}

/// The name of a table, if it has one that no other has.
pub fn unique_name(table: &Table<'_>, taken: &mut HashSet<String>) -> Option<String> {
    let name = table.get("name")?;
    let text = name.raw().as_str()?.to_owned();
    if !taken.insert(text.clone()) {
        name.problem(
            format!("the name `{text}` is taken"),
            "give each its own name; rules and audit lines refer to it",
        );
        return None;
    }
    Some(text)
}
