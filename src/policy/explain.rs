//! The words for a refusal, for people outside: they see as much as they have proved they may.

use super::advice::listed;
use super::{Asked, Decision, Trial, VerifiedClaims};
use crate::names::{IndexName, printable};

/// How much of the rules a refusal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Detail {
    /// Nothing of them.
    Minimal,
    /// Whoever has proved control of a publisher's repository sees what that publisher asks for; everybody else sees
    /// their own claims.
    #[default]
    Graded,
    /// Everybody sees the nearest publishers.
    Full,
}

/// Publishers that one refusal describes at most.
pub const DESCRIBED: usize = 3;

/// Why an identity gets no upload token.
pub fn why_no_token(decision: &Decision, claims: &VerifiedClaims, detail: Detail) -> String {
    let why = || nearest(decision, detail).map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    match detail {
        Detail::Minimal => "Publisher with matching claims was not found".to_owned(),
        Detail::Graded | Detail::Full if nearest(decision, detail).next().is_none() => format!(
            "no publisher here trusts this identity: {}; ask an administrator to add or correct a publisher, by \
             `indexgate explain` with the reference",
            own_claims(claims)
        ),
        Detail::Graded | Detail::Full => why(),
    }
}

/// Why an identity gets no upload token for one index. `decision` is about all of them.
pub fn why_no_token_for(
    index: &IndexName,
    decision: &Decision,
    claims: &VerifiedClaims,
    detail: Detail,
) -> String {
    if decision.grants.is_empty() || detail == Detail::Minimal {
        return why_no_token(&decision.clone().only_for(index), claims, detail);
    }
    let indexes = listed(decision.grants.iter().map(|grant| grant.index.to_string()));
    format!(
        "no publisher of index `{index}` trusts this identity, which may upload to index {indexes}; exchange it there, or add a publisher with index = \"{index}\""
    )
}

/// Why a token does not allow this upload.
pub fn why_no_upload(decision: &Decision, claims: &VerifiedClaims, asked: &Asked, detail: Detail) -> String {
    let Asked { index, project, version } = asked;
    let why = why_no_token(decision, claims, detail);
    match (detail, decision.grants.is_empty()) {
        (_, true) => format!("the rules no longer allow this identity to upload: {why}"),
        (Detail::Minimal, false) => {
            format!("this token does not allow {project} {version} on index `{index}`")
        }
        (Detail::Graded | Detail::Full, false) => {
            format!("this token does not allow {project} {version} on index `{index}`: {why}")
        }
    }
}

/// The publishers that a refusal may describe to whoever has this identity.
fn nearest(decision: &Decision, detail: Detail) -> impl Iterator<Item = &Trial> {
    let shown = move |trial: &&Trial| match detail {
        Detail::Minimal => false,
        Detail::Graded => trial.identity_proved(),
        Detail::Full => true,
    };
    decision.trail.iter().filter(shown).take(DESCRIBED)
}

fn own_claims(claims: &VerifiedClaims) -> String {
    if claims.facts().is_empty() {
        let shown =
            claims.claims().iter().map(|(name, value)| format!("{name} {}", printable(&value.to_string())));
        return shown.collect::<Vec<_>>().join(", ");
    }
    let shown = claims
        .facts()
        .iter()
        .filter(|(key, _)| *key != "ref")
        .map(|(key, value)| format!("{key} `{}`", printable(value)));
    shown.collect::<Vec<_>>().join(", ")
}
