//! The schema and the reader agree: on every key, on every word, and on files that are right and wrong.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use regex::Regex;
use tempfile::TempDir;

use super::*;
use crate::config::load;

/// Every key of the schema stands in here, and all of it loads.
const FULL: &str = r#"
public_url = "https://pypi.corp.example"
audience = "pypi.corp.example"
include = ["publishers.d/*.toml"]
state_dir = "state"
[listen]
address = "127.0.0.1:8080"
tls = { certificate_file = "cert.pem", key_file = "key.pem" }
trusted_proxies = ["127.0.0.1/32", "::1"]
[limits]
upload_size = "1GiB"
spool_memory = 4096
header_timeout = "10s"
body_timeout = "1m 30s"
upstream_timeout = "1h"
mint_per_minute = 5
[tokens]
lifetime = "15m"
key_file = "token.key"
previous_key_files = []
[store]
url = "sqlite:indexgate.db"
keep_decisions = "7d"
[audit]
file = "-"
[errors]
detail = "graded"

[[upstream]]
name = "devpi"
kind = "devpi"
url = "http://127.0.0.1:3141"
path = "/"
host = "preserve"
credential = { devpi_login = { username = "indexgate", password_file = "secret" } }
[[upstream]]
name = "basic"
kind = "pypiserver"
url = "https://pypi.internal/x"
path = "/basic/"
host = "upstream"
ca_file = "cert.pem"
credential = { username = "indexgate", password_file = "secret" }
[[upstream]]
name = "bearer"
kind = "generic"
url = "http://localhost"
path = "/bearer/"
credential = { bearer_file = "secret" }
[[upstream]]
name = "header"
kind = "generic"
url = "http://[::1]:80"
path = "/header"
credential = { header = "X-SSO-USER", value_file = "secret" }

[[index]]
name = "prod"
upstream = "devpi"
upload_path = "/root/prod"
passwords = "warn"
any_project = true

[[issuer]]
name = "github"
preset = "github"
algorithms = "RS256"
max_lifetime = "1h"
require = { repository_owner_id = [4455], events = "push", claims = { runner_environment = "self-hosted" } }
[[issuer]]
name = "gitlab"
preset = "gitlab"
url = "https://gitlab.corp.example"
ca_file = "cert.pem"
jwks_host = "keys.corp.example"
[[issuer]]
name = "jenkins"
preset = "generic"
url = "https://jenkins.corp.example/oidc"
algorithms = ["RS256", "ES256"]
identity_claims = ["build_job"]
jwks_file = "jwks.json"
[[issuer]]
name = "azure"
preset = "azure-devops"
url = "https://vstoken.dev.azure.com/5c1f8e0a-3b7d-4a2e-9c41-6f0d2b8a7e13"
fixed_audience = true
audience = "api://AzureADTokenExchange"

[[publisher]]
name = "billing-release"
issuer = "github"
index = "prod"
projects = ["billing-core", { glob = "billing-*" }]
repository = "acme/billing"
repository_id = 812345678
repository_owner_id = [4455, "66"]
workflow = { glob = "release*.yml" }
job_workflow = "acme/shared/.github/workflows/publish.yml"
environment = ["pypi", "testpypi"]
tag = "v{version}"
events = ["push", "workflow_run"]
dangerous_events = true
protected = true
versions = "dev-only"
expires = 2027-06-30
mode = "observe"
[[publisher]]
name = "ml"
issuer = "gitlab"
index = "prod"
projects = "any"
project_path = { glob = "ml/**/*" }
project_id = 3
namespace_id = [31, 32]
namespace_path = "ml"
workflow = ".gitlab-ci.yml"
branch = "main"
[[publisher]]
name = "ml-ref"
issuer = "gitlab"
index = "prod"
projects = { glob = "ml-*" }
project_path = "ml/x"
workflow = ".gitlab-ci.yml"
ref = "refs/heads/main"
[[publisher]]
name = "legacy"
issuer = "jenkins"
index = "prod"
projects = ["legacy"]
claims = { build_job = "release/legacy", number = [1, 2], flag = true, node = [{ glob = "n*" }, "m"] }

