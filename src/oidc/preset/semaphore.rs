//! Semaphore. Claims: <https://docs.semaphoreci.com/reference/openid>.

use std::time::Duration;

use super::claims::Claims;
use super::revision::{full_ref, tag_and_branch};
use super::{
    ClaimProblem, EVENT_KEY, Facts, FixedAudience, Preset, RS256, exact, facts_of, fold_case_name, name, uuid,
};

pub(super) static PRESET: Preset = Preset {
    name: "semaphore",
    // `https://ORGANISATION.semaphoreci.com`
    public_issuer: None,
    issuer_forms: &["*"],
    jwks_hosts: &[],
    algorithms: RS256,
    // A token lives as long as its job may run.
    max_lifetime: Duration::from_secs(24 * 60 * 60),
    audience_list: false,
    fixed_audience: Some(FixedAudience::IssuerUrl),
    required_claims: &["org_id", "prj_id", "ref", "ref_type", "job_type", "jti"],
    known_claims: &["actor", "https://aws.amazon.com/tags", "pr_branch", "repo", "sub127"],
    // Names the ref.
    never_matched: &["sub"],
    provenance: &[
        "org",
        "org_id",
        "prj",
        "prj_id",
        "repo_slug",
        "ref",
        "ref_type",
        "branch",
        "tag",
        "pr",
        "wf_id",
        "ppl_id",
        "job_id",
        "job_type",
        "trg",
    ],
    rule_keys: &[
        uuid("organization_id", "org_id"),
        name("organization", "org"),
        uuid("project_id", "prj_id"),
        name("project", "prj"),
        fold_case_name("repository", "repo_slug"),
        exact("ref", "ref"),
        exact("tag", "ref"),
        exact("branch", "ref"),
        exact(EVENT_KEY, "ref_type"),
    ],
    required_rule_keys: &[&["project_id"]],
    owner_pin: None,
    default_events: &["branch", "tag"],
    // Strangers send pull requests, and `branch` is then what they want to change.
    dangerous_events: &["pull-request"],
    facts,
};

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    // Somebody is inside the other kinds of jobs with a shell.
    if claims.name("job_type")? != "pipeline_job" {
        return Err(ClaimProblem::Unfit { claim: "job_type", why: "it is not `pipeline_job`" });
    }
    let project = claims.uuid("prj_id")?;
    let organization = claims.if_stated("org", Claims::part)?;
    if let Some(organization) = organization {
        claims.subject_restates(
            "org:",
            &format!("org:{organization}:project:{project}"),
            ':',
            "org and prj_id",
        )?;
    }
    let event = claims.name("ref_type")?;
    let reference =
        full_ref(claims, "ref")?.ok_or(ClaimProblem::Unfit { claim: "ref", why: "it is empty" })?;
    let (tag, branch) = match (event, tag_and_branch(Some(reference))) {
        ("tag", (Some(tag), _)) => (Some(restated(claims, "tag", tag)?), None),
        ("branch", (_, Some(branch))) => (None, Some(restated(claims, "branch", branch)?)),
        ("tag" | "branch", _) => return Err(disagrees("ref_type", event, reference)),
        // A pull request is neither, whatever `ref` says; `branch` is what it wants to change.
        _ => (None, None),
    };
    Ok(facts_of([
        ("organization_id", Some(claims.uuid("org_id")?)),
        ("organization", organization),
        ("project_id", Some(project)),
        ("project", claims.if_stated("prj", Claims::name)?),
        ("repository", claims.if_stated("repo_slug", Claims::name)?),
        ("ref", Some(reference)),
        ("tag", tag),
        ("branch", branch),
        (EVENT_KEY, Some(event)),
    ]))
}

/// The end of `ref`, which `tag` or `branch` restates.
fn restated<'a>(claims: &Claims<'a>, claim: &'static str, short: &'a str) -> Result<&'a str, ClaimProblem> {
    match claims.optional_text(claim)? {
        Some(stated) if stated != short => Err(disagrees(claim, stated, short)),
        _ => Ok(short),
    }
}

fn disagrees(claim: &'static str, got: &str, stated: &str) -> ClaimProblem {
    ClaimProblem::Disagrees { claim, got: got.to_owned(), other: "ref", stated: stated.to_owned() }
}
