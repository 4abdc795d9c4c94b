//! The decision, one spoiled detail at a time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::clock::Timestamp;

const NOW: Timestamp = Timestamp(1_767_225_000);

fn text(key: &str, value: &str) -> Condition {
    condition(key, Expected::Text(vec![TextPattern::Exact(value.to_owned())], Compare::Exact))
}

fn condition(key: &str, expected: Expected) -> Condition {
    let identifies = key.starts_with("repository");
    Condition { key: key.to_owned(), claim: key.to_owned(), source: Source::Fact, expected, identifies }
}

fn publisher(name: &str) -> Publisher {
    Publisher {
        name: name.parse().unwrap(),
        issuer: "github".parse().unwrap(),
        index: "prod".parse().unwrap(),
        projects: vec![ProjectPattern::Exact("billing-core".parse().unwrap())],
        conditions: vec![text("repository", "acme/billing"), text("workflow", "release.yml")],
        expires: None,
    }
}

fn claims(facts: &[(&str, &str)]) -> VerifiedClaims {
    let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    VerifiedClaims::assertion("github".parse().unwrap(), facts, serde_json::Map::new())
}

fn matching() -> VerifiedClaims {
    claims(&[("repository", "acme/billing"), ("workflow", "release.yml"), ("tag", "v1.2.0")])
}

fn upload(project: &str, version: &str) -> Asked {
    Asked {
        index: "prod".parse().unwrap(),
        project: project.parse().unwrap(),
        version: version.parse().unwrap(),
    }
}

fn permitted(publisher: Publisher, claims: &VerifiedClaims, asked: &Asked) -> bool {
    decide(&Rules::new([publisher]), claims, Some(asked), NOW).permit.is_some()
}

#[test]
fn an_identity_that_meets_every_condition_may_upload_the_project() {
    let rules = Rules::new([publisher("billing-release")]);
    let decision = decide(&rules, &matching(), Some(&upload("billing-core", "1.2.0")), NOW);
    let permit = decision.permit.unwrap();
    assert_eq!(permit.publisher().as_str(), "billing-release");
    assert_eq!(permit.index().as_str(), "prod");
    assert_eq!(permit.project().as_str(), "billing-core");
    assert_eq!(permit.version().to_string(), "1.2.0");
    assert_eq!(decision.grants.len(), 1);
}

#[test]
fn each_condition_is_needed() {
    for missing in ["repository", "workflow"] {
        let facts: BTreeMap<_, _> = matching()
            .facts()
            .iter()
            .filter(|(key, _)| *key != missing)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let spoiled = VerifiedClaims::assertion("github".parse().unwrap(), facts, serde_json::Map::new());
        assert!(!permitted(publisher("p"), &spoiled, &upload("billing-core", "1.2.0")), "without {missing}");
    }
}

#[test]
fn another_project_index_or_issuer_is_refused() {
    assert!(!permitted(publisher("p"), &matching(), &upload("billing", "1.2.0")));
    let mut elsewhere = upload("billing-core", "1.2.0");
    elsewhere.index = "staging".parse().unwrap();
    assert!(!permitted(publisher("p"), &matching(), &elsewhere));
    let mut stranger = publisher("p");
    stranger.issuer = "gitlab".parse().unwrap();
    assert!(!permitted(stranger, &matching(), &upload("billing-core", "1.2.0")));
}

#[test]
fn a_publisher_without_conditions_meets_nobody() {
    let mut open = publisher("p");
    open.conditions.clear();
    assert!(!permitted(open, &matching(), &upload("billing-core", "1.2.0")));
}

#[test]
fn a_publisher_ends_at_its_date() {
    let mut dated = publisher("p");
    dated.expires = Some(Timestamp(NOW.0 + 1));
    assert!(permitted(dated.clone(), &matching(), &upload("billing-core", "1.2.0")));
    dated.expires = Some(NOW);
    assert!(!permitted(dated, &matching(), &upload("billing-core", "1.2.0")));
}

#[test]
fn a_version_tag_must_be_the_uploaded_version() {
    let mut tagged = publisher("p");
    tagged.conditions.push(condition("tag", Expected::VersionTag(VersionTag::parse("v{version}").unwrap())));
    for (version, allowed) in [("1.2.0", true), ("1.2", true), ("1.2.1", false), ("1.2.0.post1", false)] {
        assert_eq!(
            permitted(tagged.clone(), &matching(), &upload("billing-core", version)),
            allowed,
            "{version}"
        );
    }
    for tag in ["1.2.0", "vv1.2.0", "v", "vnext", "v1.2.0-", "v 1.2.0"] {
        let identity = claims(&[("repository", "acme/billing"), ("workflow", "release.yml"), ("tag", tag)]);
        let decision = decide(&Rules::new([tagged.clone()]), &identity, None, NOW);
        assert!(decision.grants.is_empty(), "{tag} is no such version");
    }
}

