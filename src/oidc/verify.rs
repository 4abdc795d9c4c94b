//! Verification of an identity token: pure, at a given time, with a given key set.

use std::time::Duration;

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::{Flaw, TokenError};
use super::header::Header;
use super::jwks::KeySet;
use super::unverified::Unverified;
use super::{registered, replay};
use crate::clock::Timestamp;

/// What a token must say to be for us, from an issuer we trust.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The `iss` claim, byte for byte.
    pub issuer_url: &'a str,
    /// The `aud` claim, byte for byte.
    pub audience: &'a str,
    /// Whether `aud` may be a list of that one element (Kubernetes sends nothing else).
    pub audience_list_allowed: bool,
    /// What the issuer may sign with.
    pub algorithms: &'a [Algorithm],
    /// The longest time from `iat` to `exp`.
    pub max_lifetime: Duration,
}

/// An identity token whose signature, issuer, audience and times were checked. Only [`verify`] makes one.
#[derive(Clone, Debug)]
pub struct IdentityToken {
    issuer_url: String,
    claims: Map<String, Value>,
    expires: Timestamp,
    replay_key: [u8; 32],
}

impl IdentityToken {
    /// Who issued it: the `iss` claim.
    pub fn issuer_url(&self) -> &str {
        &self.issuer_url
    }

    /// Everything the issuer says.
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The `exp` claim. The token is accepted for another 30 s, and its replay key must outlive that.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// What to remember so that this token is used once: unique to issuer and `jti`, or to what was signed if the
    /// token has no `jti`.
    pub const fn replay_key(&self) -> [u8; 32] {
        self.replay_key
    }
}

/// Verifies a token. The signature comes last: [`TokenError::UnknownKey`] and [`TokenError::BadSignature`] mean
/// that nothing else is wrong, so that fetching newer keys can help.
pub fn verify(
    token: &Unverified<'_>,
    keys: &KeySet,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<IdentityToken, TokenError> {
    let (header, expires) = check_unsigned(token, expected, now)?;
    check_signature(token, &header, keys)?;
    let token_id = registered::token_id(token.claims())?;
    Ok(IdentityToken {
        issuer_url: expected.issuer_url.to_owned(),
        replay_key: replay::replay_key(expected.issuer_url, token_id, token.signing_input()),
        claims: token.claims().clone(),
        expires,
    })
}

/// Everything that can be said of a token without its issuer's keys. It proves nothing; `explain` shows it.
pub fn diagnose(token: &Unverified<'_>, expected: &Expected<'_>, now: Timestamp) -> Result<(), TokenError> {
    check_unsigned(token, expected, now).map(|_| ())
}

fn check_unsigned<'t>(
    token: &'t Unverified<'_>,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<(Header<'t>, Timestamp), TokenError> {
    let header = Header::check(token.header(), expected.algorithms)?;
    let expires = registered::check(token.claims(), expected, now)?;
    Ok((header, expires))
}

/// Checks the signature with the named key, if the key itself is for the algorithm. Two keys of different kinds
/// may share a name (RFC 7517 §4.5), so each that fits is tried.
fn check_signature(token: &Unverified<'_>, header: &Header<'_>, keys: &KeySet) -> Result<(), TokenError> {
    let kid = || header.key_id.to_owned();
    if !keys.contains(header.key_id) {
        return Err(TokenError::UnknownKey(kid()));
    }
    let mut fitting = keys.named(header.key_id).filter(|key| key.fits(header.algorithm)).peekable();
    if fitting.peek().is_none() {
        return Err(Flaw::KeyUse(kid()).into());
    }
    let signed = |key: &super::jwks::Key| {
        let input = token.signing_input().as_bytes();
        let algorithm = header.algorithm.in_library();
        jsonwebtoken::crypto::verify(token.signature(), input, key.verifier(), algorithm).unwrap_or(false)
    };
    if fitting.any(signed) { Ok(()) } else { Err(TokenError::BadSignature(kid())) }
}

#[cfg(test)]
mod tests;
