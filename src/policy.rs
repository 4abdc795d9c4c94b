//! Who may upload what: rules, and the one decision. Pure: no clock, no network, no log.

mod advice;
mod claims;
mod compare;
mod decide;
mod expected;
mod explain;
mod finding;
mod glob;
mod index;
mod obstacle;
mod passwords;
mod permit;
mod report;
mod rule;
mod rule_test;
mod trail;

#[cfg(test)]
mod tests;

pub use advice::{Remedy, listed, quoted};
pub use claims::VerifiedClaims;
pub use compare::Compare;
pub use decide::{Asked, Decision, Grant, decide, survey};
pub use expected::{Expected, JsonPattern, TextPattern, VersionTag};
pub use explain::{DESCRIBED, Detail, why_no_token, why_no_token_for, why_no_upload};
pub use finding::Finding;
pub use glob::{BadGlob, Glob};
pub use index::PublisherIndex;
pub use obstacle::Obstacle;
pub use permit::Permit;
pub use report::Paint;
pub use rule::{
    Condition, Mode, PasswordRule, Passwords, ProjectPattern, Projects, Publisher, Restriction, Rules,
    Source, Versions,
};
pub use rule_test::{NoIdentity, RuleTest, Verdict};
pub use trail::{Check, Trial};