[[project]]
index = "prod"
name = "billing-core"
only = ["billing-release"]
passwords = "refuse"
passwords_from = 2027-01-15T00:00:00Z

[[test]]
name = "a look-alike is refused"
issuer = "jenkins"
claims_file = "claims.json"
with = { build_job = "release/other" }
without = ["flag"]
upload = { index = "prod", project = "legacy", version = "1.0" }
expect = "refuse"
because = "build_job"
[[test]]
name = "the job may publish"
issuer = "jenkins"
claims_file = "claims.json"
expect = "allow"
publisher = "legacy"
"#;

/// RFC 7517, appendix A.1.
const JWKS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": "1", "alg": "ES256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

const RULES: &str = r#"
[[publisher]]
name = "other"
issuer = "github"
index = "prod"
projects = ["other"]
repository = "acme/other"
workflow = "release.yml"
"#;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let certified = rcgen::generate_simple_self_signed(["pypi.corp.example".to_owned()]).unwrap();
    write("cert.pem", &certified.cert.pem());
    write("key.pem", &certified.signing_key.serialize_pem());
    write("secret", "hunter2\n");
    write("jwks.json", JWKS);
    write("claims.json", r#"{"build_job": "release/legacy", "number": 1, "flag": true, "node": "m"}"#);
    fs::create_dir(folder.path().join("publishers.d")).unwrap();
    write("publishers.d/other.toml", RULES);
    folder
}

/// What the reader says of a main file; empty if it loads.
fn problems(text: &str) -> String {
    let folder = folder();
    let path = folder.path().join("indexgate.toml");
    fs::write(&path, text).unwrap();
    load(&path).err().map(|error| error.to_string()).unwrap_or_default()
}

/// TOML as editors hand it to a schema: dates are texts.
fn instance(text: &str) -> Value {
    fn json_of(value: &toml::Value) -> Value {
        match value {
            toml::Value::String(text) => json!(text),
            toml::Value::Integer(number) => json!(number),
            toml::Value::Float(number) => json!(number),
            toml::Value::Boolean(boolean) => json!(boolean),
            toml::Value::Datetime(date) => json!(date.to_string()),
            toml::Value::Array(items) => items.iter().map(json_of).collect(),
            toml::Value::Table(table) => {
                table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect::<Map<_, _>>().into()
            }
        }
    }
    json_of(&toml::Value::Table(text.parse().unwrap()))
}

fn validator(of: SchemaOf) -> Validator {
    let schema = schema(of);
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::draft202012::new(&schema).unwrap()
}

#[track_caller]
fn check_valid(of: SchemaOf, text: &str) {
    let errors: Vec<String> =
        validator(of).iter_errors(&instance(text)).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{}\n{text}", errors.join("\n"));
}

#[test]
fn a_file_with_every_key_is_right_to_the_reader_and_to_the_schema() {
    assert_eq!(problems(FULL), "");
    check_valid(SchemaOf::Main, FULL);
    check_valid(SchemaOf::Rules, RULES);
    let rules = FULL.split_once("[[publisher]]").map(|(_, rules)| format!("[[publisher]]{rules}")).unwrap();
    check_valid(SchemaOf::Rules, &rules);
    assert!(!validator(SchemaOf::Rules).is_valid(&instance(FULL)), "a rule file holds rules only");
}

#[test]
fn every_key_of_the_schema_is_one_that_loads() {
    let schema = schema(SchemaOf::Main);
    let mut used = BTreeSet::new();
    use_keys(&schema, &schema, &instance(FULL), &mut used);
    let mut unused = Vec::new();
    for (key, property) in properties(&schema) {
        // The presets answer for their keys themselves; no file has an issuer of each.
        if !used.contains(&std::ptr::from_ref(property)) && !rule_keys().contains_key(key) {
            unused.push(key);
        }
    }
    assert!(unused.is_empty(), "in the schema, but not in the full file: {unused:?}");
}

