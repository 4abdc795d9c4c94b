//! An identity token in, verified claims out.
//!
//! ```text
//! JWT ── Unverified::read ──> Unverified ── verify(token, keys, expected, now) ──> IdentityToken
//!                                │ issuer()            ▲                               │
//!                                ▼                     │ KeySet                        │ Preset::read
//!                         the issuer's KeyStore ───────┘                               ▼
//!                         (fetches in the background)                        policy::VerifiedClaims
//! ```
//!
//! [`identify`] arranges the first line for a server: it waits for keys where that can help. Everything else is
//! pure, apart from [`KeyStore`] and [`fetch_keys`], the only places that open a connection.

mod algorithm;
mod error;
mod fetch;
mod header;
mod identify;
mod jwks;
mod keys;
mod preset;
mod registered;
mod replay;
#[cfg(test)]
mod testing;
mod unverified;
mod url;
mod verify;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use error::{Flaw, TokenError};
pub use fetch::{Discovery, FetchError, IssuerAnswer, check_issuer, fetch_keys};
pub use identify::{IdentifyError, identify};
pub use jwks::{BadKeySet, KeySet, SkippedKey};
pub use keys::{IssuerKeys, KeySource, KeyStore, KeysUnavailable};
pub use preset::{ClaimProblem, FixedAudience, Form, OwnerPin, Preset, RuleKey};
pub use unverified::Unverified;
pub use url::{BadUrl, HttpsUrl};
pub use verify::{Expected, IdentityToken, diagnose, verify};
