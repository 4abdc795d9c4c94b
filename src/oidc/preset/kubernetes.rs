//! Service accounts of a Kubernetes cluster. Claims:
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens>.

use serde_json::{Map, Value};

use super::claims::{Claims, agree};
use super::{ClaimProblem, Facts, HOUR, Preset, facts_of, name};
use crate::oidc::algorithm::Algorithm;

/// The claim that holds all others, in objects.
const CLAIM: &str = "kubernetes.io";

pub(super) static PRESET: Preset = Preset {
    name: "kubernetes",
    // The cluster's `--service-account-issuer`.
    public_issuer: None,
    issuer_forms: &[],
    jwks_hosts: &[],
    algorithms: &[Algorithm::Rs256, Algorithm::Es256],
    max_lifetime: HOUR,
    // Always a list.
    audience_list: true,
    fixed_audience: None,
    // `jti` stands in tokens of newer versions only.
    required_claims: &["sub", CLAIM],
    known_claims: &[],
    never_matched: &[],
    provenance: &[CLAIM],
    rule_keys: &[
        name("namespace", "kubernetes.io.namespace"),
        name("service_account", "kubernetes.io.serviceaccount.name"),
        name("service_account_uid", "kubernetes.io.serviceaccount.uid"),
    ],
    required_rule_keys: &[&["namespace"], &["service_account"]],
    owner_pin: None,
    default_events: &[],
    dangerous_events: &[],
    facts,
};

fn facts(claims: &Claims<'_>, _issuer_url: &str) -> Result<Facts, ClaimProblem> {
    let about = object(claims.present(CLAIM)?, CLAIM)?;
    let account = about.get("serviceaccount").filter(|value| !value.is_null());
    let account = account.ok_or(ClaimProblem::Missing("kubernetes.io.serviceaccount"))?;
    let account = object(account, "kubernetes.io.serviceaccount")?;
    let namespace = text(about, "namespace", "kubernetes.io.namespace")?;
    let service_account = text(account, "name", "kubernetes.io.serviceaccount.name")?;
    let uid = text(account, "uid", "kubernetes.io.serviceaccount.uid")?;
    let subject = format!("system:serviceaccount:{namespace}:{service_account}");
    agree(("sub", claims.name("sub")?), ("kubernetes.io.serviceaccount.name", &subject))?;
    Ok(facts_of([
        ("namespace", Some(namespace)),
        ("service_account", Some(service_account)),
        ("service_account_uid", Some(uid)),
    ]))
}

fn object<'a>(value: &'a Value, claim: &'static str) -> Result<&'a Map<String, Value>, ClaimProblem> {
    value.as_object().ok_or(ClaimProblem::Unfit { claim, why: "it is not an object" })
}

/// A member that names somebody. Nothing in it may look like the `:` between the parts of `sub`.
fn text<'a>(
    object: &'a Map<String, Value>,
    member: &str,
    claim: &'static str,
) -> Result<&'a str, ClaimProblem> {
    let value = object.get(member).filter(|value| !value.is_null()).ok_or(ClaimProblem::Missing(claim))?;
    let plain = |text: &&str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
    };
    value.as_str().filter(plain).ok_or(ClaimProblem::Unfit { claim, why: "it is not a plain name" })
}
