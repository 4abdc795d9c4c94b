//! Who may upload what: rules, and the one decision. Pure: no clock, no network, no log.

mod claims;
mod compare;

pub use claims::VerifiedClaims;
pub use compare::Compare;
