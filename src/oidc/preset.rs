//! What each kind of issuer calls things: presets. A preset is data, in one small file each; it knows which claims
//! there are, which must be there, and what the rule keys of a publisher are compared with.

mod activestate;
mod azure_devops;
mod bitbucket;
mod buildkite;
mod circleci;
mod claims;
mod codefresh;
mod forgejo;
mod generic;
mod github;
mod github_enterprise_server;
mod gitlab;
mod google;
mod jenkins;
mod kubernetes;
mod problem;
mod revision;
mod rule_key;
mod semaphore;
mod workflow;

#[cfg(test)]
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value};

use self::claims::Claims;
pub use self::problem::ClaimProblem;
pub use self::rule_key::{Form, RuleKey};
use self::rule_key::{braced_uuid, exact, fold_case, fold_case_name, id, name, uuid};
use super::algorithm::Algorithm;
use super::verify::IdentityToken;
use crate::names::IssuerName;
use crate::policy::{Compare, Glob, VerifiedClaims};

/// A kind of issuer.
#[derive(Debug)]
pub struct Preset {
    /// The name in the configuration.
    pub name: &'static str,
    /// Where the public instance is, if there is one.
    pub public_issuer: Option<&'static str>,
    /// What stands behind `https://` in the issuer's URL, as globs; empty if that may be anything.
    pub issuer_forms: &'static [&'static str],
    /// Hosts besides the issuer's that serve its keys.
    pub jwks_hosts: &'static [&'static str],
    /// What it signs with, unless configured otherwise.
    pub algorithms: &'static [Algorithm],
    /// The longest life of a token, unless configured otherwise.
    pub max_lifetime: Duration,
    /// Whether `aud` may be a list of one.
    pub audience_list: bool,
    /// The audience of all its tokens, if a job cannot ask for another one. Such a token is not made for us: whoever
    /// else gets it can use it here. So the configuration must say that this is accepted.
    pub fixed_audience: Option<FixedAudience>,
    /// Claims without which a token is refused.
    pub required_claims: &'static [&'static str],
    /// Other claims that are known, so that a new one can be noticed. A `*` at the end stands for any rest.
    pub known_claims: &'static [&'static str],
    /// Claims that no rule may name, because issuers change what they look like.
    pub never_matched: &'static [&'static str],
    /// Claims that are kept for the audit: which commit of which project, by whom.
    pub provenance: &'static [&'static str],
    /// The keys of a `[[publisher]]` that this preset understands.
    pub rule_keys: &'static [RuleKey],
    /// The keys that every `[[publisher]]` must have: of each group at least one.
    pub required_rule_keys: &'static [&'static [&'static str]],
    /// The rule key that needs another one beside it if it is a glob.
    pub owner_pin: Option<OwnerPin>,
    /// What may start a run, unless the publisher lists events itself: nothing that strangers can cause.
    pub default_events: &'static [&'static str],
    /// Events that a publisher may list only with `dangerous_events = true`: strangers start them, or choose what
    /// they work on.
    pub dangerous_events: &'static [&'static str],
    facts: fn(&Claims<'_>, issuer_url: &str) -> Result<Facts, ClaimProblem>,
}

/// An audience that no job can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedAudience {
    /// This text.
    Text(&'static str),
    /// The issuer's own URL, unless it is new enough to let a job choose.
    IssuerUrl,
}

/// Names of owners are given away again; their ids are not. So a glob over an owner's repositories needs the id.
#[derive(Clone, Copy, Debug)]
pub struct OwnerPin {
    /// The key whose value begins with the owner: `repository`.
    pub path_key: &'static str,
    /// The key that pins the owner: `repository_owner_id`.
    pub id_key: &'static str,
}

/// What rule keys are compared with, by rule key.
type Facts = BTreeMap<String, String>;

/// The fact that events are compared with, in every preset.
const EVENT_KEY: &str = "event";

