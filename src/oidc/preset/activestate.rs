//! ActiveState. Claims, as PyPI's model reads them:
//! <https://github.com/pypi/warehouse/blob/main/warehouse/oidc/models/activestate.py>.

use super::claims::Claims;
use super::{ClaimProblem, Facts, HOUR, Preset, RS256, facts_of, name};

pub(super) static PRESET: Preset = Preset {
    name: "activestate",
    public_issuer: Some("https://platform.activestate.com/api/v1/oauth/oidc"),
    issuer_forms: &[],
    jwks_hosts: &[],
    algorithms: RS256,
    max_lifetime: HOUR,
    audience_list: false,
    fixed_audience: None,
    required_claims: &["sub", "organization", "project", "actor_id", "builder"],
    known_claims: &["ingredient", "project_visibility"],
    never_matched: &["sub"],
    provenance: &[
        "organization",
        "organization_id",
        "project",
        "project_id",
        "project_path",
        "actor",
        "actor_id",
        "artifact_id",
        "builder",
    ],
    rule_keys: &[
        name("organization", "organization"),
        name("organization_id", "organization_id"),
        name("project", "project"),
        name("project_id", "project_id"),
        name("actor_id", "actor_id"),
    ],
    required_rule_keys: &[&["organization"], &["project"], &["actor_id"]],
    owner_pin: None,
    default_events: &[],
    dangerous_events: &[],
    facts,
};

/// The builder that publishes. Others build what anybody asks for.
const BUILDER: &str = "pypi-publisher";

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    let (organization, project) = (claims.part("organization")?, claims.part("project")?);
    if claims.name("builder")? != BUILDER {
        return Err(ClaimProblem::Unfit { claim: "builder", why: "it is not `pypi-publisher`" });
    }
    claims.some_text("sub")?;
    // Here `sub` has no other form than the documented one.
    claims.subject_restates(
        "",
        &format!("org:{organization}:project:{project}"),
        ':',
        "organization and project",
    )?;
    if let Some(path) = claims.optional_text("project_path")?
        && path != format!("{organization}/{project}")
    {
        let (got, stated) = (path.to_owned(), project.to_owned());
        return Err(ClaimProblem::Disagrees { claim: "project_path", got, other: "project", stated });
    }
    Ok(facts_of([
        ("organization", Some(organization)),
        ("organization_id", claims.if_stated("organization_id", Claims::name)?),
        ("project", Some(project)),
        ("project_id", claims.if_stated("project_id", Claims::name)?),
        ("actor_id", Some(claims.name("actor_id")?)),
    ]))
}
