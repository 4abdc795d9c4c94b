//! The words for a refusal, for people outside: they see as much as they have proved they may.

use super::{Asked, Decision, Projects, Trial, VerifiedClaims};
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
const DESCRIBED: usize = 3;

/// Why an identity gets no upload token.
pub fn why_no_token(decision: &Decision, claims: &VerifiedClaims, detail: Detail) -> String {
    let near: Vec<&Trial> = match detail {
        Detail::Minimal => Vec::new(),
        Detail::Graded => {
            decision.trail.iter().filter(|trial| trial.identity_proved()).take(DESCRIBED).collect()
        }
        Detail::Full => decision.trail.iter().take(DESCRIBED).collect(),
    };
    match (detail, near.is_empty()) {
        (Detail::Minimal, _) => "Publisher with matching claims was not found".to_owned(),
        (_, false) => near.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
        (_, true) => format!("no publisher here trusts this identity: {}", own_claims(claims)),
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
    if decision.grants.is_empty() {
        let why = why_no_token(decision, claims, detail);
        return format!("the rules no longer allow this identity to upload: {why}");
    }
    let here: Vec<_> = decision.grants.iter().filter(|grant| grant.index == *index).collect();
    if here.is_empty() {
        let indexes = listed(decision.grants.iter().map(|grant| grant.index.to_string()));
        return format!(
            "this token is for index {indexes}, not for index `{index}`; upload there, or add a publisher with index = \"{index}\""
        );
    }
    let covering: Vec<_> = here.iter().filter(|grant| grant.projects.contain(project)).collect();
    if covering.is_empty() {
        let publishers = listed(here.iter().map(|grant| grant.publisher.to_string()));
        let projects = listed(here.iter().flat_map(|grant| names(&grant.projects)));
        return format!(
            "this token may upload {projects} to index `{index}`, not `{project}`; add `{project}` to the projects of publisher {publishers}, or rename the project"
        );
    }
    let publishers = listed(covering.iter().map(|grant| grant.publisher.to_string()));
    match claims.fact("tag") {
        Some(tag) => format!(
            "version {version} of {project} is not what publisher {publishers} allows for tag `{}`; upload the version that was tagged, or ask an administrator",
            printable(tag)
        ),
        None => format!(
            "version {version} of {project} is not allowed by publisher {publishers}: another publisher is reserved for it, or it takes developmental versions only"
        ),
    }
}

fn names(projects: &Projects) -> Vec<String> {
    match projects {
        Projects::Any => vec!["any project".to_owned()],
        Projects::These(patterns) => patterns.iter().map(ToString::to_string).collect(),
    }
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

/// At most ten names: a publisher may have thousands of projects.
fn listed(names: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 10;
    let mut all: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    all.sort();
    all.dedup();
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    let mut text = all.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
