//! Jenkins with the OpenID Connect Provider plugin: <https://plugins.jenkins.io/oidc-provider/>.

use super::claims::Claims;
use super::{ClaimProblem, Facts, HOUR, Preset, RS256, facts_of, name};

pub(super) static PRESET: Preset = Preset {
    name: "jenkins",
    // `https://HOST/oidc`, that of a folder, or any other that an administrator set.
    public_issuer: None,
    issuer_forms: &[],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: None,
    // There is no `jti`.
    required_claims: &["sub"],
    // Administrators make claims from templates.
    known_claims: &["*"],
    never_matched: &[],
    provenance: &["build_number", "git_url", "git_commit", "git_branch"],
    // The URL of the job, unless the template for `sub` was changed.
    rule_keys: &[name("subject", "sub")],
    required_rule_keys: &[&["subject"]],
    owner_pin: None,
    default_events: &[],
    dangerous_events: &[],
    facts,
};

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    Ok(facts_of([("subject", Some(claims.name("sub")?))]))
}
