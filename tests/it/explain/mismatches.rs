//! The usual mismatches, one spoiled detail each: both texts name the key, both values and the fix.

use super::{contains_all, explain, refusal, stage, upload};
use crate::support::claims::Claims;
use crate::support::package::Package;
use crate::support::raw::Form;

/// Repository, id, owner id and workflow of a job like that of `Claims::github`.
fn job(repository: &str, id: &str, owner_id: &str, workflow: &str) -> Claims {
    Claims::github().repository(repository, id, owner_id).github_workflow(workflow)
}

#[test]
fn both_texts_say_what_differs_and_what_to_change() {
    let stage = stage();
    let check = |claims: Claims, words: &[&str]| {
        contains_all(&refusal(&stage, &stage.github, &claims), words);
        contains_all(&explain(&stage, &stage.github, &claims, &[]), words);
    };
    let good = Claims::github;
    // Another workflow file.
    check(
        good().github_workflow("nightly.yml"),
        &[
            "widget-github",
            "workflow",
            "`nightly.yml`",
            "workflow_ref",
            "`release.yml`",
            "publish from the workflow file `release.yml`",
            "write workflow = [\"release.yml\", \"nightly.yml\"] in the publisher",
        ],
    );
    check(
        good().github_workflow("release.yaml"),
        &[
            "`release.yaml`",
            "`release.yml`",
            "`.yml` and `.yaml` are different files",
            "rename the file to `release.yml`",
        ],
    );
    check(
        good().github_workflow("Release.yml"),
        &["`Release.yml`", "compared with upper and lower case", "rename the file"],
    );
    // The environment.
    check(
        good().without("environment"),
        &[
            "environment",
            "`pypi`",
            "give the job this environment: `environment: pypi`",
            "remove `environment` from the publisher",
        ],
    );
    check(
        good().github_environment("staging"),
        &[
            "environment",
            "`staging`",
            "`pypi`",
            "write this environment in the job: `environment: pypi`",
            "environment = [\"pypi\", \"staging\"]",
        ],
    );
    // The ref.
    check(
        good().github_ref("refs/heads/main"),
        &[
            "tag",
            "`v{version}`",
            "the run is of branch `main`",
            "start the run from a tag, as in `v1.2.0`",
            "on: push: tags:",
            "write branch = \"main\" instead of `tag`",
        ],
    );
    check(
        good().github_ref("next"),
        &["tag", "`next`", "`v{version}`", "push a tag of that form, as in `v1.2.0` for version 1.2.0"],
    );
    // What started the run.
    check(
        good().with("event_name", "pull_request_target"),
        &[
            "event",
            "`pull_request_target`",
            "event_name",
            "`push`, `release`",
            "`on:` in the workflow",
            "events = [\"pull_request_target\"]",
            "if no stranger can cause `pull_request_target`",
        ],
    );
    // A reusable workflow, unasked for and missing.
    check(
        good().with("job_workflow_ref", "acme/shared/.github/workflows/publish.yml@refs/heads/main"),
        &[
            "job_workflow",
            "`acme/shared/.github/workflows/publish.yml`",
            "the job ran in a reusable workflow",
            "job_workflow = \"acme/shared/.github/workflows/publish.yml\"",
        ],
    );
    let lib = || job("acme/lib", "700", "4411", "ci.yml").github_ref("refs/heads/main");
    check(
        lib(),
        &[
            "shared",
            "job_workflow",
            "`acme/workflows/.github/workflows/publish.yml`",
            "calls the reusable workflow, as in `uses: acme/workflows/.github/workflows/publish.yml@...`",
            "remove `job_workflow`",
        ],
    );
    // A tag instead of a branch.
    check(
        lib()
            .github_ref("v1.2.0")
            .with("job_workflow_ref", "acme/workflows/.github/workflows/publish.yml@refs/heads/main"),
        &["branch", "`main`", "the run is of tag `v1.2.0`", "tag = \"v{version}\""],
    );
    // A ref that is not protected.
    check(
        job("orga/thing", "1", "600", "release.yml").with("ref_protected", "false"),
        &[
            "org",
            "protected",
            "ref_protected",
            "false",
            "true",
            "protect the branch or tag (a ruleset",
            "remove protected = true",
        ],
    );
    // Dates and modes.
    check(
        job("acme/over", "800", "4411", "release.yml"),
        &["over", "expires", "2026-01-01T00:00:00Z", "write a later `expires` in the publisher"],
    );
    check(
        job("acme/watching", "801", "4411", "release.yml"),
        &[
            "watching",
            "mode",
            "`observe`",
            "`enforce`",
            "only records what it would grant",
            "write mode = \"enforce\"",
        ],
    );
}

