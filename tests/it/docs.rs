//! What is written for people is true: the configurations load, what they quote is what there is, and no refusal, key
//! or limit is missing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::ext::ReasonPhrase;
use indexgate::clock::Timestamp;
use indexgate::config::{ConfigError, Settings, load};
use indexgate::oidc::Preset;
use indexgate::proxy::{ExchangeRefusal, Refusal, UpstreamError, exchange_refused, refused};
use indexgate::store::{Location, Store};
use indexgate::token::{BadCredential, BadToken};
use indexgate::upload::{FileName, UploadError, UploadLimits};
use regex::Regex;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::support::gateway;
use crate::support::process::scratch_directory;
use crate::support::tls::Authority;

// ── The configurations ──────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_configuration_files_load() {
    for name in ["minimal.toml", "full.toml"] {
        let settings = loads(&read(&format!("config/{name}"))).unwrap_or_else(|error| panic!("{error}"));
        assert!(!settings.publishers.is_empty() && !settings.indexes.is_empty(), "{name}");
        settings.run_tests(Timestamp(1_767_225_000)).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_readme_quotes_the_minimal_configuration() {
    let quoted = blocks(&read("README.md"), "toml").into_iter().next().expect("there is one");
    assert_eq!(quoted, read("config/minimal.toml"));
}

/// A block may be a part of a configuration; then it stands in, by name, for that part of the full one.
#[test]
fn every_configuration_in_the_documentation_loads() {
    let full: Table = read("config/full.toml").parse().unwrap();
    let mut known = keys_in_source();
    known.extend(Preset::publisher_keys().iter().map(|key| (*key).to_owned()));
    let mut seen = 0;
    for page in pages() {
        for block in blocks(&read(&page), "toml") {
            let part: Table = block.parse().unwrap_or_else(|error| panic!("{page}: {error}\n{block}"));
            let mut shown = BTreeSet::new();
            keys_of(&Value::Table(part.clone()), &mut shown);
            assert!(shown.is_subset(&known), "{page}: nothing reads one of these keys\n{block}");
            let text = toml::to_string(&replaced(full.clone(), part)).unwrap();
            if let Err(error) = loads(&text) {
                panic!("{page}: {error}\n{block}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} blocks were found");
}

#[test]
fn a_wrong_configuration_in_the_documentation_would_be_noticed() {
    let full: Table = read("config/full.toml").parse().unwrap();
    for wrong in [
        "[[publisher]]\nname = \"billing-release\"\nissuer = \"nobody\"\n",
        "[[issuer]]\nname = \"github\"\npreset = \"github\"\ncolour = \"red\"\n",
        "[tokens]\nlifetime = \"1m\"\n",
    ] {
        let text = toml::to_string(&replaced(full.clone(), wrong.parse().unwrap())).unwrap();
        assert!(loads(&text).is_err(), "{wrong}");
    }
}

#[test]
fn the_full_configuration_has_every_key_and_no_other() {
    let mut shown = BTreeSet::new();
    for file in ["config/full.toml", "config/publishers.d/ml.toml"] {
        keys_of(&Value::Table(read(file).parse().unwrap()), &mut shown);
    }
    let read_by_code = keys_in_source();
    for known in
        ["public_url", "upload_size", "devpi_login", "value_file", "jwks_host", "glob", "namespace_path"]
    {
        assert!(read_by_code.contains(known), "this test no longer finds `{known}` in the source");
    }
    let missing: Vec<_> = read_by_code.difference(&shown).collect();
    assert!(missing.is_empty(), "config/full.toml does not show {missing:?}");
    // The claims of the example are the administrator's own names.
    let own_names = ["build_job", "production"];
    let unread: Vec<_> =
        shown.difference(&read_by_code).filter(|key| !own_names.contains(&key.as_str())).collect();
    assert!(unread.is_empty(), "nothing reads {unread:?}");
}

#[test]
fn the_defaults_in_the_full_configuration_are_the_defaults() {
    let full = loads(&read("config/full.toml")).unwrap_or_else(|error| panic!("{error}"));
    let bare =
        loads("public_url = \"https://pypi.corp.example\"\n[listen]\naddress = \"0.0.0.0:8443\"\n").unwrap();
    assert_eq!(full.audience, bare.audience);
    assert_eq!(full.state_dir.file_name(), bare.state_dir.file_name());
    assert_eq!(full.limits.upload, bare.limits.upload);
    assert_eq!(full.limits.body_pause, bare.limits.body_pause);
    assert_eq!(full.listen.header_timeout, bare.listen.header_timeout);
    assert_eq!(full.upstream_timeout, bare.upstream_timeout);
    assert_eq!(full.limits.mint_per_minute, bare.limits.mint_per_minute);
    assert_eq!(full.token_lifetime, bare.token_lifetime);
    assert_eq!(full.token_key.file_name(), bare.token_key.file_name());
    assert_eq!(full.previous_token_keys, bare.previous_token_keys);
    assert_eq!(file_name_of(&full.store), file_name_of(&bare.store));
    assert_eq!(full.audit, bare.audit);
    assert_eq!(full.detail, bare.detail);
}

fn file_name_of(location: &Location) -> Option<&std::ffi::OsStr> {
    match location {
        Location::File(path) => path.file_name(),
        Location::Memory => None,
    }
}

/// Loads a text as `indexgate.toml`, with every file that it names.
fn loads(text: &str) -> Result<Settings, ConfigError> {
    let folder = scratch_directory();
    let rules = folder.path().join("publishers.d");
    fs::create_dir(&rules).unwrap();
    fs::copy(root().join("config/publishers.d/ml.toml"), rules.join("ml.toml")).unwrap();
    let text = text.replace("$CREDENTIALS_DIRECTORY/", "credentials/");
    // Minimal configurations know no GitLab.
    let text = if text.contains("\"gitlab\"") { text } else { text.replace("publishers.d/*", "none.d/*") };
    write_named_files(&folder, &text);
    let path = folder.path().join("indexgate.toml");
    fs::write(&path, text).unwrap();
    load(&path)
}

/// Makes the files that a configuration names, each with what belongs there.
fn write_named_files(folder: &TempDir, text: &str) {
    let authority = Authority::new();
    let named = Regex::new(r#"\b([a-z]+_file) *= *"([^"/$][^"]*)""#).unwrap();
    for found in named.captures_iter(text) {
        let (_, [key, name]) = found.extract();
        let content = match key {
            "ca_file" => fs::read(authority.ca_file()).unwrap(),
            "certificate_file" => fs::read(authority.certificate_file()).unwrap(),
            "key_file" if text.contains("certificate_file") => fs::read(authority.key_file()).unwrap(),
            "jwks_file" => fs::read(root().join("config/jenkins.jwks.json")).unwrap(),
            "claims_file" => fs::read(root().join("config/billing-v1.2.0.json")).unwrap(),
            _ => b"correct horse battery staple\n".to_vec(),
        };
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Puts the parts of one configuration in place of those of another: tables of a list by their name.
fn replaced(mut whole: Table, part: Table) -> Table {
    for (key, value) in part {
        match (whole.get_mut(&key), value) {
            (Some(Value::Array(old)), Value::Array(new)) if new.iter().all(Value::is_table) => {
                old.retain(|table| new.iter().all(|other| other.get("name") != table.get("name")));
                old.extend(new);
            }
            (_, value) => _ = whole.insert(key, value),
        }
    }
    whole
}

fn keys_of(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| {
            keys.insert(key.clone());
            keys_of(value, keys);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, keys)),
        _ => {}
    }
}

/// The keys that `src/config` asks for. Those that it refuses as not built yet are asked for in another way.
fn keys_in_source() -> BTreeSet<String> {
    let asked =
        Regex::new(r#"(?:\.(?:get|require|tables)|\bduration|\bsection)\(\s*(?:table,\s*)?"([a-z_]+)""#)
            .unwrap();
    let mut keys = BTreeSet::new();
    for entry in fs::read_dir(root().join("src/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() || path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        keys.extend(asked.captures_iter(&text).map(|found| found[1].to_owned()));
    }
    // The pages of the other providers show theirs.
    let shown = ["github", "gitlab"].map(|name| Preset::by_name(name).unwrap());
    let of_presets = shown.iter().flat_map(|preset| preset.rule_keys).map(|rule_key| rule_key.key);
    keys.extend(of_presets.filter(|key| Preset::publisher_keys().contains(key)).map(str::to_owned));
    keys
}

// ── The refusals ────────────────────────────────────────────────────────────────────────────────────────────────────

/// Every refusal, as a caller sees it: the name in the documentation, the value.
fn refusals() -> Vec<(&'static str, Refusal)> {
    let upstream = |error| Refusal::Upstream { upstream: "devpi".parse().unwrap(), error };
    let prod = || "prod".parse().unwrap();
    let text = str::to_owned;
    let disagreement = "payroll-1.2.0.tar.gz".parse::<FileName>().unwrap().release().clone();
    let form = "billing_core-1.2.0.tar.gz".parse::<FileName>().unwrap().release().clone();
    let no_store = Store::open(&Location::File("/nonexistent/store.db".into())).unwrap_err();
    vec![
        ("NotPermitted", Refusal::NotPermitted(text(NOT_PERMITTED))),
        ("Token(Invalid)", BadToken::Invalid.into()),
        ("Token(Expired)", BadToken::Expired.into()),
        ("Token(Revoked)", BadToken::Revoked.into()),
        ("Token(Used)", BadToken::Used.into()),
        ("NotAnUpload", Refusal::NotAnUpload { upload_paths: text("/root/prod/") }),
        ("UploadPath", Refusal::UploadPath { upload_path: text("/root/prod/") }),
        ("Upload", UploadError::Disagreement { form, place: "the file name", other: disagreement }.into()),
        ("ContentEncoding", Refusal::ContentEncoding),
        ("TooLarge", Refusal::TooLarge { limit: UploadLimits::default().size }),
        ("Stalled", Refusal::Stalled),
        ("Aborted", Refusal::Aborted),
        ("Store", no_store.into()),
        ("Internal", Refusal::Internal),
        ("NoPasswords", Refusal::NoPasswords { index: prod(), project: Some(text("billing-core")) }),
        ("ClosedIndex", Refusal::ClosedIndex { index: prod() }),
        ("Upstream(Connect)", upstream(UpstreamError::Connect(text("10.0.0.7 refused")))),
        ("Upstream(Broken)", upstream(UpstreamError::Broken(text("10.0.0.7 reset")))),
        ("Upstream(Slow)", upstream(UpstreamError::Slow(Duration::from_secs(120)))),
        ("Upstream(Switch)", upstream(UpstreamError::Switch)),
        ("Audit", Refusal::Audit),
        ("Upstream(NotPermitted)", upstream(UpstreamError::NotPermitted)),
        ("Upstream(CredentialRefused)", upstream(UpstreamError::CredentialRefused(401))),
        ("Upstream(Login)", upstream(UpstreamError::Login(text("HTTP 500")))),
        ("Upstream(Redirect)", upstream(UpstreamError::Redirect(302))),
        ("Upstream(Failed)", upstream(UpstreamError::Failed(500))),
        ("Credential(Misplaced)", BadCredential::Misplaced.into()),
        ("Credential(IdentityToken)", BadCredential::IdentityToken.into()),
        ("Credential(Mixed)", BadCredential::Mixed.into()),
        ("Credential(Repeated)", BadCredential::Repeated.into()),
        ("NoUpstream", Refusal::NoUpstream),
        ("BadTarget", Refusal::BadTarget("it leads out of the part of the index that is served here")),
        ("TargetTooLong", Refusal::TargetTooLong),
        ("BadHead", Refusal::BadHead("a header that may stand once is repeated")),
        ("HeadTooLarge", Refusal::HeadTooLarge),
        ("Expectation", Refusal::Expectation),
        ("Method", Refusal::Method),
    ]
}

const NOT_PERMITTED: &str = "this token may upload `billing-core` to index `prod`, not `payroll`; add `payroll` to the projects of publisher `billing-release`, or rename the project";
const NO_PUBLISHER: &str =
    "publisher `billing-release`: workflow is `nightly.yml` (claim workflow_ref), expected `release.yml`";

fn exchange_refusals() -> Vec<(&'static str, ExchangeRefusal)> {
    let text = str::to_owned;
    let no_keys = "the keys of the token's issuer cannot be fetched; try again in a moment";
    vec![
        ("InvalidPayload", ExchangeRefusal::InvalidPayload(text("unknown trusted publishing issuer"))),
        ("MalformedToken", ExchangeRefusal::MalformedToken(text("malformed JWT: not three segments"))),
        ("InvalidToken", ExchangeRefusal::InvalidToken(text("invalid token: expired 60 s ago"))),
        ("InvalidPublisher", ExchangeRefusal::InvalidPublisher(text(NO_PUBLISHER))),
        ("UploadNotCovered", ExchangeRefusal::UploadNotCovered(text(NOT_PERMITTED))),
        ("Reused", ExchangeRefusal::Reused),
        ("RateLimited", ExchangeRefusal::RateLimited(60)),
        ("Unavailable", ExchangeRefusal::Unavailable(text(no_keys))),
        ("NotFound", ExchangeRefusal::NotFound),
        ("NotSetUp", ExchangeRefusal::NotSetUp),
        ("NoIndex", ExchangeRefusal::NoIndex),
        ("NotAcceptable", ExchangeRefusal::NotAcceptable("application/vnd.pypi.pytp.v1+json")),
        ("Method", ExchangeRefusal::Method("POST")),
        ("TooLarge", ExchangeRefusal::TooLarge(64 * 1024)),
    ]
}

#[test]
fn every_refusal_is_explained_with_its_status_and_its_text() {
    let rows = rows_of("## Other refusals");
    for (name, refusal) in refusals() {
        let answer = refused(&refusal, "r3f", &HeaderMap::new());
        let reason = answer.extensions().get::<ReasonPhrase>().unwrap().as_bytes();
        let text = str::from_utf8(reason).unwrap().trim_end_matches(" (reference r3f)");
        let row = row_named(&rows, name);
        assert_eq!(row[1], answer.status().as_str(), "{name}");
        assert_eq!(row[2], text, "{name}");
        assert!(!row[3].is_empty(), "{name}: what to do?");
    }
    check_complete("Refusal", refusals().iter().map(|(name, _)| *name));
    check_complete("UpstreamError", inside("Upstream", refusals().iter().map(|(name, _)| *name)));
}

#[test]
fn every_refused_exchange_is_explained_with_its_status_and_its_text() {
    let rows = rows_of("## Refused exchanges");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (name, refusal) in exchange_refusals() {
        let answer = exchange_refused(&refusal, "r3f");
        let status = answer.status();
        let body = runtime.block_on(answer.into_body().collect()).ok().unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let error = &body["errors"][0];
        let text = error["description"].as_str().unwrap().trim_end_matches(" (reference r3f)");
        let row = row_named(&rows, name);
        assert_eq!(row[1], status.as_str(), "{name}");
        assert_eq!(row[2], format!("`{}`", error["code"].as_str().unwrap()), "{name}");
        assert_eq!(row[3], text, "{name}");
        assert!(!row[4].is_empty(), "{name}: what to do?");
    }
    check_complete("ExchangeRefusal", exchange_refusals().iter().map(|(name, _)| *name));
}

#[test]
fn every_flaw_of_an_upload_is_explained() {
    let rows = rows_of("## Other refusals");
    let explained: String = rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>().join(" ");
    for variant in variants(&read("src/upload/error.rs"), "UploadError") {
        assert!(explained.contains(&format!("`{variant}`")), "docs/errors.md does not explain {variant}");
    }
}

/// The variants that stand in the source are those that were looked at, no more and no less.
#[track_caller]
fn check_complete<'a>(of: &str, names: impl Iterator<Item = &'a str>) {
    let looked_at: BTreeSet<String> =
        names.map(|name| name.split('(').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(variants(&read("src/proxy/refusal.rs"), of), looked_at);
}

/// `Connect` of `Upstream(Connect)`.
fn inside<'a>(outer: &'a str, names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    names.filter_map(move |name| name.strip_prefix(outer)?.strip_prefix('(')?.strip_suffix(')'))
}

/// The names of the variants of an enum, by its source.
fn variants(source: &str, of: &str) -> BTreeSet<String> {
    let body = source.split_once(&format!("pub enum {of} {{\n")).expect("the enum is there").1;
    let body = body.split_once("\n}").expect("it ends").0;
    let variant = Regex::new(r"(?m)^    ([A-Z][A-Za-z]*)\b").unwrap();
    let found: BTreeSet<String> = variant.captures_iter(body).map(|found| found[1].to_owned()).collect();
    assert!(found.len() > 5, "this test no longer understands the source: {found:?}");
    found
}

/// The rows of all tables of a chapter of docs/errors.md, as cells.
fn rows_of(chapter: &str) -> Vec<Vec<String>> {
    let page = read("docs/errors.md");
    let text = page.split_once(chapter).expect("the chapter is there").1;
    let text = text.split("\n## ").next().unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[track_caller]
fn row_named<'a>(rows: &'a [Vec<String>], name: &str) -> &'a [String] {
    let row = rows.iter().find(|row| row[0] == format!("`{name}`"));
    row.unwrap_or_else(|| panic!("docs/errors.md does not explain {name}"))
}

// ── The limits ──────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_table_of_limits_has_the_defaults() {
    let page = read("ARCHITECTURE.md");
    let table = page.split_once("\n## Limits").expect("the chapter is there").1;
    let limits = UploadLimits::default();
    let settings = loads(&read("config/minimal.toml")).unwrap();
    let seconds = |duration: Duration| format!("{} s", duration.as_secs());
    for (what, value) in [
        ("`upload_size`", size(limits.size)),
        ("`spool_memory`", size(limits.spool_memory as u64)),
        ("`header_timeout`", seconds(settings.listen.header_timeout)),
        ("`body_timeout`", seconds(settings.limits.body_pause)),
        ("`upstream_timeout`", seconds(settings.upstream_timeout)),
        ("`mint_per_minute`", settings.limits.mint_per_minute.to_string()),
        ("`lifetime`", format!("{} min", settings.token_lifetime.as_secs() / 60)),
        ("form fields together", size(limits.field_bytes as u64)),
        ("parts of a form", format!("{}; {}", limits.parts, size(limits.part_head as u64))),
        ("files in an archive", limits.archive_entries.to_string()),
        (
            "directory of a wheel",
            format!("{}; {}", size(limits.archive_directory as u64), size(limits.metadata as u64)),
        ),
        ("inflated sdist", size(limits.inflated)),
    ] {
        let row = table.lines().find(|row| row.starts_with('|') && row.contains(what));
        let row = row.unwrap_or_else(|| panic!("no limit {what} in ARCHITECTURE.md"));
        assert!(row.contains(&format!("| {value}")), "{what} is {value}, but ARCHITECTURE.md says {row}");
    }
}

fn size(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        30.. => format!("{} GiB", bytes >> 30),
        20.. => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    }
}

// ── The workflows ───────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_workflows_publish_where_the_minimal_configuration_listens() {
    let settings = loads(&read("config/minimal.toml")).unwrap();
    let upload_url = format!("{}{}", settings.public_url, settings.indexes[0].upload_path);
    for workflow in workflows() {
        assert!(read(&workflow).contains(&upload_url), "{workflow} does not upload to {upload_url}");
    }
    let uv = format!("uv publish --trusted-publishing always --publish-url {upload_url} ");
    for page in ["examples/github-actions.yml", "examples/gitlab-ci.yml", "README.md"] {
        assert!(read(page).contains(&uv), "{page} has no `{uv}`");
    }
}

#[test]
fn the_workflows_ask_for_the_identity_in_the_publishing_job_alone() {
    for workflow in workflows() {
        let text = read(&workflow);
        let (build, publish) =
            text.split_once("\npublish:").or_else(|| text.split_once("\n  publish:")).unwrap();
        let asks = if workflow.contains("github") { "id-token: write" } else { "id_tokens:" };
        assert!(publish.contains(asks) && !build.contains(asks), "{workflow}");
        assert!(publish.contains("environment: pypi"), "{workflow} does not name the environment");
        assert!(!text.to_lowercase().contains("secrets."), "{workflow} needs a stored secret");
        let by_tag = if workflow.contains("github") { "tags: [\"v*\"]" } else { "$CI_COMMIT_TAG" };
        assert!(text.contains(by_tag), "{workflow} does not start from a tag");
        if !text.contains("uv publish") {
            assert!(text.contains("/_/oidc/mint-token"), "{workflow} does not exchange");
        }
    }
}

/// The name under which uv and the Python clients look for GitLab's token.
#[test]
fn gitlabs_variable_is_named_after_the_audience() {
    let audience = loads(&read("config/minimal.toml")).unwrap().audience;
    let name = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let variable: String = audience.chars().map(name).chain("_ID_TOKEN".chars()).collect();
    for page in ["examples/gitlab-ci.yml", "examples/gitlab-ci-twine.yml", "README.md"] {
        let text = read(page);
        assert!(text.contains(&format!("{variable}:\n      aud: {audience}\n")), "{page} has no {variable}");
    }
}

/// The README shows the part that matters, as it stands in the whole.
#[test]
fn the_readme_quotes_the_workflows() {
    let text = read("README.md");
    let shown = blocks(&text, "yaml");
    assert_eq!(shown.len(), 2);
    for (block, file) in shown.iter().zip(["examples/github-actions.yml", "examples/gitlab-ci.yml"]) {
        let without_comments = |text: &str| {
            text.lines().map(|line| line.split(" #").next().unwrap().trim_end().to_owned()).collect()
        };
        let whole: Vec<String> = without_comments(&read(file));
        let part: Vec<String> = without_comments(block);
        let mut lines = whole.iter().filter(|line| !line.trim().is_empty());
        for line in part.iter().filter(|line| !line.trim().is_empty()) {
            assert!(lines.any(|other| other == line), "`{line}` is not in {file}, or not in this order");
        }
    }
}

fn workflows() -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(root().join("examples"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".yml"))
        .map(|name| format!("examples/{name}"))
        .collect();
    found.sort();
    assert!(found.len() >= 4, "{found:?}");
    found
}

// ── The rest ────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_commands_in_the_documentation_exist() {
    let used =
        Regex::new(r"\bindexgate (serve|check|explain|token|schema|audit)\b((?: --[a-z-]+)*)").unwrap();
    let mut seen = 0;
    for page in pages() {
        let text = read(&page);
        // What is not there yet stands in a chapter that says so.
        let text = text.split("\n## What it does not do yet").next().unwrap();
        for found in used.captures_iter(text) {
            let help = help(&[&found[1]]);
            for option in found[2].split_whitespace() {
                assert!(help.contains(option), "{page}: `indexgate {}` has no {option}", &found[1]);
            }
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} commands were found");
    assert!(help(&["serve"]).contains("up to 30 s") && read("ARCHITECTURE.md").contains("up to 30 s"));
    assert!(help(&["check"]).contains("needs no network") && read("README.md").contains("needs no network"));
    let example =
        "uv publish --trusted-publishing always --publish-url https://pypi.corp.example/root/prod/ dist/*";
    assert!(help(&[]).contains(example));
}

fn help(command: &[&str]) -> String {
    let output = Command::new(gateway::binary()).args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "indexgate {command:?} --help failed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#:]+)(#[^)]*)?\)").unwrap();
    for page in pages() {
        let folder = root().join(&page).parent().unwrap().to_owned();
        for found in link.captures_iter(&read(&page)) {
            let target = folder.join(&found[1]);
            assert!(target.exists(), "{page}: {} is not there", &found[1]);
            let Some(anchor) = found.get(2) else { continue };
            let text = fs::read_to_string(&target).unwrap();
            let mut headings = text.lines().filter(|line| line.starts_with('#')).map(anchor_of);
            assert!(headings.any(|other| other == anchor.as_str()), "{page}: no {}", anchor.as_str());
        }
    }
}

fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    format!("#{}", kept.collect::<String>().replace(' ', "-"))
}

/// Paths such as `proxy/respond.rs` in ARCHITECTURE.md are files.
#[test]
fn the_architecture_names_files_that_are_there() {
    let named = Regex::new(r"`((?:src/|tests/)?[a-z_/]+\.rs)`").unwrap();
    let text = read("ARCHITECTURE.md");
    let files: Vec<&str> = named.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let there = ["", "src"].iter().any(|folder| root().join(folder).join(file).exists());
        assert!(there, "ARCHITECTURE.md names {file}");
    }
}

#[test]
fn the_changelog_has_this_version() {
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(read("CHANGELOG.md").contains(&heading), "CHANGELOG.md has no {heading}");
}

#[test]
fn the_readme_names_the_oldest_rust_that_will_do() {
    let wanted = format!("Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"));
    for page in ["README.md", "CONTRIBUTING.md"] {
        assert!(read(page).contains(&wanted), "{page} does not ask for {wanted}");
    }
}

/// Every Markdown page, relative to the root.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/decisions"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                pages.push(Path::new(folder).join(name).display().to_string());
            }
        }
    }
    pages.sort();
    assert!(pages.len() >= 10, "{pages:?}");
    pages
}

/// The code blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

#[track_caller]
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
