//! Why was I refused? The text that a job gets and what `explain` prints must each say which key it is, what was
//! expected, what there is, and what to change.

mod checks;
mod mismatches;
mod references;
mod words;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::claims::Claims;
use crate::support::gateway::{AUDIENCE, Gateway, binary};
use crate::support::issuer::Issuer;
use crate::support::raw::{Answer, Form, Raw, basic};
use crate::support::stage::Stage;

/// Rules beside those of the stage: one publisher for each kind of mismatch.
const MORE_RULES: &str = r#"
[[publisher]]
name = "org"
issuer = "github"
index = "prod"
projects = [{ glob = "org-*" }]
repository = { glob = "orga/*" }
repository_owner_id = 600
workflow = { glob = "release*.yml" }
protected = true
tag = { glob = "v*" }

[[publisher]]
name = "shared"
issuer = "github"
index = "prod"
projects = ["lib"]
repository = "acme/lib"
repository_id = 700
workflow = "ci.yml"
job_workflow = "acme/workflows/.github/workflows/publish.yml"
branch = "main"

[[publisher]]
name = "over"
issuer = "github"
index = "prod"
projects = ["over"]
repository = "acme/over"
repository_id = 800
workflow = "release.yml"
expires = 2026-01-01

[[publisher]]
name = "watching"
issuer = "github"
index = "prod"
projects = ["watching"]
repository = "acme/watching"
repository_id = 801
workflow = "release.yml"
mode = "observe"
"#;

fn stage() -> Stage {
    let recorder = Box::leak(Box::new(crate::support::recorder::Recorder::start()));
    let declare = |setup: crate::support::gateway::Setup| {
        let setup = setup.upstream("recorder", "generic", &recorder.url());
        setup
            .index("prod", "recorder", "/root/prod/")
            .index("stage", "recorder", "/root/stage/")
            .also(MORE_RULES)
    };
    Stage::set(declare, "/root/prod/")
}

/// `indexgate …` with the configuration of a gateway, as an administrator would type it beside it.
fn indexgate(gateway: &Gateway, arguments: &[&str]) -> Output {
    run(&gateway.config_file(), arguments)
}

fn run(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.env_clear().env("PATH", "/usr/bin:/bin");
    let (first, rest) = arguments.split_first().expect("a command is given");
    command.arg(first).arg("--config").arg(config).args(rest).output().expect("the binary can be run")
}

/// What `explain` prints about a token.
#[track_caller]
fn explain(stage: &Stage, issuer: &Issuer, claims: &Claims, more: &[&str]) -> String {
    let file = stage.gateway.directory().join("token.jwt");
    fs::write(&file, issuer.token(claims, AUDIENCE)).unwrap();
    let file = file.display().to_string();
    let output = indexgate(&stage.gateway, &[&["explain", "--token", &file], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the mint endpoint tells a job.
#[track_caller]
fn refusal(stage: &Stage, issuer: &Issuer, claims: &Claims) -> String {
    let answer = stage.gateway.mint(&issuer.token(claims, AUDIENCE));
    assert_eq!(answer.status, 422, "{answer}");
    answer.json()["errors"][0]["description"].as_str().unwrap().to_owned()
}

fn upload(gateway: &Gateway, token: &str, path: &str, form: &Form) -> Answer {
    let request = Raw::new(&format!("POST {path}")).form(form);
    gateway.ask(&request.header("Authorization", basic("__token__", token)))
}

#[track_caller]
fn contains_all(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}
