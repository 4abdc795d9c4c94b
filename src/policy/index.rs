//! Finding the publishers that an identity may meet, without looking at the others.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::{Compare, Condition, Expected, JsonPattern, Publisher, Source, TextPattern, VerifiedClaims};
use crate::names::IssuerName;

/// All publishers, found by what identifies: a publisher that pins `repository = "acme/billing"` is only ever looked at
/// for an identity of that repository. The cost of a decision does not grow with the number of publishers.
#[derive(Debug, Default)]
pub struct PublisherIndex {
    all: Vec<Publisher>,
    issuers: HashMap<IssuerName, IssuerIndex>,
}

#[derive(Debug, Default)]
struct IssuerIndex {
    /// For each pinned key, the publishers by its value.
    pinned: Vec<PinnedBy>,
    /// Publishers without a pin; the configuration allows none, so this is empty outside tests.
    unpinned: Vec<u32>,
    /// Every publisher of the issuer.
    all: Vec<u32>,
}

/// The publishers that pin one key, by its value.
#[derive(Debug)]
struct PinnedBy {
    pin: Pin,
    values: HashMap<Box<str>, Vec<u32>>,
}

/// A key whose exact value a publisher demands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pin {
    key: Cow<'static, str>,
    source: Source,
    compare: Compare,
}

impl PublisherIndex {
    /// Sorts publishers by name, so that the first of several is always the same, and indexes them.
    pub fn new(mut publishers: Vec<Publisher>) -> Self {
        publishers.sort_by(|a, b| a.name.cmp(&b.name));
        let mut index = Self { all: publishers, issuers: HashMap::new() };
        for (n, publisher) in (0..).zip(&index.all) {
            index.issuers.entry(publisher.issuer.clone()).or_default().add(n, publisher);
        }
        index
    }

    /// The publishers that an identity can possibly meet, by name. All that it has proved to control are among them.
    pub fn candidates(&self, claims: &VerifiedClaims) -> Vec<&Publisher> {
        let Some(issuer) = self.issuers.get(claims.issuer()) else { return Vec::new() };
        let found = issuer.pinned.iter().flat_map(|PinnedBy { pin, values }| {
            let value = pin.value_in(claims);
            value.and_then(|value| values.get(&*value)).into_iter().flatten()
        });
        let mut found: Vec<u32> = found.chain(&issuer.unpinned).copied().collect();
        found.sort_unstable();
        found.dedup();
        self.publishers(found)
    }

    /// Every publisher of the issuer, by name: for explaining, where time does not matter.
    pub fn of_issuer(&self, issuer: &IssuerName) -> Vec<&Publisher> {
        self.issuers.get(issuer).map(|index| self.publishers(index.all.clone())).unwrap_or_default()
    }

    /// Every publisher, by name.
    pub fn all(&self) -> &[Publisher] {
        &self.all
    }

    /// How many publishers there are.
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn publishers(&self, numbers: Vec<u32>) -> Vec<&Publisher> {
        numbers.into_iter().filter_map(|n| self.all.get(n as usize)).collect()
    }
}

impl IssuerIndex {
    fn add(&mut self, n: u32, publisher: &Publisher) {
        self.all.push(n);
        let pinned = publisher.conditions.iter().filter(|condition| condition.identifies).find_map(Pin::of);
        let Some((pin, values)) = pinned else { return self.unpinned.push(n) };
        let at = self.pinned.iter().position(|by| by.pin == pin).unwrap_or_else(|| {
            self.pinned.push(PinnedBy { pin, values: HashMap::new() });
            self.pinned.len() - 1
        });
        for value in values {
            self.pinned[at].values.entry(value.into()).or_default().push(n);
        }
    }
}

impl Pin {
    /// The pin that a condition is, with its values, if all of them are exact.
    fn of(condition: &Condition) -> Option<(Self, Vec<String>)> {
        let (compare, values) = match &condition.expected {
            Expected::Text(patterns, compare) => {
                (*compare, patterns.iter().map(exact_text).collect::<Option<_>>()?)
            }
            Expected::Json(patterns) => {
                (Compare::Exact, patterns.iter().map(exact_json).collect::<Option<Vec<_>>>()?)
            }
            Expected::VersionTag(_) | Expected::Absent => return None,
        };
        let key = match condition.source {
            Source::Fact => condition.key.clone(),
            Source::Claim => condition.claim.clone(),
        };
        let pin = Self { key, source: condition.source, compare };
        let values = values.into_iter().map(|value: String| pin.folded(&value).into_owned()).collect();
        Some((pin, values))
    }

    /// What an identity says under this key, as it is looked up.
    fn value_in<'c>(&self, claims: &'c VerifiedClaims) -> Option<Cow<'c, str>> {
        match self.source {
            Source::Fact => claims.fact(&self.key).map(|fact| self.folded(fact)),
            Source::Claim => claims.claim(&self.key).map(|value| Cow::Owned(value.to_string())),
        }
    }

    fn folded<'v>(&self, value: &'v str) -> Cow<'v, str> {
        match self.compare {
            Compare::FoldCase if value.bytes().any(|b| b.is_ascii_uppercase()) => {
                Cow::Owned(value.to_ascii_lowercase())
            }
            Compare::FoldCase | Compare::Exact | Compare::Id => Cow::Borrowed(value),
        }
    }
}

fn exact_text(pattern: &TextPattern) -> Option<String> {
    match pattern {
        TextPattern::Exact(text) => Some(text.clone()),
        TextPattern::Glob(_) => None,
    }
}

/// A claim is looked up by its JSON text, so that `7` and `"7"` stay apart.
fn exact_json(pattern: &JsonPattern) -> Option<String> {
    match pattern {
        JsonPattern::Text(pattern) => exact_text(pattern).map(|text| Value::String(text).to_string()),
        JsonPattern::Integer(number) => Some(number.to_string()),
        JsonPattern::Bool(value) => Some(value.to_string()),
    }
}
