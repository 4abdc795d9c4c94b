use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::oidc::testing::{Forge, GITLAB};
use crate::policy::VerifiedClaims;

fn read_from(issuer_url: &str, forge: &Forge) -> Result<VerifiedClaims, ClaimProblem> {
    PRESET.suppose("gitlab".parse().unwrap(), issuer_url, &forge.claims, &BTreeSet::new())
}

fn read(forge: &Forge) -> Result<VerifiedClaims, ClaimProblem> {
    read_from(GITLAB, forge)
}

fn gitlab() -> Forge {
    Forge::gitlab()
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

#[test]
fn a_release_pipeline_states_its_facts() {
    let claims = read(&gitlab()).unwrap();
    let facts: Vec<_> = claims.facts().iter().map(|(key, value)| format!("{key} = {value}")).collect();
    insta::assert_snapshot!(facts.join("\n"), @"
    environment = release
    event = push
    namespace_id = 72
    namespace_path = platform/libs
    project_id = 20
    project_path = platform/libs/widget
    ref = refs/tags/v1.2.0
    tag = v1.2.0
    workflow = .gitlab-ci.yml
    ");
}

#[test]
fn every_required_claim_must_be_there() {
    for claim in PRESET.required_claims {
        for forge in [gitlab().without(claim), gitlab().set(claim, Value::Null)] {
            assert_eq!(read(&forge), Err(ClaimProblem::Missing(claim)));
        }
    }
    for forge in [gitlab().set("ref_path", ""), gitlab().set("sha", "")] {
        assert_eq!(read(&forge), Err(ClaimProblem::BothEmpty("ref_path", "sha")));
    }
}

#[test]
fn a_claim_of_an_unexpected_type_is_refused_and_never_a_panic() {
    let claims =
        ["project_path", "project_id", "namespace_path", "namespace_id", "ci_config_ref_uri", "environment"];
    for claim in claims.iter().chain(&["pipeline_source", "ref", "ref_path", "ref_type", "sha"]) {
        for value in [json!({}), json!([]), json!(true), json!(1.5)] {
            refused(&gitlab().set(claim, value), claim);
        }
    }
}

#[test]
fn the_subject_and_the_source_of_the_job_are_never_looked_at() {
    let other = gitlab().set("sub", "x").set("job_project_path", "evil/x").set("job_namespace_id", 1);
    assert_eq!(read(&other).unwrap().facts(), read(&gitlab()).unwrap().facts());
    assert!(read(&gitlab().without("sub")).is_ok());
    assert_eq!(PRESET.unknown_claims(&other.set("new", 1).claims).collect::<Vec<_>>(), ["new"]);
}

#[test]
fn a_project_is_a_path_and_agrees_with_its_namespace() {
    for project in
        ["widget", "platform/libs/", "/libs/widget", "platform//widget", "platform/../widget", "plätform/x"]
    {
        refused(&gitlab().set("project_path", project), "project_path");
    }
    for namespace in ["platform", "platform/libs/widget", "evil", "platform/libs/"] {
        refused(&gitlab().set("namespace_path", namespace), "namespace_path");
    }
    fact(&gitlab().without("namespace_path"), "namespace_path", Some("platform/libs"));
}

#[test]
fn case_folds_in_names_and_not_in_files() {
    let shouted = gitlab().set("project_path", "Platform/Libs/Widget").set("namespace_path", "PLATFORM/libs");
    fact(&shouted, "project_path", Some("Platform/Libs/Widget"));
    fact(&shouted, "workflow", Some(".gitlab-ci.yml"));
    let file = "gitlab.example.org/platform/libs/widget//.GITLAB-CI.yml@refs/tags/v1.2.0";
    fact(&gitlab().set("ci_config_ref_uri", file), "workflow", Some(".GITLAB-CI.yml"));
}

#[test]
fn the_pipeline_file_is_of_this_project_at_this_ref_or_commit() {
    let with = |text: &str| gitlab().set("ci_config_ref_uri", text);
    let here = |rest: &str| with(&format!("gitlab.example.org/platform/libs/widget//{rest}"));
    for (rest, file) in [
        (".gitlab-ci.yml@refs/tags/v1.2.0", ".gitlab-ci.yml"),
        (".gitlab-ci.yml@714a629c714a629c714a629c714a629c714a629c", ".gitlab-ci.yml"),
        ("ci/release.yaml@refs/tags/v1.2.0", "ci/release.yaml"),
        ("a//b.yml@refs/tags/v1.2.0", "a//b.yml"),
        ("has-@.yml@refs/tags/v1.2.0", "has-@.yml"),
        ("foo.yml@bar.yml@refs/tags/v1.2.0", "foo.yml@bar.yml"),
        (".gitlab-ci.yml@fake.yml@refs/tags/v1.2.0", ".gitlab-ci.yml@fake.yml"),
        ("x//.gitlab-ci.yml@refs/tags/v1.2.0", "x//.gitlab-ci.yml"),
    ] {
        fact(&here(rest), "workflow", Some(file));
    }
    for rest in [
        "somedir/.yaml@refs/tags/v1.2.0",
        ".yml@refs/tags/v1.2.0",
        "x.wrongsuffix@refs/tags/v1.2.0",
        "@refs/tags/v1.2.0",
        "/x.yml@refs/tags/v1.2.0",
        ".gitlab-ci.yml@refs/heads/main",
        ".gitlab-ci.yml@",
        ".gitlab-ci.yml",
    ] {
        refused(&here(rest), "ci_config_ref_uri");
    }
    for text in [
        "",
        "https://evil.test/ci.yml",
        "gitlab.com/platform/libs/widget//.gitlab-ci.yml@refs/tags/v1.2.0",
        "gitlab.example.org/other/proj//.gitlab-ci.yml@refs/tags/v1.2.0",
        "gitlab.example.org/platform/libs/widget/.gitlab-ci.yml@refs/tags/v1.2.0",
        "https://gitlab.example.org/platform/libs/widget//.gitlab-ci.yml@refs/tags/v1.2.0",
    ] {
        refused(&with(text), "ci_config_ref_uri");
    }
}

#[test]
fn an_instance_may_have_a_port_and_a_path() {
    let uri = "git.example.org:8443/gitlab/platform/libs/widget//.gitlab-ci.yml@refs/tags/v1.2.0";
    let forge = gitlab().set("ci_config_ref_uri", uri);
    for issuer in ["https://git.example.org:8443/gitlab", "https://git.example.org:8443/gitlab/"] {
        assert_eq!(read_from(issuer, &forge).unwrap().fact("workflow"), Some(".gitlab-ci.yml"));
    }
    assert!(read_from("https://git.example.org:8443", &forge).is_err());
}

#[test]
fn a_branch_with_an_at_sign_is_a_branch() {
    let uri = "gitlab.example.org/platform/libs/widget//.gitlab-ci.yml@refs/heads/a@b.yml";
    let forge = gitlab()
        .set("ci_config_ref_uri", uri)
        .set("ref_path", "refs/heads/a@b.yml")
        .set("ref", "a@b.yml")
        .set("ref_type", "branch");
    fact(&forge, "workflow", Some(".gitlab-ci.yml"));
    fact(&forge, "branch", Some("a@b.yml"));
    fact(&forge, "tag", None);
}

#[test]
fn the_three_claims_about_the_ref_agree() {
    refused(&gitlab().set("ref", "v2"), "ref");
    refused(&gitlab().set("ref_type", "branch"), "ref_type");
    refused(&gitlab().set("ref_path", "v1.2.0"), "ref_path");
    fact(&gitlab().without("ref_type"), "tag", None);
    fact(&gitlab().without("ref"), "tag", Some("v1.2.0"));
}

#[test]
fn merge_requests_are_no_default_event() {
    for event in ["merge_request_event", "external_pull_request_event", "parent_pipeline", "chat", "external"]
    {
        assert!(!PRESET.default_events.contains(&event), "{event}");
    }
    fact(&gitlab().set("pipeline_source", "web"), "event", Some("web"));
    refused(&gitlab().set("pipeline_source", ""), "pipeline_source");
}
