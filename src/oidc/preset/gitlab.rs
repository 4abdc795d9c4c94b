//! GitLab CI. Claims: <https://docs.gitlab.com/ci/secrets/id_token_authentication/>.

use std::time::Duration;

use super::claims::Claims;
use super::revision::Revision;
use super::workflow::FileClaim;
use super::{ClaimProblem, EVENT_KEY, Facts, OwnerPin, Preset, RS256, exact, fold_case, id};

pub(super) static PRESET: Preset = Preset {
    name: "gitlab",
    public_issuer: Some("https://gitlab.com"),
    issuer_forms: &[],
    jwks_hosts: &[],
    algorithms: RS256,
    // A token lives as long as its job may run.
    max_lifetime: Duration::from_secs(24 * 60 * 60),
    audience_list: false,
    fixed_audience: None,
    required_claims: &["project_path", "ci_config_ref_uri", "pipeline_source", "ref_path", "sha", "jti"],
    known_claims: &[
        "ci_config_sha",
        "deployment_tier",
        "environment_action",
        "environment_protected",
        "groups_direct",
        "job_config",
        // Where a component or an included job comes from. Never to be taken for `project_…`.
        "job_namespace_id",
        "job_namespace_path",
        "job_project_id",
        "job_project_path",
        "job_source",
        "project_visibility",
        "ref_protected",
        "runner_environment",
        "runner_id",
        "user_access_level",
        "user_email",
        "user_id",
        "user_identities",
    ],
    never_matched: &["sub"],
    provenance: &[
        "project_path",
        "project_id",
        "namespace_path",
        "namespace_id",
        "ci_config_ref_uri",
        "environment",
        "pipeline_source",
        "ref",
        "ref_path",
        "ref_type",
        "sha",
        "pipeline_id",
        "job_id",
        "user_login",
    ],
    rule_keys: &[
        fold_case("project_path", "project_path").identifying(),
        id("project_id", "project_id"),
        fold_case("namespace_path", "namespace_path").identifying(),
        id("namespace_id", "namespace_id"),
        exact("workflow", "ci_config_ref_uri"),
        exact("environment", "environment"),
        exact("ref", "ref_path"),
        exact("tag", "ref_path"),
        exact("branch", "ref_path"),
        exact(EVENT_KEY, "pipeline_source"),
    ],
    required_rule_keys: &[&["project_path"], &["workflow"]],
    owner_pin: Some(OwnerPin { path_key: "project_path", id_key: "namespace_id" }),
    // Not `parent_pipeline`: a merge request's pipeline may have started the parent, and the token does not tell.
    default_events: &["push", "web", "schedule", "api", "trigger", "pipeline"],
    dangerous_events: &["merge_request_event", "external_pull_request_event"],
    facts,
};

fn facts(claims: &Claims<'_>, issuer_url: &str) -> Result<Facts, ClaimProblem> {
    let project = claims.path("project_path")?;
    let revision = revision(claims)?;
    let mut facts = Facts::from_iter([
        ("project_path".to_owned(), project.to_owned()),
        ("namespace_path".to_owned(), namespace(claims, project)?.to_owned()),
        ("workflow".to_owned(), workflow(claims, issuer_url, project, &revision)?.to_owned()),
        ("ref".to_owned(), revision.reference.to_owned()),
        (EVENT_KEY.to_owned(), claims.name("pipeline_source")?.to_owned()),
    ]);
    let mut state = |key: &str, value: Option<String>| {
        facts.extend(value.map(|value| (key.to_owned(), value)));
    };
    state("project_id", claims.optional_id("project_id")?);
    state("namespace_id", claims.optional_id("namespace_id")?);
    state("environment", claims.optional_text("environment")?.map(str::to_owned));
    if let Some((kind, name)) = revision.short(claims)? {
        state(kind, Some(name.to_owned()));
    }
    Ok(facts)
}

/// The group of a project, subgroups included. The token states it again.
fn namespace<'a>(claims: &Claims<'a>, project: &'a str) -> Result<&'a str, ClaimProblem> {
    let namespace = project.rsplit_once('/').map_or("", |(namespace, _)| namespace);
    match claims.optional_text("namespace_path")? {
        Some(stated) if !stated.eq_ignore_ascii_case(namespace) => Err(ClaimProblem::Disagrees {
            claim: "namespace_path",
            got: stated.to_owned(),
            other: "project_path",
            stated: project.to_owned(),
        }),
        _ => Ok(namespace),
    }
}

/// The top-level pipeline file, which must lie in the project itself: the setting may point to any repository, or
/// any URL. `{issuer without https://}/{project_path}//{file}@{ref_path or sha}`.
fn workflow<'a>(
    claims: &Claims<'a>,
    issuer_url: &str,
    project: &str,
    revision: &Revision<'a>,
) -> Result<&'a str, ClaimProblem> {
    const CLAIM: &str = "ci_config_ref_uri";
    let instance = issuer_url.strip_prefix("https://").unwrap_or(issuer_url).trim_end_matches('/');
    let place = &format!("{instance}/{project}//");
    let revisions = [revision.reference, revision.commit];
    FileClaim { claim: CLAIM, text: claims.some_text(CLAIM)?, place, revisions }.file()
}

/// The full ref and the commit. Both are always there, and `ref` is the short form of the former.
fn revision<'a>(claims: &Claims<'a>) -> Result<Revision<'a>, ClaimProblem> {
    let revision = Revision::read(claims, "ref_path")?;
    if revision.reference.is_empty() || revision.commit.is_empty() {
        return Err(ClaimProblem::BothEmpty("ref_path", "sha"));
    }
    match (revision.short(claims)?, claims.optional_text("ref")?) {
        (Some((_, short)), Some(stated)) if short != stated => Err(revision.disagrees("ref", stated)),
        _ => Ok(revision),
    }
}

#[cfg(test)]
mod tests;
