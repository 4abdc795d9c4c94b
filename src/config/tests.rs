//! Problems as people read them, and what a configuration comes to mean.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::gateway::{Live, MintRate};
use crate::names::IssuerName;
use crate::observe::audit::{Audit, Destination};
use crate::policy::Detail;
use crate::store::{Location, Store};

mod rules;

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
    assert_eq!(settings.limits.mint_per_minute, 120);
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
fn every_section_knows_its_keys() {
    for (section, key, meant) in [
        ("tokens", "lifetim = \"1h\"", "lifetime"),
        ("store", "urll = \"memory:\"", "url"),
        ("audit", "fil = \"-\"", "file"),
        ("errors", "details = \"full\"", "detail"),
    ] {
        check(&format!("{GENERAL}[{section}]\n{key}"), &["unknown key", &format!("did you mean `{meant}`?")]);
    }
    check(&format!("{GENERAL}trusted_proxy = []"), &["did you mean `trusted_proxies`?"]);
    assert!(loaded(&format!("{GENERAL}trusted_proxies = []")).listen.trusted_proxies.is_empty());
}

#[test]
fn what_could_never_be_found_is_refused() {
    let again = |table: &str, name: &str| format!("{}{}", whole(), table.replace(name, "name = \"second\""));
    let (upstream, index) = INDEX.split_at(INDEX.find("[[index]]").unwrap());
    check(&again(ISSUER, "name = \"github\""), &["same `url`"]);
    check(&again(upstream, "name = \"devpi\""), &["same `path`"]);
    check(&again(index, "name = \"prod\""), &["same `upload_path`"]);
}

#[test]
fn a_restricted_index_has_one_way_in() {
    let (upstream, index) = INDEX.split_at(INDEX.find("[[index]]").unwrap());
    let other = |url: &str| {
        let other =
            upstream.replace("\"devpi\"\nkind", "\"other\"\nkind").replace("http://127.0.0.1:3141", url);
        format!("{}{other}path = \"/other\"\n", whole())
    };
    let twin = other("http://127.0.0.1:3141");
    assert_eq!(loaded(&twin).upstreams.len(), 2, "nothing is restricted");
    let same = &["`other`: it leads to the same server as upstream `devpi`"];
    let closed = |text: &str| text.replace("\"/root/prod\"", "\"/root/prod\"\npasswords = \"refuse\"");
    check(&closed(&twin), same);
    check(&closed(&other("http://127.0.0.1:3141/root")), same);
    let of_project = "[[project]]\nindex = \"prod\"\nname = \"billing-core\"\npasswords = \"warn\"";
    check(&format!("{twin}{of_project}"), same);
    let second = index.replace("\"prod\"", "\"second\"").replace("\"devpi\"", "\"other\"");
    check(&format!("{twin}{}passwords = \"refuse\"", second.replace("/root", "/other/root")), same);
    for apart in ["http://127.0.0.1:3142", "http://127.0.0.2:3141"] {
        assert_eq!(loaded(&closed(&other(apart))).upstreams.len(), 2);
    }
    check(
        &format!("{twin}{}", index.replace("\"prod\"", "\"second\"").replace("/root", "/other/root")),
        &["`/other/root/prod/` is under the path of upstream `other`"],
    );
}

#[test]
fn an_empty_included_file_is_refused_and_one_with_a_comment_is_not() {
    let folder = folder();
    let text = format!("include = [\"rules/*.toml\"]\n{}", whole());
    fs::create_dir(folder.path().join("rules")).unwrap();
    let rules = folder.path().join("rules/a.toml");
    fs::write(&rules, "# nobody yet\n").unwrap();
    load_text(folder.path(), &text).unwrap();
    for empty in ["", " \n\n"] {
        fs::write(&rules, empty).unwrap();
        let problem = load_text(folder.path(), &text).unwrap_err().to_string();
        assert!(problem.contains("rules/a.toml: the file is empty"), "{problem}");
    }
}

#[test]
fn every_file_is_remembered_also_if_it_is_wrong_or_not_there() {
    for name in ["indexgate.toml", "password", "missing.json", "rules/new.toml"] {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let text = whole().replace("\"github\"\n", "\"github\"\njwks_file = \"missing.json\"\n");
        fs::write(path("indexgate.toml"), format!("include = [\"rules/*.toml\"]\n{text}")).unwrap();
        fs::create_dir(path("rules")).unwrap();
        let Reading { settings, files } = read(&path("indexgate.toml"));
        assert!(settings.is_err());
        assert_eq!(files.look_again(), files);
        fs::write(path(name), "# changed\n").unwrap();
        assert_ne!(files.look_again(), files, "{name}");
    }
}

#[test]
fn an_upstream_is_kept_until_its_settings_or_its_secret_change() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plain = format!("{GENERAL}{INDEX}");
    let credential = "{ username = \"indexgate\", password_file = \"password\" }";
    let login = plain.replace(credential, &format!("{{ devpi_login = {credential} }}"));
    for text in [plain, login] {
        let folder = folder();
        let setup = |running, text: &str| {
            let settings = load_text(folder.path(), text).unwrap();
            settings.start(running, &Clock::system(), runtime.handle()).unwrap()
        };
        let first = setup(None, &text);
        let kept = |text: &str| Arc::ptr_eq(&first.upstreams[0], &setup(Some(&first), text).upstreams[0]);
        assert!(kept(&text));
        assert!(kept(&format!("{text}passwords = \"refuse\"\n")), "a change elsewhere");
        assert!(!kept(&text.replace(":3141", ":3142")));
        fs::write(folder.path().join("password"), "hunter3\n").unwrap();
        assert!(!kept(&text));
    }
}

#[test]
fn a_thread_without_requests_lets_go_of_the_old_configuration() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let setup = || {
        let folder = folder();
        let settings = load_text(folder.path(), &whole()).unwrap();
        Arc::new(settings.start(None, &Clock::system(), runtime.handle()).unwrap())
    };
    let (in_force, setups) = watch::channel(setup());
    let (store, audit) =
        (Store::open(&Location::Memory).unwrap(), Audit::open(&Destination::Stdout).unwrap());
    let live = Live::new(setups, store, audit, MintRate::default(), Clock::system());
    let old = in_force.send_replace(setup());
    assert_eq!(Arc::strong_count(&old), 2, "the thread still has it");
    let a_moment = async { tokio::time::timeout(Duration::from_millis(1), live.follow()).await };
    assert!(runtime.block_on(a_moment).is_err(), "following never ends");
    assert_eq!(Arc::strong_count(&old), 1);
}
