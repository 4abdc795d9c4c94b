//! A publisher that would trust an identity, for an administrator to read and correct.

use crate::config::IssuerSettings;
use crate::names::{IndexName, printable};
use crate::policy::{Asked, Compare, VerifiedClaims, quoted};

/// The TOML to add. Every fact that identifies is pinned; the project must be filled in if it is not known.
pub fn publisher(
    claims: &VerifiedClaims,
    issuer: &IssuerSettings,
    asked: Option<&Asked>,
    index: Option<&IndexName>,
) -> String {
    let index = asked.map(|asked| &asked.index).or(index);
    let index = index.map_or_else(|| "…".to_owned(), ToString::to_string);
    let project = asked.map_or_else(|| "…".to_owned(), |asked| asked.project.to_string());
    let mut lines = vec![
        "[[publisher]]".to_owned(),
        format!("name = \"{project}-release\""),
        format!("issuer = \"{}\"", issuer.name),
        format!("index = \"{index}\""),
        format!("projects = [\"{project}\"]"),
    ];
    lines.extend(issuer.preset.rule_keys.iter().filter_map(|key| {
        // What starts a run is not chosen by what one run was started by.
        let value =
            claims.fact(key.key).filter(|_| !matches!(key.key, "ref" | "event" | "namespace_path"))?;
        Some(match (key.key, key.compare) {
            ("tag", _) => format!("tag = \"{}\"", version_tag(value)),
            (key, Compare::Id) => format!("{key} = {value}"),
            (key, _) => format!("{key} = {}", quoted(value)),
        })
    }));
    let pinned: Vec<String> = issuer
        .identity_claims
        .iter()
        .filter_map(|name| Some(format!("{name} = {}", claims.claim(name)?)))
        .collect();
    if !pinned.is_empty() {
        lines.push(format!("claims = {{ {} }}", pinned.join(", ")));
    }
    lines.join("\n") + "\n"
}

/// `v1.2.0` is one of many tags to come.
fn version_tag(tag: &str) -> String {
    let digits = tag.find(|c: char| c.is_ascii_digit());
    let version = digits
        .map(|at| tag.split_at(at))
        .filter(|(_, version)| version.parse::<pep440_rs::Version>().is_ok());
    version.map_or_else(|| printable(tag), |(prefix, _)| format!("{}{{version}}", printable(prefix)))
}
