//! Google: service accounts of Google Cloud. Claims:
//! <https://cloud.google.com/docs/authentication/token-types#id>,
//! <https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload>.

use super::claims::Claims;
use super::{ClaimProblem, Facts, HOUR, Preset, RS256, facts_of, name};

pub(super) static PRESET: Preset = Preset {
    name: "google",
    public_issuer: Some("https://accounts.google.com"),
    issuer_forms: &[],
    jwks_hosts: &["www.googleapis.com"],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: None,
    // There is no `jti`.
    required_claims: &["email", "email_verified", "sub"],
    known_claims: &[
        "at_hash",
        "azp",
        "family_name",
        "given_name",
        "google",
        "hd",
        "name",
        "nonce",
        "picture",
    ],
    never_matched: &[],
    provenance: &["email", "azp"],
    // An address can be given to a new account; `sub` cannot. It has 21 digits, too many for a number.
    rule_keys: &[name("email", "email"), name("subject", "sub")],
    required_rule_keys: &[&["email"]],
    owner_pin: None,
    default_events: &[],
    dangerous_events: &[],
    facts,
};

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    claims.must_be("email_verified", true, "it is not the JSON value true")?;
    Ok(facts_of([("email", Some(claims.name("email")?)), ("subject", Some(claims.name("sub")?))]))
}
