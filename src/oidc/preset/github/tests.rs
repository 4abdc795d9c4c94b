use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::oidc::testing::{Forge, GITHUB};
use crate::policy::VerifiedClaims;

const SHA: &str = "3f1c0de93f1c0de93f1c0de93f1c0de93f1c0de9";

fn read(forge: &Forge) -> Result<VerifiedClaims, ClaimProblem> {
    let keep = BTreeSet::from(["repository_visibility".to_owned()]);
    PRESET.suppose("github".parse().unwrap(), GITHUB, &forge.claims, &keep)
}

fn github() -> Forge {
    Forge::github()
}

#[track_caller]
fn fact(forge: &Forge, key: &str, expected: Option<&str>) {
    assert_eq!(read(forge).unwrap().fact(key), expected, "{key}");
}

#[track_caller]
fn refused(forge: &Forge, claim: &str) {
    let outcome = read(forge);
    assert_eq!(outcome.as_ref().err().map(ClaimProblem::claim), Some(claim), "{outcome:?}");
}

/// A token about another ref, in every claim that states it.
fn at(reference: &str, kind: &str) -> Forge {
    let file = format!("acme/widget/.github/workflows/release.yml@{reference}");
    github()
        .set("ref", reference)
        .set("ref_type", kind)
        .set("workflow_ref", file.clone())
        .set("job_workflow_ref", file)
}

