//! Reading TOML with places: each table is asked for the keys it may have, and says which others it has.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems, Source};

/// A table of a configuration file.
pub struct Table<'a> {
    source: &'a Source,
    problems: &'a Problems,
    table: &'a DeTable<'a>,
    /// How messages call it: ``[[publisher]] `x` ``.
    what: String,
    span: Range<usize>,
    /// The keys that were asked for.
    known: RefCell<Vec<&'static str>>,
}

/// A value with its place.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    source: &'a Source,
    problems: &'a Problems,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Table<'a> {
    /// The whole document.
    pub fn document(source: &'a Source, problems: &'a Problems, document: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(source, problems, document.get_ref(), "the configuration".to_owned(), 0..0)
    }

    fn new(
        source: &'a Source,
        problems: &'a Problems,
        table: &'a DeTable<'a>,
        what: String,
        span: Range<usize>,
    ) -> Self {
        Self { source, problems, table, what, span, known: RefCell::default() }
    }

    /// The file it stands in.
    pub const fn source(&self) -> &'a Source {
        self.source
    }

    /// Names the table in messages by its own `name`.
    pub fn called(mut self, kind: &str) -> Self {
        self.what = self.name().map_or_else(|| kind.to_owned(), |name| format!("{kind} `{name}`"));
        self
    }

    /// Its `name`, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.table.get("name").and_then(|name| name.get_ref().as_str())
    }

    /// A problem with the table as a whole.
    pub fn problem(&self, message: impl AsRef<str>, fix: impl Into<String>) {
        let message = format!("{}: {}", self.what, message.as_ref());
        self.problems.add(Problem::at(self.source, &self.span, message).fix(fix));
    }

    /// A problem with the table as a whole that is not one yet.
    pub fn place(&self, message: impl Into<String>) -> Problem {
        Problem::at(self.source, &self.span, message)
    }

    /// Where the table begins.
    pub const fn start(&self) -> usize {
        self.span.start
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &'static str) -> Option<Value<'a>> {
        self.known.borrow_mut().push(key);
        let value = self.table.get(key)?;
        Some(Value { source: self.source, problems: self.problems, value })
    }

    /// The value of a key that must be there.
    pub fn require(&self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.problem(format!("`{key}` is missing"), format!("add {example}"));
        }
        value
    }

    /// Keys of the contract that this version does not have yet: never silently accepted. Tells whether there are any.
    pub fn not_yet(&self, keys: &[&'static str]) -> bool {
        let mut any = false;
        for key in keys {
            if let Some(value) = self.get(key) {
                any = true;
                let message = format!("{}: `{key}` is not supported by this version of indexgate", self.what);
                value.problem(
                    message,
                    "remove the key if the rule is right without it; otherwise wait for a version that has it",
                );
            }
        }
        any
    }

    /// The tables of `[[key]]`.
    pub fn tables(&self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let kind = format!("[[{key}]]");
        let DeValue::Array(items) = value.value.get_ref() else {
            value.problem(
                format!("`{key}` must be written as {kind}"),
                format!("begin the table with {kind}"),
            );
            return Vec::new();
        };
        let item = |item| Value { value: item, ..value };
        items.iter().filter_map(|table| item(table).table(&kind)).map(|table| table.called(&kind)).collect()
    }

    /// Reports every key that nobody asked for.
    pub fn finish(&self) {
        let known = self.known.borrow();
        for key in self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name: &str = key.get_ref();
            let problem =
                Problem::at(self.source, &key.span(), format!("{}: unknown key `{name}`", self.what));
            let fix = match nearest(name, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("remove it; known keys are {}", known.join(", ")),
            };
            self.problems.add(problem.fix(fix));
        }
    }

    /// The names of all keys, for tables whose keys the administrator chooses.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let (source, problems) = (self.source, self.problems);
        self.table.iter().map(move |(key, value)| (key.get_ref().as_ref(), Value { source, problems, value }))
    }
}

impl<'a> Value<'a> {
    /// A problem with this value.
    pub fn problem(&self, message: impl Into<String>, fix: impl Into<String>) {
        self.problems.add(Problem::at(self.source, &self.value.span(), message).fix(fix));
    }

