//! `[[test]]`: reading it, and running it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value as Json};
use toml::de::DeValue;

use super::issuer::IssuerSettings;
use super::named::Named;
use super::problem::{ConfigError, Problem, Problems};
use super::reader::{Table, Value};
use super::{Settings, restate, secrets};
use crate::clock::Timestamp;
use crate::names::PublisherName;
use crate::policy::{Asked, NoIdentity, RuleTest, Rules, Verdict};
use crate::proxy::IndexRoute;

/// A `[[test]]`, and where it stands.
#[derive(Clone, Debug)]
pub struct PlacedTest {
    /// The test.
    pub test: RuleTest,
    /// What a failure is reported as, without the reason.
    place: Problem,
}

/// A `[[test]]` whose claims are not interpreted yet: that depends on the publishers.
pub struct ReadTest<'n, 'a> {
    name: String,
    place: Problem,
    issuer: &'n IssuerSettings,
    claims: Map<String, Json>,
    asked: Option<Asked>,
    expect: Verdict,
    publisher: Option<Value<'a>>,
}

/// Reads one `[[test]]`.
pub fn rule_test<'n, 'a>(
    table: &Table<'a>,
    issuers: &'n Named<IssuerSettings>,
    indexes: &Named<IndexRoute>,
) -> Option<ReadTest<'n, 'a>> {
    let name = table.require("name", "name = \"the release job may publish\"").and_then(|name| name.text());
    let issuer =
        table.require("issuer", "issuer = \"github\"").and_then(|name| issuers.find(&name, "issuer"));
    let file = table.require("claims_file", "claims_file = \"tests/release.json\"");
    let claims = file.and_then(|file| claims_of(&file));
    let with = table.get("with").map(|with| with_claims(&with));
    let without: Option<Vec<&str>> =
        table.get("without").map(|list| list.items().iter().filter_map(Value::text).collect());
    let asked = table.get("upload").map(|upload| upload_of(&upload, indexes));
    let publisher = table.get("publisher");
    let expect = expectation(table, publisher);
    let mut claims = claims?;
    restate::change(&mut claims, with.unwrap_or_else(|| Some(Map::new()))?, &without.unwrap_or_default());
    Some(ReadTest {
        place: table.place(format!("[[test]] `{}`", name?)),
        name: name?.to_owned(),
        issuer: issuer?,
        claims,
        asked: asked.map_or(Some(None), |asked| asked.map(Some))?,
        expect: expect?,
        publisher,
    })
}

fn claims_of(file: &Value<'_>) -> Option<Map<String, Json>> {
    match crate::json::parse(&secrets::file(file)?) {
        Ok(Json::Object(claims)) => Some(claims),
        Ok(_) => {
            file.problem("the file does not hold a JSON object", "save the claims of a token as JSON");
            None
        }
        Err(error) => {
            file.problem(format!("the file is not JSON: {error}"), "save the claims of a token as JSON");
            None
        }
    }
}

/// `with = { … }`: claims as TOML writes them.
fn with_claims(value: &Value<'_>) -> Option<Map<String, Json>> {
    let table = value.table("with")?;
    let claims = table.entries().map(|(name, value)| Some((name.to_owned(), json(&value)?)));
    claims.collect()
}

fn json(value: &Value<'_>) -> Option<Json> {
    match value.raw() {
        DeValue::String(text) => Some(Json::from(text.as_ref())),
        DeValue::Integer(_) => value.integer().map(Json::from),
        DeValue::Boolean(boolean) => Some(Json::from(*boolean)),
        DeValue::Array(_) => value.items().iter().map(json).collect::<Option<Vec<_>>>().map(Json::from),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            value.problem(
                "a claim here is a text, a whole number, true, false, or a list of these",
                "write such a value, or put the claim into the claims_file",
            );
            None
        }
    }
}

fn upload_of(value: &Value<'_>, indexes: &Named<IndexRoute>) -> Option<Asked> {
    let table = value.table("upload")?;
    let index = table.require("index", "index = \"prod\"").and_then(|name| indexes.find(&name, "index"));
    let project = table.require("project", "project = \"billing-core\"");
    let project = project.and_then(|project| project.parsed("write the project's name"));
    let version = table.require("version", "version = \"1.2.0\"");
    let version = version.and_then(|version| version.parsed("write a version, as in \"1.2.0\""));
    table.finish();
    Some(Asked { index: index?.index.clone(), project: project?, version: version? })
}

fn expectation(table: &Table<'_>, publisher: Option<Value<'_>>) -> Option<Verdict> {
    let because = table.get("because");
    let allow = table
        .require("expect", "expect = \"allow\" or expect = \"refuse\"")
        .and_then(|expect| expect.choice(&[("allow", true), ("refuse", false)]))?;
    let (needless, with) = if allow { (because, "refuse") } else { (publisher, "allow") };
    if let Some(needless) = needless {
        needless.problem(
            format!("this has a meaning only with expect = \"{with}\""),
            format!("remove the key, or write expect = \"{with}\""),
        );
    }
    match (allow, publisher, because) {
        (true, Some(name), _) => {
            name.parsed("write the name of a publisher").map(|name| Verdict::Allow(Some(name)))
        }
        (true, None, _) => Some(Verdict::Allow(None)),
        (false, _, Some(key)) => key.text().map(|key| Verdict::Refuse(Some(key.to_owned()))),
        (false, _, None) => Some(Verdict::Refuse(None)),
    }
}

impl ReadTest<'_, '_> {
    /// Reads the claims as a token's would be read. `keep` are the claims that rules look at by name.
    pub fn placed(self, publishers: &HashSet<String>, keep: &BTreeSet<String>) -> PlacedTest {
        if let (Verdict::Allow(Some(name)), Some(value)) = (&self.expect, &self.publisher) {
            check_publisher(name, value, publishers);
        }
        let Self { name, place, issuer, claims, asked, expect, .. } = self;
        let keep = keep.union(&issuer.identity_claims).cloned().collect();
        let identity = issuer.preset.suppose(issuer.name.clone(), &issuer.url, &claims, &keep);
        let identity = identity
            .map_err(|problem| NoIdentity { claim: problem.claim().to_owned(), why: problem.to_string() });
        PlacedTest { test: RuleTest { name, identity, asked, expect }, place }
    }
}

fn check_publisher(name: &PublisherName, value: &Value<'_>, publishers: &HashSet<String>) {
    if !publishers.contains(name.as_str()) {
        value.problem(format!("there is no publisher `{name}`"), "correct the name, or add the publisher");
    }
}

impl Settings {
    /// Runs every `[[test]]` against the rules. A configuration whose tests fail is not served.
    pub fn run_tests(&self, now: Timestamp) -> Result<(), ConfigError> {
        let problems = Problems::default();
        if !self.tests.is_empty() {
            let rules = Rules::new(self.publishers.clone(), self.restrictions.clone());
            for PlacedTest { test, place } in &self.tests {
                if let Err(why) = test.run(&rules, now) {
                    let fix = "correct the rules, or the test if it expects the wrong thing";
                    problems.add(place.clone().because(&why).fix(fix));
                }
            }
        }
        problems.into_result()
    }
}
