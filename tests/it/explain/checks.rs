//! `indexgate check`: exit codes, tests, warnings, and what it finds online.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;

use super::{contains_all, indexgate, stage, stderr, stdout};
use crate::support::claims::Claims;
use crate::support::gateway::{Gateway, binary};
use crate::support::issuer::{Endpoint, Fault, Issuer};
use crate::support::process::Server;
use crate::support::pypiserver::Pypiserver;
use crate::support::python::Python;
use crate::support::stage::Stage;

/// Replaces or adds to the configuration, which the running gateway does not read again.
fn edit(gateway: &Gateway, change: impl FnOnce(String) -> String) {
    let path = gateway.config_file();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, change(text)).unwrap();
}

fn add(gateway: &Gateway, toml: &str) {
    edit(gateway, |text| format!("{text}\n{toml}\n"));
}

fn save_claims(gateway: &Gateway, claims: &Claims) {
    let claims = claims.payload(json!({ "jti": "1" })).to_string();
    fs::write(gateway.directory().join("release.json"), claims).unwrap();
}

fn test_block(more: &str) -> String {
    format!("[[test]]\nname = \"the release\"\nissuer = \"github\"\nclaims_file = \"release.json\"\n{more}")
}

#[track_caller]
fn code(output: &Output, expected: i32) {
    assert_eq!(output.status.code(), Some(expected), "{}{}", stdout(output), stderr(output));
}

#[test]
fn tests_of_rules_pass_or_keep_the_configuration_from_being_served() {
    let stage = stage();
    save_claims(&stage.gateway, &Claims::github());
    add(
        &stage.gateway,
        &test_block(
            "upload = { index = \"prod\", project = \"acme-widget\", version = \"1.2.0\" }\nexpect = \"allow\"\npublisher = \"widget-github\"",
        ),
    );
    let passed = indexgate(&stage.gateway, &["check"]);
    code(&passed, 0);
    contains_all(&stdout(&passed), &["1 test passed"]);

    add(
        &stage.gateway,
        &test_block("with = { environment = \"staging\" }\nexpect = \"allow\"")
            .replace("release\"\n", "staging\"\n"),
    );
    let failed = indexgate(&stage.gateway, &["check"]);
    code(&failed, 1);
    contains_all(
        &stderr(&failed),
        &[
            "[[test]] `the staging`: expected allow, got refuse",
            "environment is `staging`, expected `pypi`",
            "environment: pypi",
            "1 problem",
        ],
    );
    // The same configuration is not served either.
    let mut command = Command::new(binary());
    command.arg("serve").arg("--config").arg(stage.gateway.config_file());
    let served = Server::spawn("indexgate", &mut command)
        .wait_until("listening", |log| log.contains("listening on http"))
        .expect_err("a test fails");
    contains_all(&served, &["exit status: 1", "expected allow, got refuse"]);
}

#[test]
fn warnings_are_told_and_only_count_when_that_is_asked_for() {
    let stage = stage();
    let checked = indexgate(&stage.gateway, &["check"]);
    code(&checked, 0);
    contains_all(
        &stdout(&checked),
        &[
            "warning: ",
            "publisher `over`: it expired at 2026-01-01T00:00:00Z",
            "indexgate.toml:",
            "fix: write a later `expires`",
            "4 warnings",
        ],
    );
    code(&indexgate(&stage.gateway, &["check", "--strict"]), 1);
    edit(&stage.gateway, |text| text.split("[[publisher]]\nname = \"over\"").next().unwrap().to_owned());
    add(
        &stage.gateway,
        "[[project]]\nindex = \"prod\"\nname = \"acme-widget\"\nonly = [\"widget-github\", \"widget-gitlab\"]",
    );
    let clean = indexgate(&stage.gateway, &["check", "--strict"]);
    code(&clean, 0);
    assert!(!stdout(&clean).contains("warning"), "{}", stdout(&clean));
}

#[test]
fn online_everything_that_is_named_is_tried() {
    let (stage, _index) = Stage::devpi();
    let good = indexgate(&stage.gateway, &["check", "--online"]);
    code(&good, 0);
    contains_all(
        &stdout(&good),
        &[
            "✓ upstream `devpi`: answers",
            "✓ upstream `devpi`: accepts the credential (logged in)",
            "✓ issuer `github`: publishes 1 usable key",
            "✓ issuer `gitlab`: publishes 1 usable key",
        ],
    );

    let secret = stage.gateway.directory().join("secrets/devpi");
    let password = fs::read_to_string(&secret).unwrap();
    fs::write(&secret, "not-the-password\n").unwrap();
    stage.gitlab.break_with(Endpoint::Keys, Fault::Status(500));
    let bad = indexgate(&stage.gateway, &["check", "--online"]);
    code(&bad, 1);
    contains_all(
        &stdout(&bad),
        &[
            "✗ upstream `devpi`: it refuses the gateway's own credential",
            "✓ issuer `github`",
            "✗ issuer `gitlab`",
            "answered 500",
        ],
    );
    for secret in [password.trim(), "not-the-password"] {
        assert!(!stdout(&bad).contains(secret) && !stderr(&bad).contains(secret), "a secret is printed");
    }
}

#[test]
fn online_a_clock_that_is_off_is_noticed() {
    let stage = stage();
    stage.github.break_with(Endpoint::Keys, dated(&stage.github, "Sun, 06 Nov 1994 08:49:37 GMT"));
    let checked = indexgate(&stage.gateway, &["check", "--online"]);
    code(&checked, 1);
    contains_all(
        &stdout(&checked),
        &["✗ issuer `github`: its clock is ", " s behind ours; set both by NTP", "✓ upstream `recorder`"],
    );
    stage.github.mend();
    stage.github.break_with(Endpoint::Discovery, Fault::Slow(Duration::from_secs(5)));
    contains_all(
        &stdout(&indexgate(&stage.gateway, &["check", "--online"])),
        &["✗ issuer `github`: no answer from"],
    );
}

fn dated(issuer: &Issuer, date: &str) -> Fault {
    Fault::Answer(200, vec![("date", date.to_owned())], issuer.key_set().to_string().into_bytes())
}

#[test]
fn online_an_upstream_that_is_not_there_is_noticed() {
    let pypiserver = Pypiserver::start(Python::shared());
    let stage = Stage::set(|setup| setup.pypiserver(&pypiserver).index("prod", "pypiserver", "/"), "/");
    let there = indexgate(&stage.gateway, &["check", "--online"]);
    code(&there, 0);
    contains_all(
        &stdout(&there),
        &[
            "✓ upstream `pypiserver`: answers",
            "does not object to the credential; only an upload would prove it",
        ],
    );
    edit(&stage.gateway, |text| text.replace(pypiserver.url(), "http://127.0.0.1:1"));
    let gone = indexgate(&stage.gateway, &["check", "--online"]);
    code(&gone, 1);
    contains_all(&stdout(&gone), &["✗ upstream `pypiserver`: cannot connect"]);
}
