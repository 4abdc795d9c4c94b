//! The registered claims (RFC 7519 §4.1): who issued the token, for whom, and when it counts. The library checks
//! some of them if they happen to be there, with its own clock; here each is checked always, at a given time.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::Flaw;
use super::verify::Expected;
use crate::clock::Timestamp;

/// How far the issuer's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(30);

/// The longest `jti`. Real ones are UUIDs.
const MAX_TOKEN_ID: usize = 1024;

/// Checks the registered claims and returns when the token ends.
pub(super) fn check(
    claims: &Map<String, Value>,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Timestamp, Flaw> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer_url) {
        return Err(Flaw::Issuer);
    }
    audience(claims, expected)?;
    let expires = times(claims, expected.max_lifetime, now)?;
    if claims.get("sub").is_some_and(|sub| !sub.is_string()) {
        return Err(Flaw::Form("sub", "a string"));
    }
    token_id(claims)?;
    Ok(expires)
}

/// The token's own id, if it has one. Whether it must have one is for the preset to say.
pub(super) fn token_id(claims: &Map<String, Value>) -> Result<Option<&str>, Flaw> {
    let Some(jti) = claims.get("jti") else { return Ok(None) };
    let usable = |jti: &&str| {
        jti.len() <= MAX_TOKEN_ID && !jti.trim().is_empty() && !jti.chars().any(char::is_control)
    };
    let flaw = Flaw::Form("jti", "a string of 1 to 1024 printable bytes");
    jti.as_str().filter(usable).map(Some).ok_or(flaw)
}

fn audience(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Flaw> {
    let stated = claims.get("aud").ok_or(Flaw::Missing("aud"))?;
    let only = match stated {
        Value::Array(list) if expected.audience_list_allowed && list.len() == 1 => &list[0],
        other => other,
    };
    if only.as_str() == Some(expected.audience) { Ok(()) } else { Err(Flaw::Audience(stated.to_string())) }
}

fn times(claims: &Map<String, Value>, max_lifetime: Duration, now: Timestamp) -> Result<Timestamp, Flaw> {
    let expires = time(claims, "exp")?.ok_or(Flaw::Missing("exp"))?;
    let issued = time(claims, "iat")?.ok_or(Flaw::Missing("iat"))?;
    if now > expires.after(LEEWAY) {
        return Err(Flaw::Expired(now.seconds_since(expires)));
    }
    not_future("iat", issued, now)?;
    if let Some(begins) = time(claims, "nbf")? {
        not_future("nbf", begins, now)?;
    }
    let lifetime = expires.seconds_since(issued);
    if expires < issued || expires > issued.after(max_lifetime) {
        return Err(Flaw::Lifetime(lifetime));
    }
    Ok(expires)
}

fn not_future(claim: &'static str, time: Timestamp, now: Timestamp) -> Result<(), Flaw> {
    if time > now.after(LEEWAY) { Err(Flaw::Future(claim, time.seconds_since(now))) } else { Ok(()) }
}

/// A time is a JSON integer that every JSON parser reads alike. A string or a fraction is no time: a library that
/// took such a claim for absent let tokens live for ever (CVE-2026-25537).
fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<Timestamp>, Flaw> {
    const LIMIT: i64 = 1 << 53;
    let Some(value) = claims.get(claim) else { return Ok(None) };
    match value.as_i64() {
        Some(seconds @ 0..LIMIT) => Ok(Some(Timestamp(seconds))),
        _ => Err(Flaw::Form(claim, "an integer number of seconds")),
    }
}
