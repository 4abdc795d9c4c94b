//! Forgejo Actions. Claims: <https://forgejo.org/docs/next/user/actions/security-openid-connect/>; the ids:
//! <https://codeberg.org/forgejo/forgejo/pulls/12355>.

use super::claims::Claims;
use super::github::{repository, revision};
use super::workflow::FileClaim;
use super::{ClaimProblem, EVENT_KEY, Facts, HOUR, OwnerPin, Preset, RS256, exact, facts_of, fold_case, id};

pub(super) static PRESET: Preset = Preset {
    name: "forgejo",
    public_issuer: None,
    // Behind the instance's URL, which may have a path.
    issuer_forms: &["*/api/actions", "*/**/api/actions"],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: None,
    // There is no `jti`, no environment, and nothing about the file that a job ran in.
    required_claims: &["repository", "repository_owner", "workflow_ref", "event_name", "ref", "sha"],
    known_claims: &["actor_id", "base_ref", "head_ref", "ref_protected", "workflow"],
    // Repositories have it in one of two forms.
    never_matched: &["sub"],
    provenance: &[
        "repository",
        "repository_id",
        "repository_owner_id",
        "workflow_ref",
        "event_name",
        "ref",
        "ref_type",
        "sha",
        "run_id",
        "run_number",
        "run_attempt",
        "actor",
    ],
    rule_keys: &[
        fold_case("repository", "repository").identifying(),
        // Only newer versions state ids.
        id("repository_id", "repository_id"),
        id("repository_owner_id", "repository_owner_id"),
        exact("workflow", "workflow_ref"),
        exact("ref", "ref"),
        exact("tag", "ref"),
        exact("branch", "ref"),
        exact(EVENT_KEY, "event_name"),
    ],
    required_rule_keys: &[&["repository"], &["workflow"]],
    owner_pin: Some(OwnerPin { path_key: "repository", id_key: "repository_owner_id" }),
    default_events: &["push", "release", "create", "workflow_dispatch", "schedule"],
    dangerous_events: &["pull_request_target", "workflow_run", "fork", "issue_comment", "issues", "watch"],
    facts,
};

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    let repository = repository(claims)?;
    let revision = revision(claims)?;
    let short = revision.short(claims)?;
    let named = |kind| short.filter(|(stated, _)| *stated == kind).map(|(_, name)| name);
    let (repository_id, owner_id) =
        (claims.optional_id("repository_id")?, claims.optional_id("repository_owner_id")?);
    let place = &format!("{repository}/.forgejo/workflows/");
    let revisions = [revision.reference, revision.commit];
    let text = claims.some_text("workflow_ref")?;
    let file = FileClaim { claim: "workflow_ref", text, place, revisions }.file()?;
    if file.contains('/') {
        return Err(ClaimProblem::NoFile("workflow_ref"));
    }
    Ok(facts_of([
        ("repository", Some(repository)),
        ("repository_id", repository_id.as_deref()),
        ("repository_owner_id", owner_id.as_deref()),
        ("workflow", Some(file)),
        ("ref", Some(revision.reference).filter(|reference| !reference.is_empty())),
        ("tag", named("tag")),
        ("branch", named("branch")),
        (EVENT_KEY, Some(claims.name("event_name")?)),
    ]))
}
