//! What a publisher must say so that it means what it seems to mean: whose identity it trusts, and that the name of an
//! owner is not all that it trusts.

use toml::de::DeValue;

use super::issuer::IssuerSettings;
use super::pattern::glob_text;
use super::reader::{Table, Value};

pub(super) fn check_required(table: &Table<'_>, keys: &[(&'static str, Value<'_>)], issuer: &IssuerSettings) {
    for any_of in issuer.preset.required_rule_keys {
        if !keys.iter().any(|(key, _)| any_of.contains(key)) {
            let names: Vec<_> = any_of.iter().map(|key| format!("`{key}`")).collect();
            let preset = issuer.preset.name;
            table.problem(
                format!("{} is missing; every publisher of a {preset} issuer needs it", names.join(" or ")),
                format!("add {} = \"…\"", any_of.join(" = \"…\" or ")),
            );
        }
    }
}

pub(super) fn check_one_ref(keys: &[(&'static str, Value<'_>)]) {
    let refs: Vec<_> = keys.iter().filter(|(key, _)| matches!(*key, "tag" | "branch" | "ref")).collect();
    for (key, value) in refs.iter().skip(1) {
        value.problem(format!("`{key}` excludes `{}`", refs[0].0), "keep one of tag, branch and ref");
    }
}

/// An owner's name can pass to somebody else; the id cannot. So whoever trusts all repositories of an owner names the
/// owner's id, and the owner itself is never a pattern.
pub(super) fn check_owner_pin(keys: &[(&'static str, Value<'_>)], issuer: &IssuerSettings) {
    let Some(pin) = issuer.preset.owner_pin else { return };
    let Some((_, path)) = keys.iter().find(|(key, _)| *key == pin.path_key) else { return };
    for item in path.items() {
        let Some((text, is_glob)) = glob_text(&item) else { continue };
        if !is_glob {
            check_path(&item, pin.path_key, text);
            continue;
        }
        let owner = text.split('/').next().unwrap_or_default();
        if owner.contains(['*', '?']) || !text.contains('/') {
            item.problem(
                format!("the owner in `{text}` must be written out"),
                format!("write {} = {{ glob = \"owner/*\" }}", pin.path_key),
            );
        }
        if !keys.iter().any(|(key, _)| *key == pin.id_key) {
            item.problem(
                format!(
                    "a glob over `{}` needs `{}`, because a name can pass to another owner",
                    pin.path_key, pin.id_key
                ),
                format!("add {} = …", pin.id_key),
            );
        }
    }
}

fn check_path(value: &Value<'_>, key: &str, text: &str) {
    let segments = text.split('/').count();
    let well_formed =
        !text.split('/').any(str::is_empty) && segments >= 2 && (key != "repository" || segments == 2);
    if !well_formed {
        value.problem(format!("`{text}` is no {key}"), "write it as owner/name");
    }
}

/// Every publisher of a generic issuer pins what tells its identities apart, each to exact values.
pub(super) fn check_identity_claims(table: &Table<'_>, claims: Option<Value<'_>>, issuer: &IssuerSettings) {
    for identity in &issuer.identity_claims {
        let pinned = claims.and_then(|claims| {
            let table = claims.table("claims")?;
            table.entries().find(|(name, _)| *name == identity.as_str()).map(|(_, value)| value)
        });
        match pinned {
            None => table.problem(
                format!("the claim `{identity}` is not pinned; issuer `{}` asks for it", issuer.name),
                format!("add claims = {{ {identity} = \"…\" }}"),
            ),
            Some(value) if value.items().iter().any(|item| matches!(item.raw(), DeValue::Table(_))) => {
                value.problem(
                    format!("the claim `{identity}` identifies, so it is compared exactly"),
                    "write plain values",
                );
            }
            Some(_) => {}
        }
    }
}

/// A workflow file of another repository is named with its repository, whose owner is written out.
pub(super) fn check_job_workflow(value: &Value<'_>) {
    for item in value.items() {
        let Some((text, _)) = glob_text(&item) else { continue };
        let mut segments = text.split('/');
        let owner = segments.next().unwrap_or_default();
        let folder: Vec<&str> = segments.skip(1).take(2).collect();
        if owner.contains(['*', '?']) || owner.is_empty() || folder.len() != 2 || !folder[0].starts_with('.')
        {
            item.problem(
                format!("`{text}` is no workflow file with its repository"),
                "write it as owner/repository/.github/workflows/file.yml, with the owner written out",
            );
        }
    }
}
