//! The pages under `docs/providers`: each configuration loads, and a real token of the provider is allowed by the
//! publisher that stands there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use indexgate::clock::Timestamp;
use indexgate::config::{Settings, load};
use indexgate::oidc::Preset;
use indexgate::policy::{Asked, Decision, Rules, survey};
use serde_json::{Map, Value};

const PRELUDE: &str = r#"
public_url = "https://pypi.corp.example"
[listen]
address = "127.0.0.1:8080"
[[upstream]]
name = "devpi"
kind = "devpi"
url = "http://127.0.0.1:3141"
credential = { username = "indexgate", password_file = "password" }
[[index]]
name = "prod"
upstream = "devpi"
upload_path = "/root/prod/"
"#;

/// A key set for pages whose issuer cannot be reached (the key of RFC 7515, appendix A.2).
const KEYS: &str = r#"{"keys": [{"kty": "RSA", "kid": "k1", "e": "AQAB",
"n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#;

const NOW: Timestamp = Timestamp(1_767_225_600);

struct Page {
    preset: &'static Preset,
    text: String,
}

impl Page {
    fn all() -> impl Iterator<Item = Self> {
        Preset::ALL.into_iter().map(|preset| {
            let path = root().join(format!("docs/providers/{}.md", preset.name));
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Self { preset, text }
        })
    }

    /// What stands between ```` ```language ```` and ```` ``` ````.
    fn blocks(&self, language: &str) -> Vec<&str> {
        let open = format!("```{language}\n");
        let blocks = self.text.split(&open).skip(1);
        blocks.map(|rest| rest.split("\n```").next().unwrap()).collect()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A token as the provider writes it.
fn token(preset: &Preset) -> Map<String, Value> {
    let path = root().join(format!("tests/providers/{}.json", preset.name));
    let sample: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    sample["claims"].as_object().unwrap().clone()
}

fn loaded(folder: &Path, page: &Page, block: &str) -> Settings {
    let password = folder.join("password");
    fs::write(&password, "secret\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.join("cluster.jwks.json"), KEYS).unwrap();
    let path = folder.join("indexgate.toml");
    fs::write(&path, format!("{PRELUDE}{block}")).unwrap();
    load(&path).unwrap_or_else(|error| panic!("{}: {error}", page.preset.name))
}

fn decided(settings: Settings, claims: &Map<String, Value>) -> Decision {
    let issuer = &settings.issuers[0];
    let conditions = settings.publishers.iter().flat_map(|publisher| &publisher.conditions);
    let keep: BTreeSet<String> = conditions.map(|condition| condition.claim.to_string()).collect();
    let verified = issuer.preset.suppose(issuer.name.clone(), &issuer.url, claims, &keep);
    let asked = Asked {
        index: "prod".parse().unwrap(),
        project: "widget".parse().unwrap(),
        version: "1.2.0".parse().unwrap(),
    };
    survey(&Rules::new(settings.publishers, settings.restrictions), &verified.unwrap(), Some(&asked), NOW)
}

#[test]
fn the_configuration_of_each_page_allows_a_token_of_its_provider() {
    for page in Page::all() {
        let name = page.preset.name;
        let claims = token(page.preset);
        let blocks = page.blocks("toml");
        assert!(!blocks.is_empty(), "{name}");
        for block in blocks {
            let folder = tempfile::tempdir().unwrap();
            let settings = loaded(folder.path(), &page, block);
            let issuer = &settings.issuers[0];
            assert_eq!(issuer.preset.name, name);
            assert_eq!(claims["iss"], issuer.url.as_str(), "{name}");
            let audience = issuer.audience.as_ref().unwrap_or(&settings.audience);
            let stated = claims["aud"].as_array().map_or(&claims["aud"], |list| &list[0]);
            assert_eq!(stated, audience.as_str(), "{name}");
            let decision = decided(settings, &claims);
            assert!(decision.permit.is_some(), "{name}: {}", decision.trail[0]);
        }
    }
}

/// What each page pins, it pins for a reason: with another value of any of it the token is refused.
#[test]
fn whatever_a_page_pins_is_held_against_the_token() {
    for page in Page::all() {
        let name = page.preset.name;
        let folder = tempfile::tempdir().unwrap();
        for block in page.blocks("toml") {
            let publisher = block.split("[[publisher]]").nth(1).unwrap();
            let pins = publisher
                .lines()
                .filter(|line| page.preset.rule_keys.iter().any(|key| starts(line, key.key)));
            for pin in pins {
                let other = spoiled(pin);
                let settings = loaded(folder.path(), &page, &block.replace(pin, &other));
                let decision = decided(settings, &token(page.preset));
                assert!(decision.grants.is_empty(), "{name}: {other}");
                let key = pin.split(' ').next().unwrap();
                let misses: Vec<_> =
                    decision.trail[0].misses().map(|finding| finding.key.to_string()).collect();
                assert_eq!(misses, [key], "{name}");
            }
        }
    }
}

fn starts(line: &str, key: &str) -> bool {
    line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" ="))
}

/// The same line with another value of the same form.
fn spoiled(line: &str) -> String {
    let (key, value) = line.split_once(" = ").unwrap();
    let value = if value.contains("{version}") {
        value.replace("v{version}", "w{version}")
    } else {
        let first = value.find(|c: char| c.is_ascii_alphanumeric()).unwrap();
        let other = if value[first..].starts_with('7') { "8" } else { "7" };
        format!("{}{other}{}", &value[..first], &value[first + 1..])
    };
    format!("{key} = {value}")
}

#[test]
fn each_page_names_every_key_and_shows_the_whole_way() {
    for page in Page::all() {
        let name = page.preset.name;
        for key in page.preset.rule_keys {
            let written = if key.key == "event" { "events" } else { key.key };
            let row = format!("| `{written}` | `{}` |", key.claim);
            assert!(page.text.contains(&row), "{name}: {row}");
        }
        for heading in [
            "## Configuration",
            "## In the pipeline",
            "## What to pin",
            "## What the tokens lack",
            "## Sources",
        ] {
            assert!(page.text.contains(heading), "{name}: {heading}");
        }
        let shows_upload = page.text.contains("--publish-url https://pypi.corp.example/root/prod/")
            || page.text.contains("--repository-url https://pypi.corp.example/root/prod/");
        assert!(shows_upload, "{name}");
        if !page.preset.required_claims.contains(&"jti") && name != "activestate" {
            assert!(page.text.contains("`jti`"), "{name} does not say that its tokens have no id");
        }
        if page.preset.fixed_audience.is_some() {
            assert!(page.text.contains("fixed_audience = true"), "{name}");
        }
    }
}

#[test]
fn the_overview_has_a_row_for_each_page() {
    let overview = fs::read_to_string(root().join("docs/providers/README.md")).unwrap();
    for preset in Preset::ALL {
        let name = preset.name;
        let row = overview.lines().find(|line| line.starts_with(&format!("| [{name}]({name}.md) |")));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        let tells_the_tag = row.split('|').nth(6).unwrap().trim() == "yes";
        assert_eq!(preset.rule_key("tag").is_some(), tells_the_tag, "{name}");
        if let Some(url) = preset.public_issuer {
            assert!(row.contains(url), "{name}: {url}");
        }
    }
}
