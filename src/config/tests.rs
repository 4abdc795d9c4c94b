//! Problems as people read them, and what a configuration comes to mean.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::names::IssuerName;
use crate::observe::audit::Destination;
use crate::policy::Detail;
use crate::store::Location;

pub(super) const GENERAL: &str = r#"
public_url = "https://pypi.corp.example"
[listen]
address = "127.0.0.1:8080"
"#;

pub(super) const INDEX: &str = r#"
[[upstream]]
name = "devpi"
kind = "devpi"
url = "http://127.0.0.1:3141"
credential = { username = "indexgate", password_file = "password" }
[[index]]
name = "prod"
upstream = "devpi"
upload_path = "/root/prod"
"#;

pub(super) const ISSUER: &str = r#"
[[issuer]]
name = "github"
preset = "github"
"#;

const PUBLISHER: &str = r#"
[[publisher]]
name = "billing"
issuer = "github"
index = "prod"
projects = ["Billing_Core"]
repository = "acme/billing"
workflow = "release.yml"
"#;

pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "hunter2\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

pub(super) fn load_text(folder: &Path, text: &str) -> Result<Settings, ConfigError> {
    let path = folder.join("indexgate.toml");
    fs::write(&path, text).unwrap();
    load(&path)
}

pub(super) fn loaded(text: &str) -> Settings {
    load_text(folder().path(), text).unwrap_or_else(|error| panic!("{error}"))
}

/// The problems of a configuration, without the folder.
pub(super) fn problems(text: &str) -> String {
    let folder = folder();
    let error = load_text(folder.path(), text).expect_err("it should be refused");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

/// A configuration that is right but for one more or different line.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let problems = problems(text);
    for words in expected {
        assert!(problems.contains(words), "`{words}` is not in:\n{problems}");
    }
    assert!(problems.ends_with("1 problem in the configuration"), "one problem is expected:\n{problems}");
}

pub(super) fn whole() -> String {
    format!("{GENERAL}{INDEX}{ISSUER}{PUBLISHER}")
}

pub(super) fn with_publisher(lines: &str) -> String {
    format!("{}{lines}\n", whole())
}

#[test]
fn a_small_configuration_has_defaults_for_the_rest() {
    let settings = loaded(&whole());
    assert_eq!(settings.public_url, "https://pypi.corp.example");
    assert_eq!(settings.audience, "pypi.corp.example");
    assert_eq!(settings.token_lifetime.as_secs(), 900);
    assert_eq!(settings.mint_per_minute, 120);
    assert_eq!(settings.detail, Detail::Graded);
    assert_eq!(settings.keep_decisions.as_secs(), 30 * 24 * 3600);
    assert_eq!(settings.audit, Destination::Stdout);
    assert!(settings.state_dir.ends_with("state"));
    assert!(matches!(&settings.store, Location::File(path) if path.ends_with("state/indexgate.db")));
    assert!(settings.token_key.ends_with("state/token.key"));
    assert_eq!(settings.indexes[0].upload_path, "/root/prod/");
    assert_eq!(settings.upstreams[0].public_base, "https://pypi.corp.example");
    assert_eq!(settings.publishers.len(), 1);
    assert_eq!(settings.hash.len(), 12);
}

#[test]
fn the_audience_has_the_port_of_the_public_url() {
    let text = whole().replace("https://pypi.corp.example", "https://pypi.corp.example:8443/");
    assert_eq!(loaded(&text).audience, "pypi.corp.example:8443");
}

