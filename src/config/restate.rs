//! Changing a claim of a `[[test]]` together with the claims that restate it: a provider would, and a token whose
//! claims contradict each other is refused before any rule is asked.

use serde_json::{Map, Value};

/// Sets and removes claims. What restates a changed claim follows, unless it is given, too.
pub fn change(claims: &mut Map<String, Value>, with: Map<String, Value>, without: &[&str]) {
    let given: Vec<String> =
        with.keys().cloned().chain(without.iter().map(|name| (*name).to_owned())).collect();
    let before = claims.clone();
    let changed: Vec<(String, String, String)> = with
        .iter()
        .filter_map(|(name, new)| Some((name.clone(), text(&before, name)?, new.as_str()?.to_owned())))
        .collect();
    claims.extend(with);
    claims.retain(|name, _| !without.contains(&name.as_str()));
    for (name, old, new) in &changed {
        for (claim, value) in claims.iter_mut().filter(|(claim, _)| !given.contains(claim)) {
            let Some(text) = value.as_str() else { continue };
            if let Some(restated) = restated(name, old, new, claim, text) {
                *value = Value::from(restated);
            }
        }
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims.get(name)?.as_str().map(str::to_owned)
}

/// What `claim` says once `name` says `new` instead of `old`; `None` if it stays as it is.
fn restated(name: &str, old: &str, new: &str, claim: &str, text: &str) -> Option<String> {
    let owner = |path: &str| path.split('/').next().map(str::to_owned);
    let group = |path: &str| path.rsplit_once('/').map(|(group, _)| group.to_owned());
    match (name, claim) {
        ("repository", "repository_owner") => owner(new),
        ("repository", "workflow_ref" | "job_workflow_ref") => {
            text.strip_prefix(old)?.strip_prefix('/').map(|rest| format!("{new}/{rest}"))
        }
        ("project_path", "namespace_path") => group(new),
        ("project_path", "ci_config_ref_uri") => {
            Some(text.replacen(&format!("/{old}//"), &format!("/{new}//"), 1))
        }
        ("workflow_ref", "job_workflow_ref") => (text == old).then(|| new.to_owned()),
        ("ref" | "ref_path", "workflow_ref" | "job_workflow_ref" | "ci_config_ref_uri") => {
            text.strip_suffix(old)?.strip_suffix('@').map(|file| format!("{file}@{new}"))
        }
        ("ref" | "ref_path", "ref_type") => kind(new).map(|(kind, _)| kind.to_owned()),
        ("ref_path", "ref") => kind(new).map(|(_, short)| short.to_owned()),
        _ => None,
    }
}

fn kind(reference: &str) -> Option<(&'static str, &str)> {
    let tag = reference.strip_prefix("refs/tags/").map(|short| ("tag", short));
    tag.or_else(|| reference.strip_prefix("refs/heads/").map(|short| ("branch", short)))
}