#[test]
fn a_release_run_states_its_facts() {
    let claims = read(&github().set("repository_visibility", "private").set("unheard_of", 1)).unwrap();
    let facts: Vec<_> = claims.facts().iter().map(|(key, value)| format!("{key} = {value}")).collect();
    insta::assert_snapshot!(facts.join("\n"), @"
    environment = release
    event = push
    ref = refs/tags/v1.2.0
    repository = acme/widget
    repository_id = 887766
    repository_owner_id = 4411
    tag = v1.2.0
    workflow = release.yml
    ");
    let kept: Vec<_> = claims.claims().keys().map(String::as_str).collect();
    let provenance = "sub repository repository_owner_id repository_id workflow_ref job_workflow_ref ref ref_type sha \
                      event_name environment actor run_id run_attempt run_number repository_visibility";
    assert_eq!(kept.join(" "), provenance);
}

#[test]
fn every_required_claim_must_be_there() {
    for claim in PRESET.required_claims {
        for forge in [github().without(claim), github().set(claim, Value::Null)] {
            assert_eq!(read(&forge), Err(ClaimProblem::Missing(claim)));
        }
    }
}

#[test]
fn a_claim_of_an_unexpected_type_is_refused_and_never_a_panic() {
    for claim in PRESET.provenance.iter().chain(&["repository_owner"]) {
        if matches!(*claim, "run_id" | "run_number" | "run_attempt" | "actor") {
            continue;
        }
        for value in [json!({}), json!([]), json!(["x"]), json!(true), json!(1.5)] {
            refused(&github().set(claim, value), claim);
        }
    }
}

#[test]
fn the_subject_is_never_looked_at() {
    for sub in ["repo:acme/widget:ref:refs/tags/v1.2.0", "repo:acme@4411/widget@887766:x", "custom", ""] {
        assert!(read(&github().set("sub", sub)).is_ok());
    }
    assert!(read(&github().without("sub")).is_ok());
}

#[test]
fn unknown_claims_are_told_and_change_nothing() {
    let forge = github().set("brand_new", true).set("repo_property_team", "x").set("enterprise", "y");
    assert_eq!(read(&forge), read(&github()));
    assert_eq!(PRESET.unknown_claims(&forge.claims).collect::<Vec<_>>(), ["brand_new"]);
    assert_eq!(PRESET.unknown_claims(&github().claims).count(), 0);
}

// ── repository ──

#[test]
fn a_repository_is_owner_and_name_in_plain_letters() {
    let cases = [
        "widget",
        "acme/widget/x",
        "acme/widget/",
        "/acme/widget",
        "acme//widget",
        "acme/./widget",
        "acme/../widget",
        "acme/..",
        "acme/widget ",
        " acme/widget",
        "acme/widget\n",
        "acme/widget\0",
        "acme%2Fwidget",
        "acme\\widget",
        "аcme/widget",
        "ａcme/widget",
        "acme\u{200d}/widget",
        "acme\u{202e}/widget",
        "acme/widge\u{301}t",
        "",
        "/",
    ];
    for repository in cases {
        let file = format!("{repository}/.github/workflows/release.yml@refs/tags/v1.2.0");
        let forge = github()
            .set("repository", repository)
            .set("repository_owner", repository.split('/').next().unwrap())
            .set("workflow_ref", file.clone())
            .set("job_workflow_ref", file);
        refused(&forge, "repository");
    }
}

#[test]
fn owner_and_repository_agree() {
    refused(&github().set("repository_owner", "evil"), "repository_owner");
    refused(&github().set("repository_owner", "acm"), "repository_owner");
    refused(&github().set("repository_owner", "acme/widget"), "repository_owner");
    let shouted = "ACME/Widget/.github/workflows/release.yml@refs/tags/v1.2.0";
    let forge = github().set("repository", "ACME/Widget").set("workflow_ref", shouted);
    fact(&forge, "repository", Some("ACME/Widget"));
    fact(&forge, "workflow", Some("release.yml"));
}

#[test]
fn ids_are_decimal_text() {
    fact(&github().set("repository_owner_id", 65), "repository_owner_id", Some("65"));
    fact(&github().without("repository_id"), "repository_id", None);
    refused(&github().set("repository_owner_id", "065"), "repository_owner_id");
    refused(&github().set("repository_id", "-1"), "repository_id");
}

// ── workflow ──

#[test]
fn the_workflow_is_the_file_of_this_repository_at_this_ref_or_commit() {
    let started_by = |text: &str| github().set("workflow_ref", text);
    let here = |rest: &str| started_by(&format!("acme/widget/.github/workflows/{rest}"));
    for (rest, file) in [
        ("release.yml@refs/tags/v1.2.0", "release.yml"),
        ("release.yaml@refs/tags/v1.2.0", "release.yaml"),
        ("release.yml@3f1c0de93f1c0de93f1c0de93f1c0de93f1c0de9", "release.yml"),
        ("RELEASE.yml@refs/tags/v1.2.0", "RELEASE.yml"),
        ("release.yml.yml@refs/tags/v1.2.0", "release.yml.yml"),
        ("a.yml@b.yml@refs/tags/v1.2.0", "a.yml@b.yml"),
        ("release.yml@fake.yml@refs/tags/v1.2.0", "release.yml@fake.yml"),
    ] {
        fact(&here(rest), "workflow", Some(file));
    }
    for rest in [
        "release.yml",
        "release.yml@",
        "release.yml@@",
        "@refs/tags/v1.2.0",
        ".yml@refs/tags/v1.2.0",
        "",
        "release.yml @refs/tags/v1.2.0",
        "sub/release.yml@refs/tags/v1.2.0",
        "../workflows/release.yml@refs/tags/v1.2.0",
        "release.yml@refs/heads/evil",
        "release.yml@refs/tags/v1.2.0x",
        "release.txt@refs/tags/v1.2.0",
        "relеase.yml@refs/tags/v1.2.0",
        "evil.yml@refs/heads/release.yml@refs/tags/v1.2.0",
    ] {
        refused(&here(rest), "workflow_ref");
    }
    for text in [
        "",
        "release.yml",
        "/.github/workflows/@refs/tags/v1.2.0",
        "evil/x/.github/workflows/release.yml@refs/tags/v1.2.0",
        "acme/widget-evil/.github/workflows/release.yml@refs/tags/v1.2.0",
        "acme/widget/.github/workflow/release.yml@refs/tags/v1.2.0",
        " acme/widget/.github/workflows/release.yml@refs/tags/v1.2.0",
    ] {
        refused(&started_by(text), "workflow_ref");
    }
}

#[test]
fn a_ref_that_looks_like_a_file_does_not_rename_the_workflow() {
    for branch in ["release.yml", "x.yml@y", "a@refs/tags/v1.2.0", "evil.yml@refs/heads/main"] {
        let forge = at(&format!("refs/heads/{branch}"), "branch");
        fact(&forge, "workflow", Some("release.yml"));
        fact(&forge, "branch", Some(branch));
    }
    fact(&at("refs/heads/für-später", "branch"), "branch", Some("für-später"));
    let forge = at("refs/heads/release.yml", "branch");
    let evil = "acme/widget/.github/workflows/evil.yml@refs/heads/release.yml";
    fact(&forge.set("workflow_ref", evil), "workflow", Some("evil.yml"));
}

#[test]
fn a_job_in_the_same_file_is_no_job_workflow() {
    fact(&github(), "job_workflow", None);
    let by_commit = format!("acme/widget/.github/workflows/release.yml@{SHA}");
    fact(&github().set("job_workflow_ref", by_commit.clone()), "job_workflow", None);
    let without_ref = github().set("ref", "").set("ref_type", "").set("workflow_ref", by_commit.clone());
    fact(&without_ref.set("job_workflow_ref", by_commit), "job_workflow", None);
}

#[test]
fn a_job_in_another_file_states_it_with_its_repository() {
    let ran_in = |text: &str| github().set("job_workflow_ref", text);
    for (text, expected) in [
        ("acme/widget/.github/workflows/ci.yml@refs/tags/v1.2.0", "acme/widget/.github/workflows/ci.yml"),
        (
            "corp/shared/.github/workflows/release.yml@refs/heads/main",
            "corp/shared/.github/workflows/release.yml",
        ),
        ("corp/shared/.github/workflows/release.yml@v1", "corp/shared/.github/workflows/release.yml"),
        ("corp/shared/.github/workflows/release.yml@feature/x", "corp/shared/.github/workflows/release.yml"),
        (
            "corp/shared/.github/workflows/a.yml@b.yml@refs/heads/x",
            "corp/shared/.github/workflows/a.yml@b.yml",
        ),
        (
            "corp/shared/.github/workflows/p.yml@refs/heads/q.yml@refs/x",
            "corp/shared/.github/workflows/p.yml",
        ),
        ("corp/.github/.github/workflows/p.yaml@refs/tags/v1", "corp/.github/.github/workflows/p.yaml"),
        (
            "corp/shared/.github/workflows/p.yml@3f1c0de93f1c0de93f1c0de93f1c0de93f1c0de9",
            "corp/shared/.github/workflows/p.yml",
        ),
    ] {
        fact(&ran_in(text), "job_workflow", Some(expected));
        fact(&ran_in(text), "workflow", Some("release.yml"));
    }
    for text in [
        "",
        "release.yml",
        "corp/shared/.github/workflows/",
        "corp/shared/.github/workflows/p.yml",
        "corp/shared/.github/workflows/a.yml@b.yml@v1",
        "corp/shared/.github/workflows/.yml@refs/heads/main",
        "corp/shared/.github/workflows/sub/p.yml@v1",
        "corp/shared/.github/workflows/p.txt@refs/heads/main",
        "shared/.github/workflows/p.yml@refs/heads/main",
        "a/b/c/.github/workflows/p.yml@refs/heads/main",
        "corp/shared/.github/workflows/@refs/heads/main",
        "corp/shared/.github/workflows/рelease.yml@refs/heads/main",
        "соrp/shared/.github/workflows/p.yml@refs/heads/main",
    ] {
        refused(&ran_in(text), "job_workflow_ref");
    }
}

#[test]
fn a_job_file_of_this_repository_is_of_this_ref() {
    for rest in ["release.yml@refs/heads/evil", "ci.yml@refs/heads/evil", "release.yml@", "release.yml"] {
        let text = format!("acme/widget/.github/workflows/{rest}");
        refused(&github().set("job_workflow_ref", text), "job_workflow_ref");
    }
    let shouted = "Acme/Widget/.github/workflows/release.yml@refs/heads/evil";
    refused(&github().set("job_workflow_ref", shouted), "job_workflow_ref");
}

// ── ref, environment, event ──

#[test]
fn tags_and_branches_are_told_by_ref_and_type_together() {
    let tag = at("refs/tags/v1", "tag");
    fact(&tag, "tag", Some("v1"));
    fact(&tag, "branch", None);
    fact(&tag, "ref", Some("refs/tags/v1"));
    let branch = at("refs/heads/refs/tags/v1", "branch");
    fact(&branch, "tag", None);
    fact(&branch, "branch", Some("refs/tags/v1"));
    let pull = at("refs/pull/7/merge", "branch");
    fact(&pull, "tag", None);
    fact(&pull, "branch", None);
    fact(&at("refs/tags/v1", "tag").without("ref_type"), "tag", None);
    refused(&at("refs/tags/v1", "branch"), "ref_type");
    refused(&at("refs/heads/v1", "tag"), "ref_type");
    refused(&at("refs/pull/7/merge", "tag"), "ref_type");
    refused(&at("v1", "tag"), "ref");
    refused(&at("refs/tags/v1\n", "tag"), "ref");
}

#[test]
fn something_says_which_commit_it_is() {
    assert_eq!(read(&github().set("ref", "").set("sha", "")), Err(ClaimProblem::BothEmpty("ref", "sha")));
    assert!(read(&github().set("sha", "")).is_ok());
    refused(&github().set("sha", "not hex"), "sha");
}

#[test]
fn an_empty_environment_is_none() {
    for forge in [
        github().without("environment"),
        github().set("environment", ""),
        github().set("environment", Value::Null),
    ] {
        fact(&forge, "environment", None);
    }
    fact(&github().set("environment", "pypi "), "environment", Some("pypi "));
}

#[test]
fn nothing_that_strangers_start_is_a_default_event() {
    for event in PRESET.dangerous_events.iter().chain(&["pull_request", "deployment", "merge_group", ""]) {
        assert!(!PRESET.default_events.contains(event), "{event}");
    }
    fact(&github().set("event_name", "workflow_run"), "event", Some("workflow_run"));
    refused(&github().set("event_name", ""), "event_name");
}

#[test]
fn people_read_what_is_wrong_in_words_like_those_of_pypi() {
    let mut texts = String::new();
    for forge in [
        github().without("repository_owner_id"),
        github().set("repository_owner", "evil\u{1b}[2J"),
        github().set("environment", 5),
        github().set("ref", "").set("sha", ""),
        github().set("workflow_ref", "acme/widget/.github/workflows/.yml@refs/tags/v1.2.0"),
        github().set("workflow_ref", "evil/x/.github/workflows/release.yml@refs/heads/main"),
    ] {
        texts.push_str(&read(&forge).unwrap_err().to_string());
        texts.push('\n');
    }
    insta::assert_snapshot!(texts, @"
    Missing claim 'repository_owner_id'
    Check failed for claim 'repository_owner': it has a control character
    Check failed for claim 'environment': it is not a string
    The ref and sha claims are empty
    Could not extract workflow filename from claim 'workflow_ref'
    The workflow_ref claim does not match, expecting one of ['acme/widget/.github/workflows/<file>@refs/tags/v1.2.0', 'acme/widget/.github/workflows/<file>@3f1c0de93f1c0de93f1c0de93f1c0de93f1c0de9'], got 'evil/x/.github/workflows/release.yml@refs/heads/main'
    ");
}