#[test]
fn every_problem_is_told_at_once_with_its_place_and_a_fix() {
    let text = r#"public_url = "http://pypi.corp.example"
audiense = "x"
[listen]
address = "8080"
[[upstream]]
name = "devpi"
kind = "devpy"
url = "127.0.0.1:3141"
[[index]]
name = "prod"
upstream = "devpi"
upload_path = "root/prod"
"#;
    insta::assert_snapshot!(problems(text), @r#"
    indexgate.toml:1:14: a public address needs https
    1 | public_url = "http://pypi.corp.example"
      | fix: write https://…; TLS may end here ([listen] tls) or in a proxy in front

    indexgate.toml:2:1: the configuration: unknown key `audiense`
    2 | audiense = "x"
      | fix: did you mean `audience`?

    indexgate.toml:4:11: invalid socket address syntax
    4 | address = "8080"
      | fix: write address and port, as in "0.0.0.0:8080"

    indexgate.toml:7:8: `devpy` is not known here
    7 | kind = "devpy"
      | fix: write one of "devpi", "pypiserver", "generic"

    indexgate.toml:8:7: `127.0.0.1:3141` is no http or https URL of a server
    8 | url = "127.0.0.1:3141"
      | fix: write it as http://host:port/path, without user, query or fragment

    indexgate.toml:12:15: `root/prod` is no public path
    12 | upload_path = "root/prod"
       | fix: begin with `/`, use letters, digits, `-`, `_`, `.`, `+`, `~`, and not /_/, which is the gateway's own

    6 problems in the configuration
    "#);
}

#[test]
fn a_key_that_is_not_built_yet_is_refused_and_never_ignored() {
    let not_yet = "is not supported by this version of indexgate";
    check(&whole().replace("[listen]", "[listen]\nadmin = \"127.0.0.1:9100\""), &["`admin`", not_yet]);
    check(&whole().replace("preset = \"github\"", "preset = \"buildkite\""), &["`buildkite`", not_yet]);
    check(&whole().replace("kind = \"devpi\"", "kind = \"nexus\""), &[not_yet]);
    check(&with_publisher("[store]\nurl = \"postgres://db/x\""), &["PostgreSQL", not_yet]);
    check(
        &whole().replace(
            "{ username = \"indexgate\", password_file = \"password\" }",
            "{ devpi_token_file = \"password\" }",
        ),
        &["devpi_token_file", not_yet],
    );
}

#[test]
fn a_plain_text_is_exact_and_a_pattern_is_written_as_one() {
    check(&with_publisher("tag = \"v*\""), &["a plain text is exact", "fix: write { glob = \"v*\" }"]);
    check(&whole().replace("\"release.yml\"", "\"release?.yml\""), &["{ glob = \"release?.yml\" }"]);
    check(&whole().replace("\"Billing_Core\"", "\"billing-*\""), &["{ glob = \"billing-*\" }"]);
    check(&with_publisher("tag = { glob = \"v**\" }"), &["`**` stands for whole segments"]);
    assert!(problems(&with_publisher("tag = { globb = \"v*\" }")).contains("did you mean `glob`?"));
    loaded(&with_publisher("tag = { glob = \"v*\" }"));
    loaded(&with_publisher("tag = \"v{version}\""));
}

#[test]
fn an_owner_is_written_out_and_a_glob_over_repositories_pins_its_id() {
    let repository = |value: &str, more: &str| {
        whole().replace("repository = \"acme/billing\"", &format!("repository = {value}\n{more}"))
    };
    check(&repository("{ glob = \"acme/*\" }", ""), &["needs `repository_owner_id`"]);
    check(
        &repository("{ glob = \"acme*/billing\" }", "repository_owner_id = 4455"),
        &["the owner in `acme*/billing` must be written out"],
    );
    check(&repository("{ glob = \"**\" }", "repository_owner_id = 4455"), &["must be written out"]);
    check(&repository("\"billing\"", ""), &["`billing` is no repository"]);
    check(&repository("\"acme/billing/x\"", ""), &["is no repository"]);
    check(&repository("\"\"", ""), &["this text is empty"]);
    loaded(&repository("{ glob = \"acme/*\" }", "repository_owner_id = 4455"));
    loaded(&repository("[\"acme/a\", \"acme/b\"]", ""));
}

#[test]
fn tag_branch_and_ref_exclude_each_other() {
    check(&with_publisher("tag = \"v1\"\nbranch = \"main\""), &["excludes"]);
    check(&with_publisher("ref = \"refs/heads/main\"\nbranch = \"main\""), &["excludes"]);
}

#[test]
fn ids_are_numbers_or_decimal_texts() {
    for id in ["4455", "\"4455\"", "[4455, \"66\"]"] {
        loaded(&with_publisher(&format!("repository_owner_id = {id}")));
    }
    for id in ["-1", "\"+1\"", "\"01\"", "\" 1\"", "\"acme\"", "1.5", "true"] {
        let text = with_publisher(&format!("repository_owner_id = {id}"));
        assert!(problems(&text).ends_with("1 problem in the configuration"), "{id}");
    }
}

#[test]
fn a_publisher_must_say_whose_workflow_it_trusts() {
    check(&whole().replace("workflow = \"release.yml\"", ""), &["`workflow` is missing"]);
    check(&whole().replace("repository = \"acme/billing\"", ""), &["`repository` is missing"]);
    check(&whole().replace("projects = [\"Billing_Core\"]", ""), &["`projects` is missing"]);
    check(&whole().replace("projects = [\"Billing_Core\"]", "projects = []"), &["this list is empty"]);
    check(&whole().replace("\"Billing_Core\"", "\"billing core\""), &["is not a project name"]);
    check(
        &whole().replace("\"Billing_Core\"", "{ glob = \"*\" }"),
        &["cannot be held against project names"],
    );
    check(&whole().replace("\"Billing_Core\"", "{ glob = \"Billing_*\" }"), &["write normalised names"]);
    check(&with_publisher("project_path = \"a/b\""), &["have no `project_path`", "fix: use repository"]);
    check(
        &with_publisher("enviroment = \"pypi\""),
        &["unknown key `enviroment`", "did you mean `environment`?"],
    );
    check(&with_publisher("expires = \"tomorrow\""), &["this is no date"]);
    check(&with_publisher("claims = { sub = \"x\" }"), &["`sub` is not compared"]);
    check(&with_publisher("claims = { actor = 1.5 }"), &["a claim is compared with"]);
    loaded(&with_publisher(
        "expires = 2027-06-30\nclaims = { actor = [\"maria\", \"kim\"], runner_environment = \"github-hosted\" }",
    ));
}

#[test]
fn names_refer_to_what_is_there() {
    check(&whole().replace("issuer = \"github\"", "issuer = \"gitlab\""), &["there is no issuer `gitlab`"]);
    check(&whole().replace("index = \"prod\"", "index = \"stage\""), &["there is no index `stage`"]);
    check(&format!("{}{PUBLISHER}", whole()), &["the name `billing` is taken"]);
    check(&whole().replace("name = \"billing\"", "name = \"bill ing\""), &["is not a usable name"]);
}

#[test]
fn a_generic_issuer_names_what_tells_its_identities_apart() {
    let generic = |issuer: &str, publisher: &str| {
        format!(
            "{GENERAL}{INDEX}[[issuer]]\nname = \"jenkins\"\npreset = \"generic\"\nurl = \"https://jenkins.corp.example/oidc\"\n{issuer}\n\
             [[publisher]]\nname = \"legacy\"\nissuer = \"jenkins\"\nindex = \"prod\"\nprojects = [\"legacy\"]\n{publisher}\n"
        )
    };
    let identity = "identity_claims = [\"build_job\"]";
    let pinned = "claims = { build_job = \"release/legacy\" }";
    loaded(&generic(identity, pinned));
    check(&generic("", "claims = { sub = \"x\" }"), &["needs `identity_claims`"]);
    check(
        &generic("identity_claims = [\"sub\"]", "claims = { sub = \"x\" }"),
        &["do not tell one job from another"],
    );
    check(&generic(identity, "claims = { branch = \"main\" }"), &["`build_job` is not pinned"]);
    check(&generic(identity, "claims = { build_job = { glob = \"release/*\" } }"), &["compared exactly"]);
    check(&generic(identity, &format!("{pinned}\nworkflow = \"x.yml\"")), &["have no `workflow`"]);
    check(&generic(&format!("{identity}\nalgorithms = [\"HS256\"]"), pinned), &["HS256"]);
    check(&generic(identity, pinned).replace("https://jenkins", "http://jenkins"), &["https"]);
}

#[test]
fn times_and_sizes_have_units_and_bounds() {
    let general = |line: &str| format!("{GENERAL}{line}\n");
    for (line, words) in [
        ("[tokens]\nlifetime = \"5m\"", "write a value from 15m to 6h"),
        ("[tokens]\nlifetime = \"7h\"", "out of range"),
        ("[tokens]\nlifetime = \"soon\"", "is no duration"),
        ("[limits]\nupload_size = \"big\"", "is no size"),
        ("[limits]\nheader_timeout = \"0s\"", "out of range"),
        ("[limits]\nmint_per_minute = 0", "at least 1"),
        ("[limits]\nuploadsize = 1", "did you mean `upload_size`?"),
        ("[errors]\ndetail = \"verbose\"", "\"graded\", \"minimal\", \"full\""),
        ("[store]\nurl = \"redis://x\"", "names no store"),
        ("[store]\nkeep_decisions = \"20y\"", "is no duration"),
        ("[store]\nkeep_decisions = \"9999d\"", "write a value from 0s to 3660d"),
    ] {
        check(&general(line), &[words]);
    }
    let settings = loaded(&general(
        "[tokens]\nlifetime = \"1h\"\n[limits]\nupload_size = \"2GiB\"\nspool_memory = 4096",
    ));
    assert_eq!(settings.token_lifetime.as_secs(), 3600);
    assert_eq!(settings.limits.upload.size, 2 << 30);
    assert_eq!(settings.limits.upload.spool_memory, 4096);
}

#[test]
fn a_secret_file_is_for_its_owner_alone() {
    let folder = folder();
    let password = folder.path().join("password");
    for mode in [0o604, 0o640, 0o660, 0o644] {
        fs::set_permissions(&password, fs::Permissions::from_mode(mode)).unwrap();
        let error = load_text(folder.path(), &whole()).unwrap_err().to_string();
        assert!(error.contains("can be read by others") && error.contains("chmod 600"), "{error}");
        assert!(!error.contains("hunter2"));
    }
    fs::set_permissions(&password, fs::Permissions::from_mode(0o400)).unwrap();
    load_text(folder.path(), &whole()).unwrap();
}

#[test]
fn rule_files_are_included_and_hold_only_rules() {
    let folder = folder();
    let rules = folder.path().join("publishers.d");
    fs::create_dir(&rules).unwrap();
    let main = format!("include = [\"publishers.d/*.toml\"]\n{GENERAL}{INDEX}{ISSUER}");
    fs::write(rules.join("a.toml"), PUBLISHER).unwrap();
    fs::write(rules.join("b.toml"), PUBLISHER.replace("\"billing\"", "\"other\"")).unwrap();
    fs::write(rules.join(".hidden.toml"), "nonsense").unwrap();
    let first = load_text(folder.path(), &main).unwrap();
    assert_eq!(first.publishers.len(), 2);

    fs::write(
        rules.join("b.toml"),
        format!("{}\n[listen]\naddress = \"0.0.0.0:1\"", PUBLISHER.replace("\"billing\"", "\"other\"")),
    )
    .unwrap();
    let error = load_text(folder.path(), &main).unwrap_err().to_string();
    assert!(error.contains("b.toml") && error.contains("unknown key `listen`"), "{error}");

    fs::write(rules.join("b.toml"), PUBLISHER.replace("\"billing\"", "\"third\"")).unwrap();
    assert_ne!(
        load_text(folder.path(), &main).unwrap().hash,
        first.hash,
        "another rule is another configuration"
    );
}

#[test]
fn broken_toml_and_missing_files_say_where() {
    let text = problems("public_url = \n");
    assert!(text.starts_with("indexgate.toml:1:") && text.contains("not valid TOML"), "{text}");
    let error = load(Path::new("/nonexistent/indexgate.toml")).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/indexgate.toml") && error.contains("--config"), "{error}");
}

#[test]
fn what_every_publisher_of_github_implies() {
    let settings = loaded(&whole());
    let keys: Vec<&str> = settings.publishers[0].all_conditions().map(|condition| &*condition.key).collect();
    assert_eq!(keys, ["repository", "workflow", "event", "job_workflow"]);
    let issuer: &IssuerName = &settings.publishers[0].issuer;
    assert_eq!(issuer.as_str(), "github");
}

#[test]
fn a_publisher_can_narrow_events_refs_versions_and_workflows() {
    loaded(&with_publisher(
        "events = [\"schedule\"]\nprotected = true\nversions = \"dev-only\"\nmode = \"observe\"",
    ));
    check(
        &with_publisher("events = [\"pull_request_target\"]"),
        &["strangers can start a run", "dangerous_events = true"],
    );
    loaded(&with_publisher("events = [\"pull_request_target\"]\ndangerous_events = true"));
    check(&with_publisher("dangerous_events = true"), &["no effect without `events`"]);
    check(&with_publisher("protected = \"yes\""), &["true or false is expected"]);
    check(&with_publisher("versions = \"all\""), &["\"dev-only\""]);
    check(&with_publisher("mode = \"audit\""), &["\"enforce\", \"observe\""]);
    check(
        &with_publisher("job_workflow = \"publish.yml\""),
        &["owner/repository/.github/workflows/file.yml"],
    );
    check(
        &with_publisher("job_workflow = { glob = \"*/shared/.github/workflows/publish.yml\" }"),
        &["the owner written out"],
    );
    let settings = loaded(&with_publisher(
        "job_workflow = \"acme/shared/.github/workflows/publish.yml\"\nevents = [\"push\"]",
    ));
    let keys: Vec<&str> = settings.publishers[0].all_conditions().map(|condition| &*condition.key).collect();
    assert_eq!(keys, ["job_workflow", "repository", "workflow", "event"]);
}

#[test]
fn an_issuer_can_require_something_of_every_publisher() {
    let required = |text: &str| {
        whole().replace("preset = \"github\"", &format!("preset = \"github\"\nrequire = {text}"))
    };
    let settings = loaded(&required("{ repository_owner_id = [4455, \"66\"] }"));
    let keys: Vec<&str> = settings.publishers[0].all_conditions().map(|condition| &*condition.key).collect();
    assert_eq!(keys, ["repository", "workflow", "repository_owner_id", "event", "job_workflow"]);
    assert!(
        !settings.publishers[0].implied[0].identifies,
        "what an issuer requires proves nothing about a repository"
    );
    check(&required("{ repository_ownerid = 1 }"), &["did you mean `repository_owner_id`?"]);
    check(&required("{ repository = \"acme/*\" }"), &["a plain text is exact"]);
}

#[test]
fn any_project_needs_the_consent_of_the_index() {
    let any = whole().replace("projects = [\"Billing_Core\"]", "projects = \"any\"");
    check(&any, &["does not allow publishers of any project", "any_project = true"]);
    loaded(&any.replace("upload_path", "any_project = true\nupload_path"));
    check(&whole().replace("\"Billing_Core\"", "\"billing\", \"any\""), &["`any` stands alone"]);
}

#[test]
fn a_project_table_narrows_and_names_what_is_there() {
    let project = |lines: &str| {
        with_publisher(&format!("[[project]]\nindex = \"prod\"\nname = \"Billing.Core\"\n{lines}"))
    };
    let settings =
        loaded(&project("only = [\"billing\"]\npasswords = \"refuse\"\npasswords_from = 2027-01-15"));
    assert_eq!(settings.restrictions.len(), 1);
    check(&project("only = [\"billling\"]"), &["there is no publisher `billling`"]);
    check(&project(""), &["it restricts nothing"]);
    check(&project("only = [\"billing\"]\npasswords_from = 2027-01-15"), &["no effect without `passwords`"]);
    check(&project("passwords = \"never\""), &["\"allow\", \"warn\", \"refuse\""]);
    check(
        &project("passwords = \"warn\"").replace("index = \"prod\"\nname", "index = \"stage\"\nname"),
        &["there is no index `stage`"],
    );
}
