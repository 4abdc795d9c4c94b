//! An issuer that we know nothing about. Rules name its claims themselves, in `claims = { … }`.

use super::{Facts, HOUR, Preset, RS256};

pub(super) static PRESET: Preset = Preset {
    name: "generic",
    public_issuer: None,
    issuer_forms: &[],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: None,
    required_claims: &[],
    known_claims: &["*"],
    never_matched: &[],
    provenance: &[],
    rule_keys: &[],
    required_rule_keys: &[],
    owner_pin: None,
    default_events: &[],
    dangerous_events: &[],
    facts: |_, _| Ok(Facts::new()),
};
