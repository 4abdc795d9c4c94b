//! Bitbucket Pipelines. Claims:
//! <https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/>; a
//! chosen audience: <https://www.atlassian.com/blog/bitbucket/bitbucket-pipelines-oidc-now-supports-multiple-audiences>.

use super::claims::Claims;
use super::{ClaimProblem, Facts, HOUR, Preset, RS256, braced_uuid, exact, facts_of};

pub(super) static PRESET: Preset = Preset {
    name: "bitbucket",
    // The workspace's slug in it can pass to another workspace.
    public_issuer: None,
    issuer_forms: &["*/2.0/workspaces/*/pipelines-config/identity/oidc"],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    // A step lists its audiences.
    audience_list: true,
    fixed_audience: None,
    required_claims: &["repositoryUuid", "workspaceUuid"],
    known_claims: &[],
    // Names the step, so it differs in each run.
    never_matched: &["sub"],
    provenance: &[
        "repositoryUuid",
        "workspaceUuid",
        "accountUuid",
        "pipelineUuid",
        "pipelineRunUuid",
        "stepUuid",
        "deploymentEnvironmentUuid",
        "branchName",
    ],
    rule_keys: &[
        braced_uuid("repository_uuid", "repositoryUuid"),
        braced_uuid("workspace_uuid", "workspaceUuid"),
        braced_uuid("environment_uuid", "deploymentEnvironmentUuid").circumstance(),
        exact("branch", "branchName"),
    ],
    required_rule_keys: &[&["repository_uuid"]],
    owner_pin: None,
    default_events: &[],
    dangerous_events: &[],
    facts,
};

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    let repository = claims.braced_uuid("repositoryUuid")?;
    claims.subject_restates("{", repository, ':', "repositoryUuid")?;
    Ok(facts_of([
        ("repository_uuid", Some(repository)),
        ("workspace_uuid", Some(claims.braced_uuid("workspaceUuid")?)),
        ("environment_uuid", claims.if_stated("deploymentEnvironmentUuid", Claims::braced_uuid)?),
        ("branch", claims.optional_text("branchName")?),
    ]))
}