    /// The file it stands in.
    pub const fn source(&self) -> &'a Source {
        self.source
    }

    /// Notes a file that it names and that is about to be read.
    pub fn reads(&self, path: &Path) {
        self.problems.files.borrow_mut().note(path);
    }

    /// Notes a pattern whose files are about to be read.
    pub fn reads_matching(&self, pattern: &Path) {
        self.problems.files.borrow_mut().note_matching(pattern);
    }

    /// The value itself.
    pub fn raw(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// A text that is not empty.
    pub fn text(&self) -> Option<&'a str> {
        match self.raw().as_str() {
            Some("") => {
                self.problem("this text is empty", "write a value, or remove the key");
                None
            }
            Some(text) => Some(text),
            None => {
                self.problem("a text is expected here", "put the value in quotes");
                None
            }
        }
    }

    /// A text that becomes something.
    pub fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&self, fix: &str) -> Option<T> {
        let text = self.text()?;
        text.parse().map_err(|error: T::Err| self.problem(error.to_string(), fix)).ok()
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.problem(format!("`{text}` is not known here"), format!("write one of {}", words.join(", ")));
        }
        found.map(|(_, choice)| *choice)
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        let boolean = self.raw().as_bool();
        if boolean.is_none() {
            self.problem("true or false is expected here", "write it without quotes");
        }
        boolean
    }

    /// A whole number.
    pub fn integer(&self) -> Option<i64> {
        let number = match self.raw() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        if number.is_none() {
            self.problem("a whole number is expected here", "write digits without quotes");
        }
        number
    }

    /// A duration within bounds: `"15m"`, `"10s"`, `"6h"`.
    pub fn duration(&self, least: Duration, most: Duration) -> Option<Duration> {
        let text = self.text()?;
        let signed = || text.parse::<jiff::SignedDuration>().ok();
        let duration = days(text).or_else(|| signed().and_then(|signed| Duration::try_from(signed).ok()));
        match duration {
            None => self.problem(
                format!("`{text}` is no duration"),
                "write a number and a unit, as in \"15m\" or \"10s\"",
            ),
            Some(duration) if !(least..=most).contains(&duration) => {
                let bounds = format!("write a value from {} to {}", brief(least), brief(most));
                self.problem(format!("`{text}` is out of range"), bounds);
            }
            Some(duration) => return Some(duration),
        }
        None
    }

    /// A number of bytes: `"1GiB"`, `"100MB"`, or a plain number.
    pub fn size(&self) -> Option<u64> {
        if let DeValue::Integer(_) = self.raw() {
            let size = self.integer().map(u64::try_from)?;
            if size.is_err() {
                self.problem("a size cannot be negative", "write a number of bytes, or \"1GiB\"");
            }
            return size.ok();
        }
        let text = self.text()?;
        let size: Result<bytesize::ByteSize, _> = text.parse();
        if size.is_err() {
            self.problem(
                format!("`{text}` is no size"),
                "write a number and a unit, as in \"1GiB\" or \"64MiB\"",
            );
        }
        size.ok().map(|size| size.as_u64())
    }

    /// A table.
    pub fn table(&self, what: &str) -> Option<Table<'a>> {
        let DeValue::Table(table) = self.raw() else {
            self.problem(format!("{what} must be a table"), "write { key = value, … }");
            return None;
        };
        Some(Table::new(self.source, self.problems, table, what.to_owned(), self.value.span()))
    }

    /// The members of a list that may be empty.
    pub fn any_items(&self) -> Vec<Self> {
        match self.raw() {
            DeValue::Array(items) if items.is_empty() => Vec::new(),
            _ => self.items(),
        }
    }

    /// The members of a list; a single value is a list of one.
    pub fn items(&self) -> Vec<Self> {
        match self.raw() {
            DeValue::Array(items) if items.is_empty() => {
                self.problem("this list is empty", "write at least one value, or remove the key");
                Vec::new()
            }
            DeValue::Array(items) => items.iter().map(|value| Value { value, ..*self }).collect(),
            _ => vec![*self],
        }
    }
}

/// `"30d"`: days of 24 hours.
fn days(text: &str) -> Option<Duration> {
    let days: u64 = text.strip_suffix('d')?.parse().ok()?;
    days.checked_mul(24 * 3600).map(Duration::from_secs)
}

fn brief(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 24 * 3600 && seconds % (24 * 3600) == 0 => {
            format!("{}d", seconds / (24 * 3600))
        }
        seconds if seconds >= 3600 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// The known key that `name` is most likely a misspelling of.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let close = |key: &&&str| distance(name, key) <= 1 + name.len() / 4;
    known.iter().filter(close).min_by_key(|key| distance(name, key)).copied()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
