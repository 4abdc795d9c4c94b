//! Who may upload what: rules, and the one decision. Pure: no clock, no network, no log.

mod claims;
mod compare;
mod decide;
mod explain;
mod glob;
mod permit;
mod rule;
mod trail;

#[cfg(test)]
mod tests;

pub use claims::VerifiedClaims;
pub use compare::Compare;
pub use decide::{Asked, Decision, Grant, decide};
pub use explain::{Detail, why_no_token, why_no_upload};
pub use glob::{BadGlob, Glob};
pub use permit::Permit;
pub use rule::{
    Condition, Expected, JsonPattern, ProjectPattern, Publisher, Rules, Source, TextPattern, VersionTag,
};
pub use trail::{Check, Trial};
