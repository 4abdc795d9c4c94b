//! A refusal is explained later, by another process, while the gateway runs.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{contains_all, indexgate, stage, stderr, stdout, upload};
use crate::support::claims::Claims;
use crate::support::gateway::{AUDIENCE, Gateway};
use crate::support::package::Package;
use crate::support::raw::Form;
use crate::support::stage::Stage;

/// What `explain` prints about a reference, once the decision is kept: that happens behind the answer.
#[track_caller]
fn explained(gateway: &Gateway, reference: &str, more: &[&str]) -> String {
    let begun = Instant::now();
    loop {
        let output = indexgate(gateway, &[&["explain", "--reference", reference], more].concat());
        if output.status.success() {
            return stdout(&output);
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{}", stderr(&output));
    }
}

fn refused(stage: &Stage, claims: &Claims) -> String {
    let answer = stage.gateway.mint(&stage.github.token(claims, AUDIENCE));
    answer.json()["reference"].as_str().unwrap().to_owned()
}

#[test]
fn a_refused_exchange_is_explained_by_its_reference() {
    let stage = stage();
    let reference = refused(&stage, &Claims::github().github_workflow("nightly.yml"));
    let text = explained(&stage.gateway, &reference, &[]);
    contains_all(
        &text,
        &[
            "mint of 20",
            "refused",
            &reference,
            "the reason at that time: valid token, but no corresponding publisher",
            "repository `acme/widget`",
            "refuse: no publisher grants it",
            "got `nightly.yml` (claim workflow_ref), expected `release.yml`",
        ],
    );
    assert!(!text.contains("configuration"), "the rules are the same:\n{text}");

    // The rules change; the gateway still runs by the old ones.
    let config = stage.gateway.config_file();
    let corrected = fs::read_to_string(&config).unwrap().replacen(
        "workflow = \"release.yml\"",
        "workflow = \"nightly.yml\"",
        1,
    );
    fs::write(&config, corrected).unwrap();
    contains_all(
        &explained(&stage.gateway, &reference, &[]),
        &["decided then; the present one is", "allow, by publisher widget-github"],
    );
}

#[test]
fn a_grant_and_a_refused_upload_are_kept_too_and_no_token_is() {
    let stage = stage();
    let identity = stage.github.token(&Claims::github(), AUDIENCE);
    let token = stage.gateway.mint(&identity).json()["token"].as_str().unwrap().to_owned();
    let answer =
        upload(&stage.gateway, &token, "/root/prod/", &Form::uv(&Package::wheel("payroll", "1.2.0")));
    assert_eq!(answer.status, 403);
    let upload = &stage.gateway.audit_about("payroll")[0];
    let text = explained(&stage.gateway, upload["reference"].as_str().unwrap(), &[]);
    contains_all(
        &text,
        &["upload of 20", "to upload payroll 1.2.0 to index prod", "got `payroll`, expected `acme-widget`"],
    );
    // The same identity, asked for something else.
    let other = ["--index", "prod", "--project", "acme-widget", "--version", "1.2.0"];
    contains_all(
        &explained(&stage.gateway, upload["reference"].as_str().unwrap(), &other),
        &["allow, by publisher widget-github"],
    );

    let mint = &stage.gateway.audit_about("\"mint\"")[0];
    contains_all(
        &explained(&stage.gateway, mint["reference"].as_str().unwrap(), &[]),
        &["mint of 20", "allowed"],
    );
    let json: Value =
        serde_json::from_str(&explained(&stage.gateway, mint["reference"].as_str().unwrap(), &["--json"]))
            .unwrap();
    assert_eq!((&json["allowed"], &json["publishers"][0]["grants"]), (&true.into(), &true.into()));

    for file in ["indexgate.db", "indexgate.db-wal"] {
        let bytes = fs::read(stage.gateway.directory().join("state").join(file)).unwrap_or_default();
        for secret in [&token, &identity] {
            let signature = secret.rsplit('.').next().unwrap();
            assert!(memchr::memmem::find(&bytes, signature.as_bytes()).is_none(), "{file} holds a token");
        }
    }
}

#[test]
fn a_token_that_no_rule_saw_is_explained_as_far_as_possible() {
    let stage = stage();
    let answer = stage.gateway.mint(&stage.github.token(&Claims::github(), "another.example"));
    let reference = answer.json()["reference"].as_str().unwrap().to_owned();
    contains_all(
        &explained(&stage.gateway, &reference, &[]),
        &[
            "`aud` is \"another.example\"",
            &format!("ask for a token with audience `{AUDIENCE}`"),
            "no rule was asked",
        ],
    );
}

#[test]
fn a_reference_that_is_not_kept_says_where_else_to_look() {
    let stage = stage();
    let output = indexgate(&stage.gateway, &["explain", "--reference", "aaaaaaaaaa"]);
    assert!(!output.status.success());
    contains_all(
        &stderr(&output),
        &["no decision is kept under `aaaaaaaaaa`", "keep_decisions", "the audit may have it"],
    );
}

#[test]
fn decisions_need_not_be_kept() {
    let stage = Stage::set(
        |setup| {
            let setup = setup.upstream("recorder", "generic", "http://127.0.0.1:1");
            setup.index("prod", "recorder", "/root/prod/").also("[store]\nkeep_decisions = \"0s\"")
        },
        "/root/prod/",
    );
    let reference = refused(&stage, &Claims::github().github_workflow("nightly.yml"));
    assert!(!stage.gateway.audit_about(&reference).is_empty());
    let output = indexgate(&stage.gateway, &["explain", "--reference", &reference]);
    contains_all(&stderr(&output), &["no decision is kept"]);
}
