//! Azure Pipelines: the token that a job gets without a service connection. How to get it:
//! <https://learn.microsoft.com/en-us/rest/api/azure/devops/distributedtask/oidctoken/create>. A token:
//! <https://github.com/sigstore/fulcio/issues/1803>.

use super::claims::{Claims, agree};
use super::revision::{full_ref, tag_and_branch};
use super::{
    ClaimProblem, Facts, FixedAudience, HOUR, Preset, RS256, exact, facts_of, fold_case_name, id, name, uuid,
};

pub(super) static PRESET: Preset = Preset {
    name: "azure-devops",
    // `https://vstoken.dev.azure.com/` and the organisation's id.
    public_issuer: None,
    issuer_forms: &["*/*"],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: Some(FixedAudience::Text("api://AzureADTokenExchange")),
    required_claims: &["sub", "org_id", "prj_id", "def_id", "jti"],
    known_claims: &[],
    // Made of names that people change.
    never_matched: &["sub"],
    provenance: &["org_id", "prj_id", "def_id", "rpo_id", "rpo_uri", "rpo_ver", "rpo_ref", "run_id"],
    rule_keys: &[
        uuid("organization_id", "org_id"),
        uuid("project_id", "prj_id"),
        id("pipeline_id", "def_id"),
        fold_case_name("repository", "rpo_uri"),
        name("repository_id", "rpo_id"),
        exact("ref", "rpo_ref"),
        exact("tag", "rpo_ref"),
        exact("branch", "rpo_ref"),
    ],
    required_rule_keys: &[&["project_id"], &["pipeline_id"]],
    owner_pin: None,
    default_events: &[],
    dangerous_events: &[],
    facts,
};

fn facts(claims: &Claims<'_>, issuer_url: &str) -> Result<Facts, ClaimProblem> {
    // `sc://…` is a service connection, which many pipelines may use.
    if !claims.some_text("sub")?.starts_with("p://") {
        return Err(ClaimProblem::Unfit { claim: "sub", why: "it is not of the form `p://…`, a pipeline" });
    }
    let organization = claims.uuid("org_id")?;
    agree(("org_id", organization), ("iss", issuer_url.rsplit('/').next().unwrap_or_default()))?;
    let pipeline = claims.id("def_id")?;
    let reference = full_ref(claims, "rpo_ref")?;
    let (tag, branch) = tag_and_branch(reference);
    Ok(facts_of([
        ("organization_id", Some(organization)),
        ("project_id", Some(claims.uuid("prj_id")?)),
        ("pipeline_id", Some(&pipeline)),
        ("repository", claims.if_stated("rpo_uri", Claims::name)?),
        ("repository_id", claims.if_stated("rpo_id", Claims::name)?),
        ("ref", reference),
        ("tag", tag),
        ("branch", branch),
    ]))
}
