//! Codefresh. Claims: <https://codefresh.io/docs/docs/integrations/oidc-pipelines/>.

use super::claims::Claims;
use super::{ClaimProblem, EVENT_KEY, Facts, HOUR, Preset, RS256, exact, facts_of, fold_case_name, name};

pub(super) static PRESET: Preset = Preset {
    name: "codefresh",
    public_issuer: Some("https://oidc.codefresh.io"),
    issuer_forms: &[],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: None,
    // There is no `jti`.
    required_claims: &["account_id", "pipeline_id", "workflow_id"],
    known_claims: &["platform_url", "runner_environment"],
    // Its form differs between kinds of triggers.
    never_matched: &["sub"],
    provenance: &[
        "account_id",
        "account_name",
        "pipeline_id",
        "pipeline_name",
        "workflow_id",
        "initiator",
        "scm_repo_url",
        "scm_ref",
        "scm_user_name",
        "scm_pull_request_target_branch",
    ],
    rule_keys: &[
        name("account_id", "account_id"),
        name("pipeline_id", "pipeline_id"),
        exact("pipeline", "pipeline_name").identifying(),
        fold_case_name("repository", "scm_repo_url"),
        // A branch or a tag; the token does not tell which.
        exact("scm_ref", "scm_ref"),
        exact(EVENT_KEY, "sub"),
    ],
    required_rule_keys: &[&["account_id"], &["pipeline_id", "pipeline"]],
    owner_pin: None,
    default_events: &["push", "manual", "other"],
    dangerous_events: &["pull_request"],
    facts,
};

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    let (account, pipeline) = (claims.part("account_id")?, claims.part("pipeline_id")?);
    claims.name("workflow_id")?;
    let start = format!("account:{account}:pipeline:{pipeline}");
    claims.subject_restates("account:", &start, ':', "account_id and pipeline_id")?;
    Ok(facts_of([
        ("account_id", Some(account)),
        ("pipeline_id", Some(pipeline)),
        ("pipeline", claims.if_stated("pipeline_name", Claims::name)?),
        ("repository", claims.if_stated("scm_repo_url", Claims::name)?),
        ("scm_ref", claims.optional_text("scm_ref")?),
        (EVENT_KEY, Some(event(claims)?)),
    ]))
}

/// What started the run. No claim says so; which claims there are does.
fn event(claims: &Claims<'_>) -> Result<&'static str, ClaimProblem> {
    let stated = |claim| Ok(claims.optional_text(claim)?.is_some());
    Ok(if stated("scm_pull_request_target_branch")? {
        "pull_request"
    } else if stated("initiator")? {
        "manual"
    } else if stated("scm_repo_url")? {
        "push"
    } else {
        "other"
    })
}
