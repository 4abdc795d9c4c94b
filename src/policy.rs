//! Who may upload what: rules, and the one decision. Pure: no clock, no network, no log.

mod claims;
mod compare;
mod decide;
mod expected;
mod explain;
mod glob;
mod index;
mod passwords;
mod permit;
mod rule;
mod trail;

#[cfg(test)]
mod tests;

pub use claims::VerifiedClaims;
pub use compare::Compare;
pub use decide::{Asked, Decision, Grant, decide, survey};
pub use expected::{Expected, JsonPattern, TextPattern, VersionTag};
pub use explain::{Detail, why_no_token, why_no_token_for, why_no_upload};
pub use glob::{BadGlob, Glob};
pub use index::PublisherIndex;
pub use permit::Permit;
pub use rule::{
    Condition, Mode, PasswordRule, Passwords, ProjectPattern, Projects, Publisher, Restriction, Rules,
    Source, Versions,
};
pub use trail::{Check, Trial};