/// Follows an instance through the schema and notes the properties that it uses.
fn use_keys(root: &Value, node: &Value, instance: &Value, used: &mut BTreeSet<*const Value>) {
    if let Some(reference) = node["$ref"].as_str() {
        use_keys(root, root.pointer(&reference[1..]).unwrap(), instance, used);
    }
    for choice in ["anyOf", "oneOf"].iter().filter_map(|key| node[key].as_array()).flatten() {
        use_keys(root, choice, instance, used);
    }
    for item in instance.as_array().into_iter().flatten() {
        use_keys(root, &node["items"], item, used);
    }
    for (key, value) in instance.as_object().into_iter().flatten() {
        if let Some(property) = node["properties"].get(key) {
            used.insert(std::ptr::from_ref(property));
            use_keys(root, property, value, used);
        }
    }
}

/// Every property that the schema describes, wherever it stands. Conditions describe none.
fn properties(node: &Value) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    for (key, value) in node.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("if" | "then" | "else" | "not", _) => {}
            ("properties", Value::Object(described)) => {
                found.extend(described.iter().map(|(key, value)| (key.as_str(), value)));
                found.extend(described.values().flat_map(properties));
            }
            (_, value) => found.extend(properties(value)),
        }
    }
    found.extend(node.as_array().into_iter().flatten().flat_map(properties));
    found
}

#[test]
fn the_schema_has_the_keys_that_the_reader_asks_for() {
    // `not_yet` keys are no keys: the reader refuses them.
    let asks =
        Regex::new(r#"(?:\b(?:get|require|tables|duration)\(|\bsection\(table,)\s*"([a-z_]+)""#).unwrap();
    let mut read: BTreeSet<String> = rule_keys().keys().cloned().collect();
    read.extend(found_in_source(&asks));
    let schema = schema(SchemaOf::Main);
    let described: BTreeSet<String> = properties(&schema).iter().map(|(key, _)| (*key).to_owned()).collect();
    assert!(read.len() > 60, "the reader is not read any more: {read:?}");
    let (missing, made_up): (Vec<_>, Vec<_>) =
        (read.difference(&described).collect(), described.difference(&read).collect());
    assert!(missing.is_empty() && made_up.is_empty(), "missing: {missing:?}; made up: {made_up:?}");
}

#[test]
fn the_schema_has_the_words_that_the_reader_takes() {
    // `("warn", Passwords::Warn)`: a word of a choice.
    let choice = Regex::new(r#"\("([a-z-]+)",\s*[A-Z][A-Za-z]+::[A-Z][A-Za-z]+\)"#).unwrap();
    let mut read = found_in_source(&choice);
    read.extend(Preset::ALL.iter().map(|preset| preset.name.to_owned()));
    read.extend(Algorithm::ALL.iter().map(|algorithm| algorithm.name().to_owned()));
    let schema = schema(SchemaOf::Main);
    assert_eq!(words(&schema), read);
}

/// The words of every `enum`. Conditions have none of their own.
fn words(node: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in node.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("enum", Value::Array(words)) => {
                found.extend(words.iter().map(|word| word.as_str().unwrap().to_owned()));
            }
            (_, value) => found.extend(words(value)),
        }
    }
    found.extend(node.as_array().into_iter().flatten().flat_map(words));
    found
}

/// What a pattern finds in the source of the reader, tests and this module left out.
fn found_in_source(pattern: &Regex) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() && name.ends_with(".rs") && !["tests.rs", "schema.rs"].contains(&name.as_str()) {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(pattern.captures_iter(&text).map(|found| found[1].to_owned()));
        }
    }
    found
}

