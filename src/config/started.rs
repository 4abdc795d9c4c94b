//! What may start a run, and on what kind of ref.

use super::issuer::IssuerSettings;
use super::pattern::expected;
use super::publisher::condition;
use super::reader::Value;
use crate::policy::{Condition, Expected, JsonPattern, Source, TextPattern};

/// What started the run, and on what kind of ref.
pub(super) struct Started<'a> {
    pub(super) events: Option<Value<'a>>,
    pub(super) dangerous: Option<Value<'a>>,
    pub(super) protected: Option<Value<'a>>,
}

impl Started<'_> {
    pub(super) fn conditions(&self, issuer: &IssuerSettings) -> Vec<Condition> {
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
