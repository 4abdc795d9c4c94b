//! Each lint on a rule set that deserves it, and silence on one that does not.

use crate::clock::Timestamp;
use crate::config::tests::{GENERAL, INDEX, ISSUER, loaded};

const NOW: Timestamp = Timestamp(1_767_225_600);

/// A publisher that deserves no warning, with some lines replaced.
fn publisher(name: &str, project: &str, lines: &str) -> String {
    let defaults = [
        ("repository", "\"acme/billing\""),
        ("repository_owner_id", "4455"),
        ("workflow", "\"release.yml\""),
        ("environment", "\"pypi\""),
    ];
    let written = |key: &str| lines.lines().any(|line| line.split(' ').next() == Some(key));
    let defaults = defaults.iter().filter(|(key, _)| !written(key));
    let defaults: String = defaults.map(|(key, value)| format!("{key} = {value}\n")).collect();
    let lines: String =
        lines.lines().filter(|line| !line.ends_with("= -")).map(|line| format!("{line}\n")).collect();
    format!(
        "[[publisher]]\nname = \"{name}\"\nissuer = \"github\"\nindex = \"prod\"\nprojects = [{project}]\n{defaults}{lines}"
    )
}

fn warnings(rules: &str) -> Vec<String> {
    let issuer = ISSUER.replace(
        "preset = \"github\"",
        "preset = \"github\"\nrequire = { repository_owner_id = [4455, 66] }",
    );
    let issuer = if rules.contains("# without require") { ISSUER.to_owned() } else { issuer };
    let settings = loaded(&format!("{GENERAL}{INDEX}{issuer}{rules}"));
    settings.lint(NOW).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(rules: &str, expected: &[&str]) {
    let warnings = warnings(rules);
    assert_eq!(warnings.len(), 1, "one warning is expected: {warnings:#?}");
    for words in expected {
        assert!(warnings[0].contains(words), "`{words}` is not in:\n{}", warnings[0]);
    }
}

#[track_caller]
fn check_one(lines: &str, expected: &[&str]) {
    check(&publisher("p", "\"billing-core\"", lines), expected);
}

#[test]
fn good_rules_are_passed_in_silence() {
    let rules = publisher("a", "\"billing-core\"", "tag = \"v{version}\"")
        + &publisher("b", "\"other\"", "expires = 2027-01-01");
    assert_eq!(warnings(&rules), [""; 0]);
}

#[test]
fn a_warning_has_its_place_its_reason_and_a_fix() {
    let rules = publisher("p", "\"billing-core\"", "expires = 2025-12-31");
    insta::assert_snapshot!(warnings(&rules)[0].split_once("indexgate.toml").unwrap().1, @r"
    :20:1: publisher `p`: it expired at 2025-12-31T00:00:00Z and grants nothing
    20 | [[publisher]]
       | fix: write a later `expires`, or remove it
    ");
}

#[test]
fn a_rule_that_anybody_could_come_to_meet_is_noticed() {
    check_one(
        "# without require\nrepository_owner_id = -",
        &["no id is pinned", "repository_id or repository_owner_id"],
    );
    assert_eq!(
        warnings(&publisher("p", "\"x\"", "repository_owner_id = -")),
        [""; 0],
        "the issuer requires one"
    );
    check_one(
        "environment = -",
        &["any branch of the repository may publish", "environment = ", "protected = true"],
    );
    for guard in
        ["tag = \"v{version}\"", "branch = \"main\"", "protected = true", "ref = \"refs/heads/main\""]
    {
        assert_eq!(
            warnings(&publisher("p", "\"x\"", &format!("environment = -\n{guard}"))),
            [""; 0],
            "{guard}"
        );
    }
}

#[test]
fn a_rule_that_never_matches_is_noticed() {
    check_one("tag = { glob = \"v1\" }", &["the glob `v1` in `tag` has no wildcard", "tag = \"v1\""]);
    check_one("events = [\"push\", \"pushh\"]", &["does not know the event `pushh`", "push, release"]);
    check_one("tag = \"v1\"\nevents = [\"schedule\"]", &["started by schedule never have a tag"]);
    check_one("branch = \"main\"\nevents = [\"release\"]", &["started by release never have a branch"]);
    check_one("repository_owner_id = 7", &["is `7`, but the issuer requires `4455` or `66`"]);
}

#[test]
fn both_extensions_for_one_repository_are_noticed() {
    let rules = publisher("a", "\"x\"", "") + &publisher("b", "\"y\"", "workflow = \"release.yaml\"");
    check(
        &rules,
        &["publisher `b`", "`release.yaml` of `acme/billing`", "publisher `a` names `release.yml`"],
    );
    let elsewhere = publisher("a", "\"x\"", "")
        + &publisher("b", "\"y\"", "workflow = \"release.yaml\"\nrepository = \"acme/other\"");
    assert_eq!(warnings(&elsewhere), [""; 0]);
}

#[test]
fn a_publisher_that_adds_nothing_is_noticed() {
    for (narrow, wide) in [
        ("", ""),
        ("tag = \"v{version}\"", ""),
        ("versions = \"dev-only\"", ""),
        ("tag = { glob = \"v1.*\" }", "tag = { glob = \"v*\" }"),
        ("expires = 2027-01-01", ""),
        ("repository = \"acme/billing\"", "repository = [\"acme/billing\", \"acme/other\"]"),
    ] {
        for (first, second) in [(narrow, wide), (wide, narrow)] {
            let rules = publisher("a", "\"x\"", first) + &publisher("b", "\"x\"", second);
            check(&rules, &["it adds nothing", "grants all that it grants"]);
        }
    }
    let glob = publisher("narrow", "\"acme-x\", { glob = \"acme-x-*\" }", "")
        + &publisher("wide", "{ glob = \"acme-*\" }", "");
    check(&glob, &["publisher `narrow`: it adds nothing", "`wide`"]);
}

#[test]
fn two_publishers_of_one_project_are_noticed_unless_that_is_said_to_be_meant() {
    let two =
        publisher("a", "\"x\"", "workflow = \"a.yml\"") + &publisher("b", "\"x\"", "workflow = \"b.yml\"");
    check(
        &two,
        &["publisher `b`: it grants `x` of index `prod`, and so does publisher `a`", "only = [\"a\", \"b\"]"],
    );
    let meant = format!("{two}[[project]]\nindex = \"prod\"\nname = \"x\"\nonly = [\"a\", \"b\"]\n");
    assert_eq!(warnings(&meant), [""; 0]);
    for wide in ["mode = \"observe\"", "expires = 2027-01-01", "tag = { glob = \"v*\" }"] {
        let rules = publisher("a", "\"x\"", wide) + &publisher("b", "\"x\"", "tag = \"v{version}\"");
        check(&rules, &["and so does publisher `a`"]);
    }
}

#[test]
fn a_project_that_names_the_wrong_publisher_is_noticed() {
    let rules = publisher("a", "\"x\"", "") + &publisher("b", "\"y\"", "");
    let project = |name: &str, only: &str| {
        format!("{rules}[[project]]\nindex = \"prod\"\nname = \"{name}\"\nonly = [{only}]\n")
    };
    check(
        &project("x", "\"a\", \"b\""),
        &["[[project]]: `only` names publisher `b`, which does not grant `x`"],
    );
    let both = warnings(&project("x", "\"b\"")).join("\n");
    assert!(both.contains("publisher `a`: a [[project]] reserves `x` for other publishers"), "{both}");
}
