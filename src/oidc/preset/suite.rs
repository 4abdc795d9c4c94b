//! The same behaviour for every preset. `tests/providers` holds, for each, a full token as its provider writes them;
//! under `other`, for each rule key, what differs in a token in which that one thing is another; and under
//! `disagreeing` what makes claims contradict each other.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::*;
use crate::oidc::testing::{AUDIENCE, Forge, NOW, keys};
use crate::oidc::{Expected, Unverified, verify};
use crate::policy::{
    self, Condition, Decision, Mode, Projects, Publisher, Rules, Source, TextPattern, Versions, survey,
};

mod one_by_one;

struct Sample {
    preset: &'static Preset,
    claims: Map<String, Value>,
    other: Map<String, Value>,
    disagreeing: Map<String, Value>,
}

impl Sample {
    fn of(preset: &'static Preset) -> Self {
        let path = format!("{}/tests/providers/{}.json", env!("CARGO_MANIFEST_DIR"), preset.name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let sample: Value = serde_json::from_str(&text).unwrap();
        let part = |name: &str| sample[name].as_object().unwrap().clone();
        Self { preset, claims: part("claims"), other: part("other"), disagreeing: part("disagreeing") }
    }

    fn named(preset: &str) -> Self {
        Self::of(Preset::by_name(preset).unwrap())
    }

    fn all() -> impl Iterator<Item = Self> {
        Preset::ALL.into_iter().map(Self::of)
    }

    fn claims(&self, changes: &Value) -> Map<String, Value> {
        let mut claims = self.claims.clone();
        for (claim, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.remove(claim),
                value => claims.insert(claim.clone(), value.clone()),
            };
        }
        claims
    }

    /// A token with these claims, signed, verified and read as a server does it.
    fn read(&self, claims: &Map<String, Value>) -> Result<VerifiedClaims, String> {
        let jwt = Forge::new(&json!(claims)).sign();
        let issuer_url = claims["iss"].as_str().unwrap();
        let own = self.preset.fixed_audience(issuer_url);
        let expected = Expected {
            issuer_url,
            audience: own.as_deref().unwrap_or(AUDIENCE),
            audience_list_allowed: self.preset.audience_list,
            algorithms: self.preset.algorithms,
            max_lifetime: self.preset.max_lifetime,
        };
        let token = Unverified::read(&jwt).map_err(|error| error.to_string())?;
        let token = verify(&token, &keys(), &expected, NOW).map_err(|error| error.to_string())?;
        let read = self.preset.read("x".parse().unwrap(), &token, &BTreeSet::new());
        read.map_err(|problem| problem.to_string())
    }

    fn with(&self, changes: &Value) -> Result<VerifiedClaims, String> {
        self.read(&self.claims(changes))
    }

    fn good(&self) -> VerifiedClaims {
        self.with(&json!({})).unwrap_or_else(|error| panic!("{}: {error}", self.preset.name))
    }

    #[track_caller]
    fn refused(&self, claims: &Map<String, Value>, claim: &str) {
        match self.read(claims) {
            Ok(_) => panic!("{}: accepted with a spoiled `{claim}`", self.preset.name),
            Err(text) => assert!(text.contains(claim), "{}: `{claim}` is not in: {text}", self.preset.name),
        }
    }

    /// A publisher that pins everything that the full token states.
    fn pins_everything(&self) -> Rules {
        let condition = |(key, value): (&String, &String)| {
            let rule_key = self.preset.rule_key(key).unwrap();
            Condition {
                key: key.clone().into(),
                claim: rule_key.claim.into(),
                source: Source::Fact,
                expected: policy::Expected::Text(vec![TextPattern::Exact(value.clone())], rule_key.compare),
                identifies: rule_key.identifies,
            }
        };
        let publisher = Publisher {
            name: "all".parse().unwrap(),
            issuer: "x".parse().unwrap(),
            index: "prod".parse().unwrap(),
            projects: Projects::Any,
            conditions: self.good().facts().iter().map(condition).collect(),
            implied: [].into(),
            versions: Versions::Any,
            expires: None,
            mode: Mode::Enforce,
        };
        Rules::new(vec![publisher], Vec::new())
    }

    fn decide(&self, claims: &VerifiedClaims) -> Decision {
        survey(&self.pins_everything(), claims, None, NOW)
    }
}

fn missed(decision: &Decision) -> Vec<String> {
    decision.trail[0].misses().map(|finding| finding.key.to_string()).collect()
}

