//! What a verified identity says, in the words the rules use.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::names::IssuerName;

/// The claims of an identity token whose signature, issuer, audience and times were checked.
///
/// A value of this type is a proof. It is made by [`VerifiedClaims::assertion`] in `oidc`, from an identity
/// token, and in `token`, from an upload token that carries what was proved when it was minted; nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedClaims {
    issuer: IssuerName,
    facts: BTreeMap<String, String>,
    claims: Map<String, Value>,
}

impl VerifiedClaims {
    /// States that `facts` and `claims` were verified to come from `issuer`.
    ///
    /// `facts` hold what rule keys such as `repository` or `workflow` are compared with, under the name of the
    /// rule key; a preset has already taken them out of the claims and checked that they do not contradict each
    /// other. `claims` are the token's own members, for rules with `claims = { … }` and for the audit.
    pub const fn assertion(
        issuer: IssuerName,
        facts: BTreeMap<String, String>,
        claims: Map<String, Value>,
    ) -> Self {
        Self { issuer, facts, claims }
    }

    /// The same claims again, out of the record of a decision that was made when they were verified. For `explain`,
    /// where nothing hangs on it.
    pub const fn recalled(
        issuer: IssuerName,
        facts: BTreeMap<String, String>,
        claims: Map<String, Value>,
    ) -> Self {
        Self { issuer, facts, claims }
    }

    /// Who vouches for this identity.
    pub const fn issuer(&self) -> &IssuerName {
        &self.issuer
    }

    /// What the rule key `key` is compared with, if the identity says anything about it.
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.facts.get(key).map(String::as_str)
    }

    /// A claim as it stood in the identity token.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// All facts, by rule key.
    pub const fn facts(&self) -> &BTreeMap<String, String> {
        &self.facts
    }

    /// All claims that are kept.
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}
