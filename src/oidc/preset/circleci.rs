//! CircleCI. Claims: <https://circleci.com/docs/guides/permissions-authentication/openid-connect-tokens/>, with a
//! chosen audience: <https://circleci.com/docs/guides/permissions-authentication/oidc-tokens-with-custom-claims/>.

use serde_json::Value;

use super::claims::{Claims, agree};
use super::revision::{full_ref, tag_and_branch};
use super::{ClaimProblem, Facts, HOUR, Preset, RS256, exact, facts_of, fold_case_name, uuid};

const ORGANIZATION: &str = "oidc.circleci.com/org-id";
const PROJECT: &str = "oidc.circleci.com/project-id";
const DEFINITION: &str = "oidc.circleci.com/pipeline-definition-id";
const ORIGIN: &str = "oidc.circleci.com/vcs-origin";
const REF: &str = "oidc.circleci.com/vcs-ref";
const CONTEXTS: &str = "oidc.circleci.com/context-ids";
const SSH_RERUN: &str = "oidc.circleci.com/ssh-rerun";

pub(super) static PRESET: Preset = Preset {
    name: "circleci",
    // Clients ask for tokens of the root issuer, which all organisations share. Each also has one of its own.
    public_issuer: Some("https://oidc.circleci.com"),
    issuer_forms: &["*", "*/org/*"],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: None,
    // There is no `jti`.
    required_claims: &[ORGANIZATION, PROJECT, SSH_RERUN],
    known_claims: &[CONTEXTS],
    // Names the user who started the run.
    never_matched: &["sub"],
    provenance: &[
        ORGANIZATION,
        PROJECT,
        DEFINITION,
        ORIGIN,
        REF,
        "oidc.circleci.com/pipeline-id",
        "oidc.circleci.com/workflow-id",
        "oidc.circleci.com/job-id",
    ],
    rule_keys: &[
        uuid("organization_id", ORGANIZATION),
        uuid("project_id", PROJECT),
        uuid("pipeline_definition_id", DEFINITION),
        fold_case_name("repository", ORIGIN),
        uuid("context_id", CONTEXTS).circumstance(),
        exact("ref", REF),
        exact("tag", REF),
        exact("branch", REF),
    ],
    // A pull request from a fork runs in the project it wants to change; only the repository tells.
    required_rule_keys: &[&["organization_id"], &["project_id"], &["repository"]],
    owner_pin: None,
    default_events: &[],
    dangerous_events: &[],
    facts,
};

fn facts(claims: &Claims<'_>, issuer_url: &str) -> Result<Facts, ClaimProblem> {
    // Somebody is inside such a job with a shell.
    claims.must_be(SSH_RERUN, false, "it is not the JSON value false")?;
    let (organization, project) = (claims.uuid(ORGANIZATION)?, claims.uuid(PROJECT)?);
    if let Some((_, owner)) = issuer_url.split_once("/org/") {
        agree((ORGANIZATION, organization), ("iss", owner))?;
    }
    claims.subject_restates(
        "org/",
        &format!("org/{organization}/project/{project}"),
        '/',
        "org-id and project-id",
    )?;
    let reference = full_ref(claims, REF)?;
    let (tag, branch) = tag_and_branch(reference);
    Ok(facts_of([
        ("organization_id", Some(organization)),
        ("project_id", Some(project)),
        ("pipeline_definition_id", claims.if_stated(DEFINITION, Claims::uuid)?),
        ("repository", claims.if_stated(ORIGIN, Claims::name)?),
        ("context_id", context(claims)?),
        ("ref", reference),
        ("tag", tag),
        ("branch", branch),
    ]))
}

/// The job's context, if it has exactly one.
fn context<'a>(claims: &Claims<'a>) -> Result<Option<&'a str>, ClaimProblem> {
    let unfit = |why| ClaimProblem::Unfit { claim: CONTEXTS, why };
    let Some(list) = claims.if_stated(CONTEXTS, Claims::present)? else { return Ok(None) };
    let list = list.as_array().ok_or_else(|| unfit("it is not a list"))?;
    let contexts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    match contexts.ok_or_else(|| unfit("it holds something that is not a string"))?.as_slice() {
        [only] => Ok(Some(only)),
        _ => Ok(None),
    }
}
