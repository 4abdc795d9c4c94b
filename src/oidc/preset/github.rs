//! GitHub Actions. Claims: <https://docs.github.com/en/actions/reference/security/oidc>.

use super::claims::{Claims, is_segment, strip_prefix_folded};
use super::revision::Revision;
use super::workflow::{FileClaim, is_yaml};
use super::{ClaimProblem, EVENT_KEY, Facts, HOUR, OwnerPin, Preset, RS256, exact, fold_case, id};

pub(super) static PRESET: Preset = ACTIONS;

/// What GitHub Actions says wherever it runs.
pub(super) const ACTIONS: Preset = Preset {
    name: "github",
    public_issuer: Some("https://token.actions.githubusercontent.com"),
    issuer_forms: &[],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: None,
    required_claims: &[
        "repository",
        "repository_owner",
        "repository_owner_id",
        "workflow_ref",
        "job_workflow_ref",
        "event_name",
        "ref",
        "sha",
        "jti",
    ],
    known_claims: &[
        "actor_id",
        "base_ref",
        "check_run_id",
        "enterprise",
        "enterprise_id",
        "environment_node_id",
        "head_ref",
        "issuer_scope",
        "job_workflow_sha",
        "ref_protected",
        "repo_property_*",
        "repository_visibility",
        "runner_environment",
        "workflow",
        "workflow_sha",
    ],
    // Its format changed in 2026, and organisations may shape it.
    never_matched: &["sub"],
    provenance: &[
        "repository",
        "repository_id",
        "repository_owner_id",
        "workflow_ref",
        "job_workflow_ref",
        "environment",
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
        id("repository_id", "repository_id"),
        id("repository_owner_id", "repository_owner_id"),
        exact("workflow", "workflow_ref"),
        exact("job_workflow", "job_workflow_ref"),
        fold_case("environment", "environment"),
        exact("ref", "ref"),
        exact("tag", "ref"),
        exact("branch", "ref"),
        exact(EVENT_KEY, "event_name"),
    ],
    required_rule_keys: &[&["repository"], &["workflow"]],
    owner_pin: Some(OwnerPin { path_key: "repository", id_key: "repository_owner_id" }),
    // Each needs write access. Not `deployment`: preview services create deployments of commits from forks.
    default_events: &["push", "release", "create", "workflow_dispatch", "repository_dispatch", "schedule"],
    dangerous_events: &[
        "pull_request_target",
        "workflow_run",
        "discussion",
        "discussion_comment",
        "fork",
        "issue_comment",
        "issues",
        "watch",
    ],
    facts,
};

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    let repository = repository(claims)?;
    let revision = revision(claims)?;
    // The file that started the run.
    let workflow = own_file(claims, "workflow_ref", repository, &revision)?;
    let mut facts = Facts::from_iter([
        ("repository".to_owned(), repository.to_owned()),
        ("repository_owner_id".to_owned(), claims.id("repository_owner_id")?),
        ("workflow".to_owned(), workflow.to_owned()),
        (EVENT_KEY.to_owned(), claims.name("event_name")?.to_owned()),
    ]);
    let mut state = |key: &str, value: Option<String>| {
        facts.extend(value.map(|value| (key.to_owned(), value)));
    };
    state("repository_id", claims.optional_id("repository_id")?);
    state("job_workflow", job_workflow(claims, repository, workflow, &revision)?);
    state("environment", claims.optional_text("environment")?.map(str::to_owned));
    state("ref", Some(revision.reference).filter(|r| !r.is_empty()).map(str::to_owned));
    if let Some((kind, name)) = revision.short(claims)? {
        state(kind, Some(name.to_owned()));
    }
    Ok(facts)
}

/// `owner/name`, of which the owner is stated twice.
pub(super) fn repository<'a>(claims: &Claims<'a>) -> Result<&'a str, ClaimProblem> {
    let repository = claims.path("repository")?;
    let owner = claims.name("repository_owner")?;
    match repository.split_once('/') {
        Some((_, name)) if name.contains('/') => {
            Err(ClaimProblem::Unfit { claim: "repository", why: "it is not `owner/name`" })
        }
        Some((stated, _)) if stated.eq_ignore_ascii_case(owner) => Ok(repository),
        _ => Err(ClaimProblem::Disagrees {
            claim: "repository_owner",
            got: owner.to_owned(),
            other: "repository",
            stated: repository.to_owned(),
        }),
    }
}

/// Deployments of a commit have no ref; something must be there.
pub(super) fn revision<'a>(claims: &Claims<'a>) -> Result<Revision<'a>, ClaimProblem> {
    let revision = Revision::read(claims, "ref")?;
    if revision.reference.is_empty() && revision.commit.is_empty() {
        return Err(ClaimProblem::BothEmpty("ref", "sha"));
    }
    Ok(revision)
}

/// The file that the job ran in, with its repository, if that is not the file that started the run.
fn job_workflow(
    claims: &Claims<'_>,
    repository: &str,
    workflow: &str,
    revision: &Revision<'_>,
) -> Result<Option<String>, ClaimProblem> {
    const CLAIM: &str = "job_workflow_ref";
    let text = claims.some_text(CLAIM)?;
    if strip_prefix_folded(text, &directory(repository)).is_some() {
        let file = own_file(claims, CLAIM, repository, revision)?;
        let elsewhere = (file != workflow).then(|| format!("{}{file}", directory(repository)));
        return Ok(elsewhere);
    }
    foreign_file(text).map(Some).ok_or(ClaimProblem::NoFile(CLAIM))
}

/// A workflow file of the token's own repository, at the token's own ref or commit.
fn own_file<'a>(
    claims: &Claims<'a>,
    claim: &'static str,
    repository: &str,
    revision: &Revision<'a>,
) -> Result<&'a str, ClaimProblem> {
    let place = &directory(repository);
    let revisions = [revision.reference, revision.commit];
    let file = FileClaim { claim, text: claims.some_text(claim)?, place, revisions }.file()?;
    if file.contains('/') { Err(ClaimProblem::NoFile(claim)) } else { Ok(file) }
}

fn directory(repository: &str) -> String {
    format!("{repository}/.github/workflows/")
}

/// A workflow file of another repository, without its ref. What it was called at is for the calling workflow to
/// say, which is pinned; but where the file name ends must be beyond doubt, so there are three forms:
/// `file@refs/…`, `file@{commit}`, and `file@v1` with a single `@`.
fn foreign_file(text: &str) -> Option<String> {
    const DIRECTORY: &str = "/.github/workflows/";
    let (repository, rest) = text.split_once(DIRECTORY)?;
    repository.split_once('/').filter(|(owner, name)| is_segment(owner) && is_segment(name))?;
    let first_segment = rest.split('/').next()?;
    let file = match (first_segment.strip_suffix("@refs"), rest.rsplit_once('@')?) {
        (Some(file), _) if first_segment.len() < rest.len() => file,
        (_, (file, commit)) if is_commit(commit) => file,
        (_, (file, _)) if !file.contains('@') => file,
        _ => return None,
    };
    (is_yaml(file) && !file.contains('/')).then(|| format!("{repository}{DIRECTORY}{file}"))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
