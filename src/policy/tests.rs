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
    Condition {
        key: key.to_owned().into(),
        claim: key.to_owned().into(),
        source: Source::Fact,
        expected,
        identifies,
    }
}

fn publisher(name: &str) -> Publisher {
    Publisher {
        name: name.parse().unwrap(),
        issuer: "github".parse().unwrap(),
        index: "prod".parse().unwrap(),
        projects: exactly("billing-core"),
        conditions: vec![text("repository", "acme/billing"), text("workflow", "release.yml")],
        implied: [].into(),
        versions: Versions::Any,
        expires: None,
        mode: Mode::Enforce,
    }
}

fn exactly(project: &str) -> Projects {
    Projects::These(vec![ProjectPattern::Exact(project.parse().unwrap())])
}

fn rules(publishers: impl IntoIterator<Item = Publisher>) -> Rules {
    Rules::new(publishers.into_iter().collect(), Vec::new())
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
    decide(&rules([publisher]), claims, Some(asked), NOW).permit.is_some()
}

#[test]
fn an_identity_that_meets_every_condition_may_upload_the_project() {
    let rules = self::rules([publisher("billing-release")]);
    let decision = decide(&rules, &matching(), Some(&upload("billing-core", "1.2.0")), NOW);
    let permit = decision.permit.unwrap();
    assert_eq!(permit.publisher().as_str(), "billing-release");
    let is_for = |asked: &Asked| permit.is_for(&asked.index, &asked.project, &asked.version);
    assert!(is_for(&upload("billing-core", "1.2.0")));
    assert!(!is_for(&upload("billing-core", "1.2.1")) && !is_for(&upload("billing", "1.2.0")));
    let mut elsewhere = upload("billing-core", "1.2.0");
    elsewhere.index = "staging".parse().unwrap();
    assert!(!is_for(&elsewhere));
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
        let decision = decide(&rules([tagged.clone()]), &identity, None, NOW);
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
            key: "build_job".into(),
            claim: "build_job".into(),
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
    let decision = survey(&rules([far, near]), &identity, None, NOW);
    assert!(decision.trail[0].identity_proved());
    assert!(!decision.trail[1].identity_proved());
    insta::assert_snapshot!(decision.trail[0], @r#"publisher `z-near`: workflow is `release.yaml`, expected `release.yml` (`.yml` and `.yaml` are different files: rename the file to `release.yml`; or write workflow = ["release.yml", "release.yaml"] in the publisher); the token says nothing about environment, expected `pypi` (give the job this environment: `environment: pypi`; or remove `environment` from the publisher, so that any job of the workflow may publish)"#);
    insta::assert_snapshot!(decision.trail[1], @r#"publisher `a-far`: repository is `acme/billing`, expected `other/thing` (this is another repository: publish from `other/thing`; or add a publisher with repository = "acme/billing", if it is trusted); workflow is `release.yaml`, expected `release.yml` (`.yml` and `.yaml` are different files: rename the file to `release.yml`; or write workflow = ["release.yml", "release.yaml"] in the publisher)"#);
}

#[test]
fn only_publishers_that_can_be_met_are_looked_at() {
    let mut other = publisher("other");
    other.conditions = vec![text("repository", "other/thing"), text("workflow", "release.yml")];
    let mut owner = publisher("owner");
    owner.conditions = vec![
        condition(
            "repository",
            Expected::Text(vec![TextPattern::Glob("acme/*".parse().unwrap())], Compare::FoldCase),
        ),
        text("repository_owner_id", "65"),
    ];
    let identity =
        claims(&[("repository", "acme/billing"), ("repository_owner_id", "65"), ("workflow", "release.yml")]);
    let decision = decide(&rules([other, owner, publisher("exact")]), &identity, None, NOW);
    let seen: Vec<&str> = decision.trail.iter().map(|trial| trial.publisher.as_str()).collect();
    assert_eq!(seen, ["exact", "owner"]);
    assert_eq!(decision.grants.len(), 2);
}

#[test]
fn an_observing_publisher_grants_nothing_and_says_so() {
    let mut observing = publisher("p");
    observing.mode = Mode::Observe;
    let rules = self::rules([observing]);
    let decision = decide(&rules, &matching(), Some(&upload("billing-core", "1")), NOW);
    assert!(decision.permit.is_none() && decision.grants.is_empty());
    assert_eq!(decision.observed.len(), 1);
    assert!(decide(&rules, &matching(), Some(&upload("other", "1")), NOW).observed.is_empty());
}

#[test]
fn developmental_versions_only_means_no_release() {
    let mut nightly = publisher("p");
    nightly.versions = Versions::DevOnly;
    for (version, allowed) in
        [("1.0.dev3", true), ("1.0+g1a2b3c", true), ("1.0", false), ("1.0rc1", false), ("1.0.post1", false)]
    {
        assert_eq!(
            permitted(nightly.clone(), &matching(), &upload("billing-core", version)),
            allowed,
            "{version}"
        );
    }
}

fn restriction(project: &str) -> Restriction {
    let projects = ProjectPattern::Exact(project.parse().unwrap());
    Restriction { index: "prod".parse().unwrap(), projects, only: None, passwords: None }
}

#[test]
fn a_reserved_project_is_granted_by_nobody_else() {
    let mut reserved = restriction("billing-core");
    reserved.only = Some(vec!["chosen".parse().unwrap()]);
    let asked = upload("billing-core", "1");
    for (name, allowed) in [("chosen", true), ("other", false)] {
        let rules = Rules::new(vec![publisher(name)], vec![reserved.clone()]);
        let decision = decide(&rules, &matching(), Some(&asked), NOW);
        assert_eq!(decision.permit.is_some(), allowed, "{name}");
        assert_eq!(decision.grants.is_empty(), !allowed, "a token that could do nothing is not minted");
        let minted = decide(&rules, &matching(), None, NOW);
        assert_eq!(minted.trail[0].grants(), allowed, "the trail says the same");
    }
    reserved.index = "stage".parse().unwrap();
    let elsewhere = Rules::new(vec![publisher("other")], vec![reserved]);
    assert!(
        decide(&elsewhere, &matching(), Some(&asked), NOW).permit.is_some(),
        "another index is not restricted"
    );
}

#[test]
fn passwords_are_as_strict_as_the_strictest_that_applies() {
    let (prod, now) = ("prod".parse().unwrap(), NOW);
    let mut closed = restriction("billing-core");
    closed.passwords = Some(PasswordRule { then: Passwords::Refuse, from: Some(Timestamp(NOW.0 + 10)) });
    let rules = Rules::new(Vec::new(), vec![closed]);
    let passwords = |project: &str, of_index, at| {
        rules.passwords(&prod, of_index, &project.parse().unwrap(), Timestamp(at))
    };
    assert_eq!(passwords("billing-core", Passwords::Allow, now.0), Passwords::Warn, "before the date");
    assert_eq!(passwords("billing-core", Passwords::Allow, now.0 + 10), Passwords::Refuse);
    assert_eq!(passwords("billing-core", Passwords::Refuse, now.0), Passwords::Refuse);
    assert_eq!(passwords("other", Passwords::Allow, now.0 + 10), Passwords::Allow);
    assert!(!rules.closed_to_passwords(&prod, Passwords::Allow, now));
    assert!(rules.closed_to_passwords(&prod, Passwords::Allow, Timestamp(now.0 + 10)));
}

fn any_publisher() -> impl Strategy<Value = Publisher> {
    let project = prop_oneof!["[ab]", "[ab]\\*"];
    ("[a-z]{6}", project, "[xy]", proptest::option::of("[xy]")).prop_map(
        |(name, project, repository, workflow)| {
            let mut p = publisher(&name);
            p.projects = Projects::These(vec![match project.parse() {
                Ok(name) => ProjectPattern::Exact(name),
                Err(_) => ProjectPattern::Glob(project.parse().unwrap()),
            }]);
            p.conditions = vec![text("repository", &repository)];
            p.conditions.extend(workflow.map(|w| text("workflow", &w)));
            p
        },
    )
}

proptest! {
    /// The index finds every publisher that matters: what it leaves out could not have granted anything.
    #[test]
    fn the_index_changes_no_decision(
        publishers in proptest::collection::vec(any_publisher(), 0..8),
        repository in "[xyXY]", workflow in "[xy]", project in "[ab]{1,2}",
    ) {
        let identity = claims(&[("repository", &repository), ("workflow", &workflow)]);
        let asked = upload(&project, "1");
        let rules = rules(publishers);
        let found = decide(&rules, &identity, Some(&asked), NOW);
        let all = survey(&rules, &identity, Some(&asked), NOW);
        prop_assert_eq!(found.permit, all.permit);
        prop_assert_eq!(found.grants, all.grants);
    }

    #[test]
    fn removing_a_publisher_never_adds_a_right(
        publishers in proptest::collection::vec(any_publisher(), 1..6),
        repository in "[xy]", workflow in "[xy]", project in "[ab]{1,2}",
    ) {
        let identity = claims(&[("repository", &repository), ("workflow", &workflow)]);
        let asked = upload(&project, "1");
        let all = decide(&rules(publishers.clone()), &identity, Some(&asked), NOW).permit.is_some();
        let fewer = decide(&rules(publishers[1..].to_vec()), &identity, Some(&asked), NOW).permit.is_some();
        prop_assert!(all || !fewer);
        let mut turned = publishers;
        turned.reverse();
        let reordered = decide(&rules(turned), &identity, Some(&asked), NOW).permit;
        prop_assert_eq!(all, reordered.is_some());
    }

    /// What is explained is what was decided.
    #[test]
    fn the_trail_and_the_verdict_agree(
        publishers in proptest::collection::vec(any_publisher(), 0..8),
        repository in "[xy]", workflow in "[xy]", project in "[ab]{1,2}", ask in any::<bool>(),
    ) {
        let identity = claims(&[("repository", &repository), ("workflow", &workflow)]);
        let asked = ask.then(|| upload(&project, "1"));
        let decision = decide(&rules(publishers), &identity, asked.as_ref(), NOW);
        let allowed = if ask { decision.permit.is_some() } else { !decision.grants.is_empty() };
        prop_assert_eq!(allowed, decision.trail.iter().any(Trial::grants));
        prop_assert!(decision.trail.iter().all(|trial| trial.grants() == trial.misses().next().is_none()));
    }

    #[test]
    fn a_permit_names_what_was_asked_for(project in "[ab]{1,2}", publishers in proptest::collection::vec(any_publisher(), 0..6)) {
        let identity = claims(&[("repository", "x"), ("workflow", "y")]);
        let asked = upload(&project, "1");
        if let Some(permit) = decide(&rules(publishers), &identity, Some(&asked), NOW).permit {
            prop_assert!(permit.is_for(&asked.index, &asked.project, &asked.version));
        }
    }
}