#[test]
fn a_full_token_is_accepted_and_everything_in_it_is_known() {
    for sample in Sample::all() {
        let name = sample.preset.name;
        let claims = sample.good();
        assert_eq!(sample.preset.unknown_claims(&sample.claims).collect::<Vec<_>>(), [""; 0], "{name}");
        assert!(sample.preset.fits_issuer(sample.claims["iss"].as_str().unwrap()), "{name}");
        assert!(claims.facts().keys().all(|key| sample.preset.rule_key(key).is_some()), "{name}");
        if !sample.preset.rule_keys.is_empty() {
            assert_eq!(sample.decide(&claims).grants.len(), 1, "{name}");
        }
    }
}

#[test]
fn every_required_claim_must_be_there_and_of_its_type() {
    for sample in Sample::all() {
        for claim in sample.preset.required_claims {
            sample.refused(&sample.claims(&json!({ *claim: null })), claim);
            for wrong in [json!(null), json!([]), json!(1.5), json!([["x"]])] {
                let mut claims = sample.claims.clone();
                claims.insert((*claim).to_owned(), wrong);
                sample.refused(&claims, claim);
            }
        }
    }
}

#[test]
fn a_claim_that_a_rule_key_stands_for_is_never_taken_for_something_else() {
    for sample in Sample::all() {
        for rule_key in sample.preset.rule_keys {
            let claim = rule_key.claim;
            if !sample.claims.contains_key(claim) {
                continue;
            }
            let mut wrongs = vec![json!({}), json!(1.5), json!(true), json!([1])];
            if rule_key.form != Form::Text {
                wrongs.extend([json!("a\u{430}"), json!("\u{202e}x"), json!("x\n")]);
            }
            for wrong in wrongs {
                let mut claims = sample.claims.clone();
                claims.insert(claim.to_owned(), wrong);
                sample.refused(&claims, claim);
            }
        }
    }
}

#[test]
fn each_rule_key_alone_decides() {
    for sample in Sample::all() {
        let name = sample.preset.name;
        let full = sample.good();
        for rule_key in sample.preset.rule_keys {
            let key = rule_key.key;
            let changes = sample.other.get(key).unwrap_or_else(|| panic!("{name}: no other `{key}`"));
            let other = sample.with(changes).unwrap_or_else(|error| panic!("{name}: {key}: {error}"));
            assert!(other.fact(key).is_some() && other.fact(key) != full.fact(key), "{name}: {key}");
            let decision = sample.decide(&other);
            if full.fact(key).is_some() {
                assert!(decision.grants.is_empty(), "{name}: {key}");
                assert!(
                    missed(&decision).iter().any(|missed| missed == key),
                    "{name}: {key}: {}",
                    decision.trail[0]
                );
            }
            // A project stands in its namespace, so there the path must differ, too.
            if rule_key.identifies && key != "namespace_path" {
                assert_eq!(missed(&decision), [key], "{name}");
                assert!(!decision.trail[0].identity_proved(), "{name}: {key}");
            }
        }
        assert_eq!(sample.other.len(), sample.preset.rule_keys.len(), "{name}");
    }
}

#[test]
fn claims_that_nobody_knows_change_nothing() {
    for sample in Sample::all() {
        let changes = json!({"brand_new": true, "zz": {"nested": [1]}});
        assert_eq!(sample.with(&changes), Ok(sample.good()), "{}", sample.preset.name);
        let told = sample.preset.unknown_claims(&sample.claims(&changes)).count();
        let anything_goes = sample.preset.known_claims.contains(&"*");
        assert_eq!(told, if anything_goes { 0 } else { 2 }, "{}", sample.preset.name);
    }
}

#[test]
fn case_folds_only_where_the_preset_says_so() {
    for sample in Sample::all() {
        let full = sample.good();
        for (key, value) in full.facts() {
            let mut facts = full.facts().clone();
            facts.insert(key.clone(), value.to_ascii_uppercase());
            let shouted = VerifiedClaims::assertion("x".parse().unwrap(), facts, Map::new());
            let folds = sample.preset.rule_key(key).unwrap().compare == Compare::FoldCase;
            let same = folds || value.to_ascii_uppercase() == *value;
            assert_eq!(
                sample.decide(&shouted).grants.len(),
                usize::from(same),
                "{}: {key}",
                sample.preset.name
            );
        }
    }
}