#[test]
fn gitlab_is_spoken_to_in_its_own_words() {
    let stage = stage();
    let check = |claims: Claims, words: &[&str]| {
        contains_all(&refusal(&stage, &stage.gitlab, &claims), words);
        contains_all(&explain(&stage, &stage.gitlab, &claims, &[]), words);
    };
    let good = || Claims::gitlab(stage.gitlab.url());
    check(good().gitlab_ref("refs/heads/main"), &["tag", "ref_path", "`rules: - if: $CI_COMMIT_TAG`"]);
    check(
        good().with("environment", "PyPI"),
        &["`PyPI`", "`pypi`", "GitLab tells upper and lower case apart"],
    );
    check(
        good().gitlab_workflow("ci/publish.yml"),
        &["ci_config_ref_uri", "`ci/publish.yml`", "`.gitlab-ci.yml`"],
    );
    check(
        good().with("pipeline_source", "merge_request_event"),
        &["event", "pipeline_source", "start the pipeline in one of these ways"],
    );
}

/// Who has not proved to control the repository is told the own claims and whom to ask; the administrator sees it all.
#[test]
fn a_stranger_learns_nothing_of_the_rules_and_the_administrator_learns_why() {
    let stage = stage();
    let check = |claims: Claims, own: &[&str], why: &[&str]| {
        let told = refusal(&stage, &stage.github, &claims);
        contains_all(
            &told,
            &[
                "no publisher here trusts this identity",
                "`indexgate explain` with the reference",
                "(reference ",
            ],
        );
        contains_all(&told, own);
        assert!(!told.contains("widget-github") && !told.contains("expected"), "{told}");
        contains_all(&explain(&stage, &stage.github, &claims, &[]), why);
    };
    // A look-alike.
    check(
        Claims::github().repository("acme-evil/widget", "99001", "6666"),
        &["`acme-evil/widget`", "`6666`"],
        &[
            "publisher widget-github (index prod): nearest",
            "`acme/widget`",
            "this is another repository",
            "`6666`, expected `4411`",
        ],
    );
    // The account was deleted, and somebody has taken its name.
    check(
        Claims::github().repository("acme/widget", "99001", "6666"),
        &["`acme/widget`"],
        &[
            "publisher widget-github (index prod): nearest",
            "got `6666`, expected `4411`",
            "the owner's name belongs to another account now",
            "write repository_owner_id = 6666 in the publisher, if you made that account yourself",
            "write repository_id = 99001",
        ],
    );
    // The repository was deleted and created anew.
    check(
        Claims::github().repository("acme/widget", "99001", "4411"),
        &["`99001`"],
        &[
            "got `99001`, expected `887766`",
            "the repository was created anew",
            "write repository_id = 99001 in the publisher, if it was you",
        ],
    );
    // The repository was renamed.
    check(
        Claims::github().repository("acme/watchings", "887766", "4411"),
        &["`acme/watchings`"],
        &[
            "publisher widget-github (index prod): nearest",
            "the id is the right one, so it was renamed or moved",
            "write repository = \"acme/watchings\" in the publisher",
        ],
    );
    // Nobody ever named it: here is what to add.
    check(
        Claims::github().repository("zeta/other", "5", "6"),
        &["`zeta/other`"],
        &[
            "If this identity is to be trusted, add to the rules:",
            "[[publisher]]",
            "repository = \"zeta/other\"",
            "repository_id = 5",
            "environment = \"pypi\"",
            "tag = \"v{version}\"",
        ],
    );
}

#[test]
fn a_refused_upload_says_what_the_token_is_for() {
    let stage = stage();
    let token = stage.gateway.upload_token(&stage.github, &Claims::github());
    let check = |path: &str, index: &str, project: &str, version: &str, words: &[&str]| {
        let answer = upload(&stage.gateway, &token, path, &Form::uv(&Package::wheel(project, version)));
        assert_eq!(answer.status, 403, "{answer}");
        contains_all(&answer.text(), words);
        let question = ["--index", index, "--project", project, "--version", version];
        contains_all(&explain(&stage, &stage.github, &Claims::github(), &question), words);
    };
    check(
        "/root/prod/",
        "prod",
        "payroll",
        "1.2.0",
        &["project", "`payroll`", "`acme-widget`", "add \"payroll\" to `projects`"],
    );
    check(
        "/root/stage/",
        "stage",
        "acme-widget",
        "1.2.0",
        &["index", "`stage`", "`prod`", "upload to index `prod`", "index = \"stage\""],
    );
    check(
        "/root/prod/",
        "prod",
        "acme-widget",
        "1.3.0",
        &[
            "version",
            "`1.3.0`",
            "`1.2.0`, the version of tag `v1.2.0`",
            "tag the commit `v1.3.0` and publish from that run",
        ],
    );
}
