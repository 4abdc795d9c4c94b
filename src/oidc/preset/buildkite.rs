//! Buildkite. Claims: <https://buildkite.com/docs/agent/cli/reference/oidc>.

use super::claims::Claims;
use super::{ClaimProblem, EVENT_KEY, Facts, HOUR, Preset, RS256, exact, facts_of, name, uuid};

pub(super) static PRESET: Preset = Preset {
    name: "buildkite",
    public_issuer: Some("https://agent.buildkite.com"),
    issuer_forms: &[],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: None,
    required_claims: &[
        "organization_slug",
        "pipeline_slug",
        "build_branch",
        "build_commit",
        "build_source",
        "jti",
    ],
    known_claims: &["agent_id", "agent_tag:*", "cluster_name", "queue_key", "step_key", "runner_environment"],
    // Names the commit, and jobs may shape it.
    never_matched: &["sub"],
    provenance: &[
        "organization_slug",
        "organization_id",
        "pipeline_slug",
        "pipeline_id",
        "build_number",
        "build_branch",
        "build_tag",
        "build_commit",
        "build_source",
        "build_id",
        "cluster_id",
        "queue_id",
        "step_key",
        "job_id",
    ],
    rule_keys: &[
        // Tokens have the ids where the job asks for these claims.
        uuid("organization_id", "organization_id"),
        name("organization", "organization_slug"),
        uuid("pipeline_id", "pipeline_id"),
        exact("pipeline", "pipeline_slug").identifying(),
        exact("step", "step_key"),
        exact("ref", "build_branch"),
        exact("tag", "build_tag"),
        exact("branch", "build_branch"),
        exact(EVENT_KEY, "build_source"),
    ],
    // All organisations share one issuer, and a slug can pass to somebody else.
    required_rule_keys: &[&["organization_id"], &["pipeline", "pipeline_id"]],
    owner_pin: None,
    // Not `trigger_job`: another pipeline started the build, for whatever reason.
    default_events: &["webhook", "api", "ui", "schedule"],
    dangerous_events: &[],
    facts,
};

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    let (organization, pipeline) = (claims.part("organization_slug")?, claims.part("pipeline_slug")?);
    let start = format!("organization:{organization}:pipeline:{pipeline}");
    claims.subject_restates("organization:", &start, ':', "organization_slug and pipeline_slug")?;
    claims.name("build_commit")?;
    let (branch, tag) = (claims.some_text("build_branch")?, claims.optional_text("build_tag")?);
    let reference = tag.map_or_else(|| format!("refs/heads/{branch}"), |tag| format!("refs/tags/{tag}"));
    Ok(facts_of([
        ("organization_id", claims.if_stated("organization_id", Claims::uuid)?),
        ("organization", Some(organization)),
        ("pipeline_id", claims.if_stated("pipeline_id", Claims::uuid)?),
        ("pipeline", Some(pipeline)),
        ("step", claims.optional_text("step_key")?),
        ("ref", Some(&reference)),
        ("tag", tag),
        // A build of a tag states the tag as its branch, too.
        ("branch", tag.is_none().then_some(branch)),
        (EVENT_KEY, Some(claims.name("build_source")?)),
    ]))
}