impl Preset {
    /// The preset of that name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|preset| preset.name == name)
    }

    /// Every preset.
    pub const ALL: [&'static Self; 15] = [
        &github::PRESET,
        &github_enterprise_server::PRESET,
        &gitlab::PRESET,
        &google::PRESET,
        &activestate::PRESET,
        &circleci::PRESET,
        &buildkite::PRESET,
        &azure_devops::PRESET,
        &bitbucket::PRESET,
        &forgejo::PRESET,
        &jenkins::PRESET,
        &kubernetes::PRESET,
        &semaphore::PRESET,
        &codefresh::PRESET,
        &generic::PRESET,
    ];

    /// The keys that a `[[publisher]]` of one preset or another may have. Events are not among them: a publisher
    /// lists those in `events`.
    pub fn publisher_keys() -> &'static [&'static str] {
        static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
            let all = Preset::ALL.iter().flat_map(|preset| preset.rule_keys).map(|rule_key| rule_key.key);
            let distinct: BTreeSet<_> = all.filter(|key| *key != EVENT_KEY).collect();
            distinct.into_iter().collect()
        });
        &KEYS
    }

    /// Whether an issuer of this kind can have this URL.
    pub fn fits_issuer(&self, url: &str) -> bool {
        let behind_scheme = url.strip_prefix("https://").unwrap_or_default();
        let fits =
            |form: &&str| form.parse::<Glob>().is_ok_and(|form| form.matches(behind_scheme, Compare::Exact));
        self.issuer_forms.is_empty() || self.issuer_forms.iter().any(fits)
    }

    /// The audience of all tokens of an issuer of this kind, if jobs cannot choose it.
    pub fn fixed_audience(&self, issuer_url: &str) -> Option<String> {
        self.fixed_audience.map(|fixed| match fixed {
            FixedAudience::Text(text) => text.to_owned(),
            FixedAudience::IssuerUrl => issuer_url.to_owned(),
        })
    }

    /// Takes out of a verified token what rules and audit need: checks that the claims are there, are of the
    /// right type, and agree with each other. `keep` names further claims that rules look at.
    pub fn read(
        &self,
        issuer: IssuerName,
        token: &IdentityToken,
        keep: &BTreeSet<String>,
    ) -> Result<VerifiedClaims, ClaimProblem> {
        self.suppose(issuer, token.issuer_url(), token.claims(), keep)
    }

    /// What [`Preset::read`] would give if a token of that issuer had these claims. For `check` and `explain`,
    /// where nothing hangs on it; a server has a token.
    pub fn suppose(
        &self,
        issuer: IssuerName,
        issuer_url: &str,
        claims: &Map<String, Value>,
        keep: &BTreeSet<String>,
    ) -> Result<VerifiedClaims, ClaimProblem> {
        let reader = Claims(claims);
        for claim in self.required_claims {
            reader.present(claim)?;
        }
        let facts = (self.facts)(&reader, issuer_url)?;
        Ok(VerifiedClaims::assertion(issuer, facts, self.kept(claims, keep)))
    }

    /// The rule key of that name.
    pub fn rule_key(&self, key: &str) -> Option<&'static RuleKey> {
        self.rule_keys.iter().find(|rule_key| rule_key.key == key)
    }

    /// Whether tokens of this issuer are known to have a claim.
    pub fn knows_claim(&self, claim: &str) -> bool {
        [self.required_claims, self.known_claims, self.provenance]
            .iter()
            .any(|claims| claims.contains(&claim))
    }

    /// The rule key that tells what started a run, if runs of this issuer have such a thing.
    pub fn event_key(&self) -> Option<&'static RuleKey> {
        self.rule_key(EVENT_KEY)
    }

    /// Claims that this preset has never heard of. They mean nothing, but somebody may want to know.
    pub fn unknown_claims<'a>(&self, claims: &'a Map<String, Value>) -> impl Iterator<Item = &'a str> {
        let lists = [REGISTERED, self.required_claims, self.known_claims, self.provenance];
        let known = move |claim: &str| {
            lists.iter().flat_map(|list| list.iter()).any(|known| match known.strip_suffix('*') {
                Some(start) => claim.starts_with(start),
                None => claim == *known,
            })
        };
        // A generic issuer may say anything.
        let any = self.known_claims.contains(&"*");
        claims.keys().map(String::as_str).filter(move |claim| !any && !known(claim))
    }

    fn kept(&self, claims: &Map<String, Value>, keep: &BTreeSet<String>) -> Map<String, Value> {
        let wanted = |claim: &str| keep.contains(claim) || self.provenance.contains(&claim) || claim == "sub";
        let pairs = claims.iter().filter(|(claim, _)| wanted(claim));
        pairs.map(|(claim, value)| (claim.clone(), value.clone())).collect()
    }
}

/// The claims every JWT may have (RFC 7519 §4.1).
const REGISTERED: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Facts from what a token states; what it does not state is no fact.
fn facts_of<'a>(stated: impl IntoIterator<Item = (&'static str, Option<&'a str>)>) -> Facts {
    let stated = stated.into_iter();
    stated.filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect()
}

/// What most issuers sign with.
const RS256: &[Algorithm] = &[Algorithm::Rs256];
const HOUR: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::testing::Forge;

    #[test]
    fn presets_are_found_by_name() {
        for preset in Preset::ALL {
            assert!(Preset::by_name(preset.name).is_some_and(|found| std::ptr::eq(found, preset)));
        }
        assert!(Preset::by_name("Github").is_none());
        assert!(Preset::by_name("").is_none());
    }

    #[test]
    fn what_a_preset_says_about_itself_fits_together() {
        for preset in Preset::ALL {
            let name = preset.name;
            let mut required = preset.required_rule_keys.iter().copied().flatten();
            assert!(
                required.all(|key| preset
                    .rule_key(key)
                    .is_some_and(|key| key.identifies || key.key == "workflow")),
                "{name}"
            );
            let pins = preset.owner_pin.iter().flat_map(|pin| [pin.path_key, pin.id_key]);
            assert!(pins.into_iter().all(|key| preset.rule_key(key).is_some()), "{name}");
            assert_eq!(preset.event_key().is_some(), !preset.default_events.is_empty(), "{name}");
            assert!(
                preset.default_events.iter().all(|event| !preset.dangerous_events.contains(event)),
                "{name}"
            );
        }
    }

    #[test]
    fn every_fact_has_a_rule_key() {
        for (preset, forge) in [("github", Forge::github()), ("gitlab", Forge::gitlab())] {
            let preset = Preset::by_name(preset).unwrap();
            let url = forge.claims["iss"].as_str().unwrap();
            let name = "x".parse().unwrap();
            let claims = preset.suppose(name, url, &forge.claims, &BTreeSet::new()).unwrap();
            assert!(claims.facts().keys().all(|key| preset.rule_key(key).is_some()));
        }
    }

    #[test]
    fn a_generic_issuer_gives_the_claims_that_rules_name_and_no_facts() {
        let keep = BTreeSet::from(["run_id".to_owned(), "absent".to_owned()]);
        let forge = Forge::github().without("jti");
        let generic = Preset::by_name("generic").unwrap();
        let claims = generic.suppose("x".parse().unwrap(), "https://x", &forge.claims, &keep).unwrap();
        assert!(claims.facts().is_empty());
        assert_eq!(claims.claims().keys().collect::<Vec<_>>(), ["sub", "run_id"]);
        assert_eq!(generic.unknown_claims(&forge.claims).count(), 0);
    }
}
