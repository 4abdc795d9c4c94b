//! Whole answers, as people read them.

use std::fs;

use serde_json::Value;

use super::{contains_all, explain, indexgate, refusal, stage, stderr, stdout};
use crate::support::claims::Claims;
use crate::support::gateway::AUDIENCE;

#[test]
fn an_explanation_reads_from_top_to_bottom() {
    let stage = stage();
    let claims = Claims::github().without("environment").github_workflow("release.yaml");
    let text = explain(&stage, &stage.github, &claims, &[]);
    let first = text.split("\n\n").take(2).collect::<Vec<_>>().join("\n\n");
    insta::assert_snapshot!(first, @r#"
    from     a token whose signature was NOT checked: it proves nothing
    identity of issuer github: event `push`, ref `refs/tags/v1.2.0`, repository `acme/widget`, repository_id `887766`, repository_owner_id `4411`, tag `v1.2.0`, workflow `release.yaml`
    asks     for an upload token
    answer   refuse: no publisher grants it

    publisher widget-github (index prod): nearest, grants nothing
      ✓ repository           `acme/widget`
      ✓ repository_id        `887766`
      ✓ repository_owner_id  `4411`
      ✗ workflow             got `release.yaml` (claim workflow_ref), expected `release.yml`
                        why: `.yml` and `.yaml` are different files
                        job: rename the file to `release.yml`
                      rules: write workflow = ["release.yml", "release.yaml"] in the publisher
      ✗ environment          got nothing, expected `pypi`
                        job: give the job this environment: `environment: pypi`
                      rules: remove `environment` from the publisher, so that any job of the workflow may publish
      ✓ tag                  `v1.2.0`
      ✓ event                `push`
      ✓ job_workflow         nothing
    "#);
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");
    assert!(
        text.contains("publisher over (index prod): fails at "),
        "those that are further off are short:\n{text}"
    );
}

#[test]
fn a_refusal_is_one_sentence_for_each_thing_to_change() {
    let stage = stage();
    let claims = Claims::github().without("environment").github_ref("refs/heads/main");
    let text = refusal(&stage, &stage.github, &claims);
    let (words, _) = text.split_once(" (reference ").unwrap();
    insta::assert_snapshot!(words, @r#"valid token, but no corresponding publisher (publisher `widget-github`: the token says nothing about environment, expected `pypi` (give the job this environment: `environment: pypi`; or remove `environment` from the publisher, so that any job of the workflow may publish); the token says nothing about tag (claim ref), expected a tag `v{version}` (the run is of branch `main`: start the run from a tag, as in `v1.2.0` for version 1.2.0 (`on: push: tags:` or `on: release:` in the workflow); or write branch = "main" instead of `tag` in the publisher, so that every push to it may publish))"#);
    // The audit says the same.
    let audit = &stage.gateway.audit_about("environment: pypi")[0];
    assert_eq!(audit["reason"], words);
}

#[test]
fn a_token_that_would_not_be_believed_is_said_to_be_so() {
    let stage = stage();
    let file = stage.gateway.directory().join("token.jwt");
    let explained = |token: &str, more: &[&str]| {
        fs::write(&file, format!("{token}\n")).unwrap();
        let path = file.display().to_string();
        let output = indexgate(&stage.gateway, &[&["explain", "--token", &path], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let good = Claims::github();
    contains_all(
        &explained(&stage.github.token(&good, AUDIENCE), &[]),
        &["signature was NOT checked", "allow, by publisher widget-github"],
    );
    contains_all(
        &explained(&stage.github.token(&good, "another.example"), &[]),
        &[
            "`aud` is \"another.example\"",
            &format!("ask for a token with audience `{AUDIENCE}`"),
            "refuse, before any rule is asked; otherwise granted by widget-github",
        ],
    );
    contains_all(
        &explained(
            &stage.github.token(
                &good
                    .clone()
                    .with("exp", 1_700_000_600)
                    .with("iat", 1_700_000_000)
                    .with("nbf", 1_700_000_000),
                AUDIENCE,
            ),
            &[],
        ),
        &["expired", "ask for a new token right before the exchange"],
    );
    contains_all(
        &explained(
            &stage.github.token(&good.clone().with("iss", format!("{}/", stage.github.url())), AUDIENCE),
            &[],
        ),
        &["no [[issuer]] has this URL", "is another URL", "write url = "],
    );
    contains_all(
        &explained(&stage.github.token(&good.clone().with("iss", "https://evil.example"), AUDIENCE), &[]),
        &[
            "`iss` is `https://evil.example`",
            "add [[issuer]] with url = \"https://evil.example\" if it is trusted",
        ],
    );
    contains_all(
        &explained(&stage.github.token(&good.clone().without("sha"), AUDIENCE), &[]),
        &["Missing claim 'sha'"],
    );
    contains_all(&explained("not.a token", &[]), &["malformed JWT", "id-token: write"]);
    contains_all(
        &explained(&stage.github.token(&good, AUDIENCE), &["--issuer", "gitlab"]),
        &["but issuer `gitlab` is", "Missing claim"],
    );
}

#[test]
fn claims_are_read_from_a_file_and_answered_for_programs() {
    let stage = stage();
    let file = stage.gateway.directory().join("claims.json");
    let claims = Claims::github().github_environment("staging");
    fs::write(&file, claims.payload(serde_json::json!({ "jti": "1" })).to_string()).unwrap();
    let path = file.display().to_string();
    let ambiguous = indexgate(&stage.gateway, &["explain", "--claims", &path]);
    assert!(!ambiguous.status.success());
    contains_all(&stderr(&ambiguous), &["name their issuer with --issuer", "`github` or `gitlab`"]);

    let output = indexgate(&stage.gateway, &["explain", "--claims", &path, "--issuer", "github", "--json"]);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["allowed"], false);
    assert_eq!(json["publishers"][0]["publisher"], "widget-github");
    let findings = json["publishers"][0]["findings"].as_array().unwrap();
    let missed: Vec<_> = findings.iter().filter(|finding| finding["met"] == false).collect();
    assert_eq!(missed.len(), 1);
    assert_eq!((&missed[0]["key"], &missed[0]["got"]), (&"environment".into(), &"staging".into()));
    assert!(missed[0]["job"].is_string() && missed[0]["rule"].is_string());

    for (arguments, words) in [
        (&["explain"][..], "--token"),
        (&["explain", "--claims", "/nonexistent"], "cannot read `/nonexistent`"),
        (&["explain", "--claims", &path, "--issuer", "x"], "there is no issuer `x`"),
        (&["explain", "--claims", &path, "--index", "prod"], "--project"),
        (
            &["explain", "--claims", &path, "--index", "x", "--project", "y", "--version", "1"],
            "there is no index `x`",
        ),
        (&["explain", "--claims", &path, "--token", &path], "cannot be used with"),
    ] {
        let output = indexgate(&stage.gateway, arguments);
        assert!(!output.status.success());
        contains_all(&stderr(&output), &[words]);
    }
}