#[test]
fn ids_are_the_same_as_numbers_and_as_texts() {
    let mut checked = 0;
    for sample in Sample::all() {
        let numeric = sample.preset.rule_keys.iter().filter(|rule_key| rule_key.compare == Compare::Id);
        for rule_key in numeric {
            let text = sample.claims[rule_key.claim].as_str().unwrap();
            let number: u64 = text.parse().unwrap();
            let as_number = sample.with(&json!({ rule_key.claim: number })).unwrap();
            assert_eq!(as_number.facts(), sample.good().facts());
            for bad in [json!(format!("0{text}")), json!(-1), json!(format!("{text} ")), json!("x")] {
                sample.refused(&sample.claims(&json!({ rule_key.claim: bad })), rule_key.claim);
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 9);
}

#[test]
fn what_the_audit_needs_is_kept_and_nothing_else() {
    for sample in Sample::all() {
        let good = sample.good();
        let kept: BTreeSet<&str> = good.claims().keys().map(String::as_str).collect();
        let wanted: BTreeSet<&str> = sample.preset.provenance.iter().copied().chain(["sub"]).collect();
        let missing: Vec<_> =
            wanted.difference(&kept).filter(|claim| sample.claims.contains_key(**claim)).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", sample.preset.name);
        assert!(kept.is_subset(&wanted), "{}", sample.preset.name);
        // Every one of them is in a token of this provider, or a pull request's.
        let absent: Vec<_> = wanted.iter().filter(|claim| !sample.claims.contains_key(**claim)).collect();
        assert!(
            absent.iter().all(|claim| claim.contains("pull_request")),
            "{}: {absent:?}",
            sample.preset.name
        );
    }
}

#[test]
fn claims_that_contradict_each_other_are_refused() {
    for sample in Sample::all() {
        for (claim, changes) in &sample.disagreeing {
            sample.refused(&sample.claims(changes), claim);
        }
    }
}

#[test]
fn the_audience_has_the_form_that_the_preset_says() {
    for sample in Sample::all() {
        let name = sample.preset.name;
        let audience = match &sample.claims["aud"] {
            Value::Array(list) => list[0].clone(),
            text => text.clone(),
        };
        assert!(sample.with(&json!({"aud": audience})).is_ok(), "{name}");
        let list = sample.with(&json!({"aud": [audience]}));
        assert_eq!(list.is_ok(), sample.preset.audience_list, "{name}");
        for wrong in [json!([audience, "x"]), json!([]), json!("x"), json!(1), json!({}), json!([[audience]])]
        {
            assert!(sample.with(&json!({"aud": wrong})).is_err(), "{name}: {wrong}");
        }
    }
}

#[test]
fn an_id_is_required_only_where_the_preset_says_so() {
    for sample in Sample::all() {
        let name = sample.preset.name;
        let requires = sample.preset.required_claims.contains(&"jti");
        let without = sample.with(&json!({"jti": null}));
        assert_eq!(without.is_ok(), !requires, "{name}");
    }
}

#[test]
fn what_rules_can_say() {
    let mut table = String::new();
    for preset in Preset::ALL.into_iter().filter(|preset| !preset.rule_keys.is_empty()) {
        writeln!(table, "{}", preset.name).unwrap();
        for RuleKey { key, claim, compare, form, identifies } in preset.rule_keys {
            let who = if *identifies { "who" } else { "what" };
            writeln!(table, "  {key} = {claim}, {compare:?}, {form:?}, {who}").unwrap();
        }
    }
    insta::assert_snapshot!(table, @"
    github
      repository = repository, FoldCase, Text, who
      repository_id = repository_id, Id, Number, who
      repository_owner_id = repository_owner_id, Id, Number, who
      workflow = workflow_ref, Exact, Text, what
      job_workflow = job_workflow_ref, Exact, Text, what
      environment = environment, FoldCase, Text, what
      ref = ref, Exact, Text, what
      tag = ref, Exact, Text, what
      branch = ref, Exact, Text, what
      event = event_name, Exact, Text, what
    github-enterprise-server
      repository = repository, FoldCase, Text, who
      repository_id = repository_id, Id, Number, who
      repository_owner_id = repository_owner_id, Id, Number, who
      workflow = workflow_ref, Exact, Text, what
      job_workflow = job_workflow_ref, Exact, Text, what
      environment = environment, FoldCase, Text, what
      ref = ref, Exact, Text, what
      tag = ref, Exact, Text, what
      branch = ref, Exact, Text, what
      event = event_name, Exact, Text, what
    gitlab
      project_path = project_path, FoldCase, Text, who
      project_id = project_id, Id, Number, who
      namespace_path = namespace_path, FoldCase, Text, who
      namespace_id = namespace_id, Id, Number, who
      workflow = ci_config_ref_uri, Exact, Text, what
      environment = environment, Exact, Text, what
      ref = ref_path, Exact, Text, what
      tag = ref_path, Exact, Text, what
      branch = ref_path, Exact, Text, what
      event = pipeline_source, Exact, Text, what
    google
      email = email, Exact, WrittenOut, who
      subject = sub, Exact, WrittenOut, who
    activestate
      organization = organization, Exact, WrittenOut, who
      organization_id = organization_id, Exact, WrittenOut, who
      project = project, Exact, WrittenOut, who
      project_id = project_id, Exact, WrittenOut, who
      actor_id = actor_id, Exact, WrittenOut, who
    circleci
      organization_id = oidc.circleci.com/org-id, Exact, Uuid, who
      project_id = oidc.circleci.com/project-id, Exact, Uuid, who
      pipeline_definition_id = oidc.circleci.com/pipeline-definition-id, Exact, Uuid, who
      repository = oidc.circleci.com/vcs-origin, FoldCase, WrittenOut, who
      context_id = oidc.circleci.com/context-ids, Exact, Uuid, what
      ref = oidc.circleci.com/vcs-ref, Exact, Text, what
      tag = oidc.circleci.com/vcs-ref, Exact, Text, what
      branch = oidc.circleci.com/vcs-ref, Exact, Text, what
    buildkite
      organization_id = organization_id, Exact, Uuid, who
      organization = organization_slug, Exact, WrittenOut, who
      pipeline_id = pipeline_id, Exact, Uuid, who
      pipeline = pipeline_slug, Exact, Text, who
      step = step_key, Exact, Text, what
      ref = build_branch, Exact, Text, what
      tag = build_tag, Exact, Text, what
      branch = build_branch, Exact, Text, what
      event = build_source, Exact, Text, what
    azure-devops
      organization_id = org_id, Exact, Uuid, who
      project_id = prj_id, Exact, Uuid, who
      pipeline_id = def_id, Id, Number, who
      repository = rpo_uri, FoldCase, WrittenOut, who
      repository_id = rpo_id, Exact, WrittenOut, who
      ref = rpo_ref, Exact, Text, what
      tag = rpo_ref, Exact, Text, what
      branch = rpo_ref, Exact, Text, what
    bitbucket
      repository_uuid = repositoryUuid, Exact, BracedUuid, who
      workspace_uuid = workspaceUuid, Exact, BracedUuid, who
      environment_uuid = deploymentEnvironmentUuid, Exact, BracedUuid, what
      branch = branchName, Exact, Text, what
    forgejo
      repository = repository, FoldCase, Text, who
      repository_id = repository_id, Id, Number, who
      repository_owner_id = repository_owner_id, Id, Number, who
      workflow = workflow_ref, Exact, Text, what
      ref = ref, Exact, Text, what
      tag = ref, Exact, Text, what
      branch = ref, Exact, Text, what
      event = event_name, Exact, Text, what
    jenkins
      subject = sub, Exact, WrittenOut, who
    kubernetes
      namespace = kubernetes.io.namespace, Exact, WrittenOut, who
      service_account = kubernetes.io.serviceaccount.name, Exact, WrittenOut, who
      service_account_uid = kubernetes.io.serviceaccount.uid, Exact, WrittenOut, who
    semaphore
      organization_id = org_id, Exact, Uuid, who
      organization = org, Exact, WrittenOut, who
      project_id = prj_id, Exact, Uuid, who
      project = prj, Exact, WrittenOut, who
      repository = repo_slug, FoldCase, WrittenOut, who
      ref = ref, Exact, Text, what
      tag = ref, Exact, Text, what
      branch = ref, Exact, Text, what
      event = ref_type, Exact, Text, what
    codefresh
      account_id = account_id, Exact, WrittenOut, who
      pipeline_id = pipeline_id, Exact, WrittenOut, who
      pipeline = pipeline_name, Exact, Text, who
      repository = scm_repo_url, FoldCase, WrittenOut, who
      scm_ref = scm_ref, Exact, Text, what
      event = sub, Exact, Text, what
    ");
}