#[test]
fn a_raw_claim_matches_its_own_json_type_only() {
    let identity = |value| {
        let claims = json!({ "build_job": value }).as_object().unwrap().clone();
        VerifiedClaims::assertion("github".parse().unwrap(), BTreeMap::new(), claims)
    };
    let rule = |pattern| {
        let mut p = publisher("p");
        p.conditions = vec![Condition {
            key: "build_job".to_owned(),
            claim: "build_job".to_owned(),
            source: Source::Claim,
            expected: Expected::Json(vec![pattern]),
            identifies: true,
        }];
        p
    };
    let asked = upload("billing-core", "1");
    let text = || JsonPattern::Text(TextPattern::Exact("7".to_owned()));
    for (pattern, value, allowed) in [
        (text(), json!("7"), true),
        (text(), json!(7), false),
        (text(), json!(["7"]), false),
        (text(), json!(null), false),
        (JsonPattern::Integer(7), json!(7), true),
        (JsonPattern::Integer(7), json!("7"), false),
        (JsonPattern::Integer(7), json!(7.0), false),
        (JsonPattern::Integer(1), json!(true), false),
        (JsonPattern::Bool(true), json!(true), true),
        (JsonPattern::Bool(true), json!("true"), false),
        (JsonPattern::Bool(true), json!(1), false),
    ] {
        assert_eq!(
            permitted(rule(pattern.clone()), &identity(value.clone()), &asked),
            allowed,
            "{pattern} on {value}"
        );
    }
}

#[test]
fn a_fact_that_must_be_absent_refuses_when_it_is_there() {
    let mut strict = publisher("p");
    strict.conditions.push(condition("job_workflow", Expected::Absent));
    assert!(permitted(strict.clone(), &matching(), &upload("billing-core", "1")));
    let reused = claims(&[
        ("repository", "acme/billing"),
        ("workflow", "release.yml"),
        ("job_workflow", "acme/shared/.github/workflows/publish.yml"),
    ]);
    assert!(!permitted(strict, &reused, &upload("billing-core", "1")));
}

#[test]
fn every_kind_of_value_is_compared_in_its_own_way() {
    let rule = |compare| {
        let mut p = publisher("p");
        p.conditions = vec![condition(
            "repository",
            Expected::Text(vec![TextPattern::Exact("Acme/Billing".to_owned())], compare),
        )];
        p
    };
    let asked = upload("billing-core", "1");
    let found = claims(&[("repository", "aCME/bILLING")]);
    assert!(permitted(rule(Compare::FoldCase), &found, &asked));
    assert!(!permitted(rule(Compare::Exact), &found, &asked));
    assert!(!permitted(rule(Compare::Id), &found, &asked));
}

#[test]
fn the_nearest_publisher_comes_first_and_says_what_is_missing() {
    let mut far = publisher("a-far");
    far.conditions = vec![text("repository", "other/thing"), text("workflow", "release.yml")];
    let mut near = publisher("z-near");
    near.conditions.push(text("environment", "pypi"));
    let identity = claims(&[("repository", "acme/billing"), ("workflow", "release.yaml")]);
    let decision = decide(&Rules::new([far, near]), &identity, None, NOW);
    assert!(decision.trail[0].identity_proved());
    assert!(!decision.trail[1].identity_proved());
    insta::assert_snapshot!(decision.trail[0], @"publisher `z-near`: workflow is `release.yaml`, expected `release.yml` (`.yml` and `.yaml` are different files); the token says nothing about environment, expected `pypi` (give the job this environment)");
    insta::assert_snapshot!(decision.trail[1], @"publisher `a-far`: repository is `acme/billing`, expected `other/thing`; workflow is `release.yaml`, expected `release.yml` (`.yml` and `.yaml` are different files)");
}

fn any_publisher() -> impl Strategy<Value = Publisher> {
    let project = prop_oneof!["[ab]", "[ab]\\*"];
    ("[a-z]{6}", project, "[xy]", proptest::option::of("[xy]")).prop_map(
        |(name, project, repository, workflow)| {
            let mut p = publisher(&name);
            p.projects = vec![match project.parse() {
                Ok(name) => ProjectPattern::Exact(name),
                Err(_) => ProjectPattern::Glob(project.parse().unwrap()),
            }];
            p.conditions = vec![text("repository", &repository)];
            p.conditions.extend(workflow.map(|w| text("workflow", &w)));
            p
        },
    )
}

proptest! {
    #[test]
    fn removing_a_publisher_never_adds_a_right(
        publishers in proptest::collection::vec(any_publisher(), 1..6),
        repository in "[xy]", workflow in "[xy]", project in "[ab]{1,2}",
    ) {
        let identity = claims(&[("repository", &repository), ("workflow", &workflow)]);
        let asked = upload(&project, "1");
        let all = decide(&Rules::new(publishers.clone()), &identity, Some(&asked), NOW).permit.is_some();
        let fewer = decide(&Rules::new(publishers[1..].to_vec()), &identity, Some(&asked), NOW).permit.is_some();
        prop_assert!(all || !fewer);
        let mut turned = publishers;
        turned.reverse();
        let reordered = decide(&Rules::new(turned), &identity, Some(&asked), NOW).permit;
        prop_assert_eq!(all, reordered.is_some());
    }

    #[test]
    fn a_permit_names_what_was_asked_for(project in "[ab]{1,2}", publishers in proptest::collection::vec(any_publisher(), 0..6)) {
        let identity = claims(&[("repository", "x"), ("workflow", "y")]);
        let asked = upload(&project, "1");
        if let Some(permit) = decide(&Rules::new(publishers), &identity, Some(&asked), NOW).permit {
            prop_assert_eq!(permit.project(), &asked.project);
            prop_assert_eq!(permit.index(), &asked.index);
        }
    }
}