#[test]
fn every_preset_and_every_kind_of_the_schema_loads() {
    let schema = schema(SchemaOf::Main);
    let names = |place: &str| -> Vec<String> {
        let words = schema.pointer(place).and_then(Value::as_array).unwrap().iter();
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let presets = names("/$defs/issuer/properties/preset/enum");
    assert_eq!(presets, Preset::ALL.map(|preset| preset.name));
    for preset in presets {
        let text = format!("{FULL}[[issuer]]\nname = \"one-more\"\npreset = \"{preset}\"\n");
        assert!(!problems(&text).contains("preset `"), "{preset}: {}", problems(&text));
    }
    for kind in names("/$defs/upstream/properties/kind/enum") {
        let text = FULL.replace("kind = \"generic\"", &format!("kind = \"{kind}\""));
        assert_eq!(problems(&text), "", "{kind}");
    }
}

#[test]
fn a_mistake_is_seen_by_the_reader_and_by_the_schema() {
    let validator = validator(SchemaOf::Main);
    for (right, wrong) in [
        ("audience =", "audiense ="),
        ("public_url = \"https://pypi.corp.example\"", "public_url = \"pypi.corp.example\""),
        ("[listen]\naddress = \"127.0.0.1:8080\"", "[listen]\naddress = \"8080\""),
        ("detail = \"graded\"", "detail = \"some\""),
        ("mint_per_minute = 5", "mint_per_minute = 0"),
        ("upload_size = \"1GiB\"", "upload_size = \"big\""),
        ("header_timeout = \"10s\"", "header_timeout = \"soon\""),
        ("url = \"sqlite:indexgate.db\"", "url = \"mysql:x\""),
        ("kind = \"pypiserver\"", "kind = \"pypi-server\""),
        ("host = \"preserve\"", "host = \"keep\""),
        ("{ bearer_file = \"secret\" }", "{ bearer_file = \"secret\", username = \"x\" }"),
        ("{ header = \"X-SSO-USER\", value_file = \"secret\" }", "{ header = \"X-SSO-USER\" }"),
        ("upload_path = \"/root/prod\"", "upload_path = \"root/prod\""),
        ("upload_path = \"/root/prod\"", "upload_path = \"/_/prod\""),
        ("passwords = \"warn\"", "passwords = \"never\""),
        ("preset = \"github\"", "preset = \"gitHub\""),
        ("algorithms = \"RS256\"", "algorithms = \"HS256\""),
        ("events = \"push\"", "event = \"push\""),
        ("identity_claims = [\"build_job\"]\n", ""),
        ("url = \"https://jenkins.corp.example/oidc\"\n", ""),
        ("jwks_file = \"jwks.json\"", "jwks_file = \"jwks.json\"\njwks_host = \"x\""),
        ("issuer = \"jenkins\"\n", ""),
        ("repository = \"acme/billing\"", "repository = \"acme/*\""),
        ("repository_owner_id = [4455, \"66\"]", "repository_owner_id = \"0812\""),
        ("workflow = { glob = \"release*.yml\" }", "workflow = { globb = \"release*.yml\" }"),
        ("environment = [\"pypi\", \"testpypi\"]", "environment = []"),
        ("tag = \"v{version}\"", "tag = \"v{version}\"\nbranch = \"main\""),
        ("events = [\"push\", \"workflow_run\"]\n", ""),
        ("mode = \"observe\"", "mode = \"audit\""),
        ("versions = \"dev-only\"", "versions = \"all\""),
        ("expires = 2027-06-30", "expires = \"soon\""),
        ("protected = true", "protected = \"yes\""),
        ("number = [1, 2]", "number = [1.5]"),
        ("passwords = \"refuse\"\n", ""),
        ("name = \"prod\"", "name = \"..\""),
    ] {
        let text = FULL.replacen(right, wrong, 1);
        assert_ne!(text, FULL, "`{right}` is not in the full file");
        assert_ne!(problems(&text), "", "the reader takes `{wrong}` for `{right}`");
        assert!(!validator.is_valid(&instance(&text)), "the schema takes `{wrong}` for `{right}`");
    }
}

#[test]
fn the_example_files_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in toml_files(&root.join("config")) {
        let text = fs::read_to_string(&path).unwrap();
        let of = if text.contains("public_url") { SchemaOf::Main } else { SchemaOf::Rules };
        check_valid(of, &text);
    }
}

/// The TOML files under a folder; none if it is not there.
fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(toml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files
}
