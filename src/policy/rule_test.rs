//! A `[[test]]`: what an administrator expects of the rules, held against the one decision.

use super::{Asked, DESCRIBED, Decision, Finding, Rules, VerifiedClaims, decide, survey};
use crate::clock::Timestamp;
use crate::names::PublisherName;

/// An identity, a question and the answer that is expected.
#[derive(Clone, Debug)]
pub struct RuleTest {
    /// What the test is called.
    pub name: String,
    /// Whose identity it is; or why no rule would ever get to see it.
    pub identity: Result<VerifiedClaims, NoIdentity>,
    /// The upload that is asked about; without one it is the exchange.
    pub asked: Option<Asked>,
    /// What the rules should say.
    pub expect: Verdict,
}

/// Claims that no token may have: it is refused before any rule is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoIdentity {
    /// The claim at fault.
    pub claim: String,
    /// What is wrong with it.
    pub why: String,
}

/// What a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A publisher grants it; this one, if one is named.
    Allow(Option<PublisherName>),
    /// No publisher does; for this key or claim, among other reasons, if one is named.
    Refuse(Option<String>),
}

impl RuleTest {
    /// Asks the rules. The error says what was expected, what came, and why.
    pub fn run(&self, rules: &Rules, now: Timestamp) -> Result<(), String> {
        let claims = match &self.identity {
            Ok(claims) => claims,
            Err(no_identity) => return self.without_identity(no_identity),
        };
        let asked = self.asked.as_ref();
        let decision = decide(rules, claims, asked, now);
        let granting = || decision.trail.iter().filter(|trial| trial.grants()).map(|trial| &trial.publisher);
        let why = || explained(&survey(rules, claims, asked, now));
        match (&self.expect, granting().next()) {
            (Verdict::Allow(None), Some(_)) | (Verdict::Refuse(None), None) => Ok(()),
            (Verdict::Allow(Some(name)), Some(_)) if granting().any(|granting| granting == name) => Ok(()),
            (Verdict::Allow(Some(name)), Some(other)) => Err(format!(
                "expected that publisher `{name}` allows it, but publisher `{other}` does: {}",
                why()
            )),
            (Verdict::Allow(_), None) => Err(format!("expected allow, got refuse: {}", why())),
            (Verdict::Refuse(_), Some(publisher)) => {
                Err(format!("expected refuse, got allow by publisher `{publisher}`"))
            }
            (Verdict::Refuse(Some(because)), None) => {
                let survey = survey(rules, claims, asked, now);
                let about = |finding: Finding| finding.is_about(because);
                let mut named = nearest(&survey).flat_map(|trial| trial.misses());
                if named.any(about) {
                    return Ok(());
                }
                Err(format!(
                    "expected refuse because of `{because}`, got refuse for other reasons: {}",
                    why()
                ))
            }
        }
    }

    fn without_identity(&self, NoIdentity { claim, why }: &NoIdentity) -> Result<(), String> {
        match &self.expect {
            Verdict::Refuse(None) => Ok(()),
            Verdict::Refuse(Some(because)) if because == claim => Ok(()),
            Verdict::Refuse(Some(because)) => {
                Err(format!("expected refuse because of `{because}`, got refuse before any rule: {why}"))
            }
            Verdict::Allow(_) => Err(format!("expected allow, got refuse before any rule: {why}")),
        }
    }
}

fn nearest(decision: &Decision) -> impl Iterator<Item = &super::Trial> {
    decision.trail.iter().take(DESCRIBED)
}

fn explained(decision: &Decision) -> String {
    let lines: Vec<String> = nearest(decision).map(ToString::to_string).collect();
    if lines.is_empty() { "the issuer has no publisher".to_owned() } else { lines.join(" | ") }
}
