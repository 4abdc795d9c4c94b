//! Tests of rules as an administrator writes them, and how they fail.

use std::fs;

use crate::clock::Timestamp;
use crate::config::tests::{folder, load_text, whole};

const NOW: Timestamp = Timestamp(1_767_225_600);

const CLAIMS: &str = r#"{
  "repository": "acme/billing", "repository_owner": "acme", "repository_owner_id": "4455", "repository_id": "81",
  "workflow_ref": "acme/billing/.github/workflows/release.yml@refs/tags/v1.2.0",
  "job_workflow_ref": "acme/billing/.github/workflows/release.yml@refs/tags/v1.2.0",
  "event_name": "push", "ref": "refs/tags/v1.2.0", "ref_type": "tag", "sha": "3f1c", "jti": "7"
}"#;

const RULE: &str = "repository_owner_id = 4455\ntag = \"v{version}\"\n";

const UPLOAD: &str = "upload = { index = \"prod\", project = \"billing-core\", version = \"1.2.0\" }\n";

/// What `check` would say about a configuration with this rule and this test.
fn run(rule: &str, test: &str) -> Result<(), String> {
    let folder = folder();
    fs::create_dir(folder.path().join("tests")).unwrap();
    fs::write(folder.path().join("tests/release.json"), CLAIMS).unwrap();
    let text = format!(
        "{}{rule}\n[[test]]\nname = \"t\"\nissuer = \"github\"\nclaims_file = \"tests/release.json\"\n{test}",
        whole()
    );
    let tested = load_text(folder.path(), &text).and_then(|settings| settings.run_tests(NOW));
    tested.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[track_caller]
fn fails(test: &str, words: &[&str]) {
    let error = run(RULE, test).expect_err("the test should fail");
    for words in words {
        assert!(error.contains(words), "`{words}` is not in:\n{error}");
    }
}

#[track_caller]
fn passes(test: &str) {
    run(RULE, test).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_test_that_expects_what_the_rules_say_passes() {
    passes("expect = \"allow\"");
    passes(&format!("{UPLOAD}expect = \"allow\"\npublisher = \"billing\""));
    passes(&format!("{}expect = \"refuse\"\nbecause = \"version\"", UPLOAD.replace("1.2.0", "1.3.0")));
    passes(&format!("{}expect = \"refuse\"\nbecause = \"project\"", UPLOAD.replace("billing-core", "x")));
}

#[test]
fn a_test_that_fails_says_where_what_and_why() {
    let error = run(RULE, "with = { event_name = \"watch\" }\nexpect = \"allow\"").unwrap_err();
    insta::assert_snapshot!(error, @r#"
    indexgate.toml:30:1: [[test]] `t`: expected allow, got refuse: publisher `billing`: event is `watch` (claim event_name), expected `push`, `release`, `create`, `workflow_dispatch`, `repository_dispatch` or `schedule` (start the run by one of these events (`on:` in the workflow); or write events = ["watch"] in the publisher, in place of the usual ones, if no stranger can cause `watch`)
    30 | [[test]]
       | fix: correct the rules, or the test if it expects the wrong thing

    1 problem in the configuration
    "#);
    fails("expect = \"refuse\"", &["expected refuse, got allow by publisher `billing`"]);
    fails(
        "with = { repository_owner_id = \"7\" }\nexpect = \"refuse\"\nbecause = \"workflow\"",
        &[
            "expected refuse because of `workflow`, got refuse for other reasons",
            "repository_owner_id is `7`",
        ],
    );
    let both = "[[publisher]]\nname = \"other\"\nissuer = \"github\"\nindex = \"prod\"\nprojects = [\"y\"]\nrepository = \"acme/y\"\nworkflow = \"y.yml\"\n";
    let error = run(&format!("{RULE}{both}"), "expect = \"allow\"\npublisher = \"other\"").unwrap_err();
    assert!(
        error.contains("expected that publisher `other` allows it, but publisher `billing` does"),
        "{error}"
    );
}

#[test]
fn claims_that_restate_a_changed_one_follow_it() {
    let refused =
        |with: &str, because: &str| passes(&format!("{with}\nexpect = \"refuse\"\nbecause = \"{because}\""));
    refused(
        "with = { repository = \"acme-evil/billing\", repository_owner_id = \"777\" }",
        "repository_owner_id",
    );
    refused("with = { repository = \"acme-evil/billing\", repository_owner_id = \"777\" }", "repository");
    refused("with = { ref = \"refs/heads/main\" }", "tag");
    refused(
        "with = { workflow_ref = \"acme/billing/.github/workflows/x.yml@refs/tags/v1.2.0\" }",
        "workflow_ref",
    );
    // Given in so many words, the contradiction is what is tested.
    refused("with = { repository = \"evil/billing\", repository_owner = \"acme\" }", "repository_owner");
    refused("without = [\"sha\"]", "sha");
    fails("without = [\"sha\"]\nexpect = \"allow\"", &["got refuse before any rule: Missing claim 'sha'"]);
}

#[test]
fn a_test_is_run_at_the_time_it_is_given() {
    let folder = folder();
    fs::write(folder.path().join("release.json"), CLAIMS).unwrap();
    let text = format!(
        "{}{RULE}expires = 2026-01-02\n[[test]]\nname = \"t\"\nissuer = \"github\"\nclaims_file = \"release.json\"\nexpect = \"allow\"",
        whole()
    );
    let settings = load_text(folder.path(), &text).unwrap();
    settings.run_tests(NOW).unwrap();
    let later = settings.run_tests(Timestamp(NOW.0 + 24 * 3600)).unwrap_err().to_string();
    assert!(later.contains("expires is `2026-01-02T00:00:00Z`"), "{later}");
}

#[test]
fn a_test_that_makes_no_sense_is_a_problem() {
    fails("expect = \"maybe\"", &["write one of \"allow\", \"refuse\""]);
    fails("expect = \"allow\"\nbecause = \"tag\"", &["only with expect = \"refuse\""]);
    fails("expect = \"refuse\"\npublisher = \"billing\"", &["only with expect = \"allow\""]);
    fails("expect = \"allow\"\npublisher = \"billling\"", &["there is no publisher `billling`"]);
    fails("expects = \"allow\"", &["did you mean `expect`?"]);
    fails("expect = \"allow\"\nwith = { exp = 1.5 }", &["a claim here is a text"]);
    fails(
        "expect = \"allow\"\nupload = { index = \"x\", project = \"y\", version = \"1\" }",
        &["no index `x`"],
    );
    fails("expect = \"allow\"\nupload = { index = \"prod\", project = \"y\" }", &["`version` is missing"]);
}
