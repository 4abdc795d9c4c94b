//! Who may upload what: rules, and the one decision. Pure: no clock, no network, no log.

mod claims;

pub use claims::VerifiedClaims;
