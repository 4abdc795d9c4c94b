//! A key set (RFC 7517 §5) as a value. A key that is of no use here is left out and its reason kept; it never
//! takes the good ones with it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::header::is_key_id;
use crate::names::printable;

/// The public keys of one issuer, by name. Two sets are equal if they were read from the same bytes.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
    fingerprint: [u8; 32],
}

/// Why a text is no key set. Whoever held an older set goes on with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// Too many bytes.
    #[error("key set is longer than 256 KiB")]
    Long,
    /// No JSON object with a list `keys`.
    #[error("key set is not a JSON object with a list `keys`")]
    Malformed,
    /// Too many keys.
    #[error("key set holds {0} keys, more than 100")]
    Many(usize),
    /// Nothing in it can verify a token.
    #[error("key set holds no usable key{}", .0.first().map(|first| format!(" (the first: {first})")).unwrap_or_default())]
    Empty(Vec<SkippedKey>),
}

/// A key that was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key `{}` left out: {why}", printable(.key_id.as_deref().unwrap_or("without a name")))]
pub struct SkippedKey {
    /// Its `kid`, if it has one.
    pub key_id: Option<String>,
    /// What is wrong with it.
    pub why: &'static str,
}

/// One public key.
#[derive(Clone)]
pub(super) struct Key {
    id: String,
    kind: Kind,
    algorithm: Option<Algorithm>,
    verifier: DecodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeySet {
    /// The most bytes a key set may have.
    pub const MAX_LENGTH: usize = 256 * 1024;
    /// The most keys a key set may have.
    pub const MAX_KEYS: usize = 100;

    /// Reads a key set.
    pub fn parse(text: &[u8]) -> Result<Self, BadKeySet> {
        if text.len() > Self::MAX_LENGTH {
            return Err(BadKeySet::Long);
        }
        let mut set = crate::json::parse(text).map_err(|_| BadKeySet::Malformed)?;
        let Some(Value::Array(entries)) = set.get_mut("keys").map(Value::take) else {
            return Err(BadKeySet::Malformed);
        };
        if entries.len() > Self::MAX_KEYS {
            return Err(BadKeySet::Many(entries.len()));
        }
        let mut this = Self { fingerprint: fingerprint(text), ..Self::default() };
        for entry in &entries {
            match Key::read(entry) {
                Ok(key) => this.keys.push(key),
                Err(why) => this.skipped.push(SkippedKey { key_id: name(entry), why }),
            }
        }
        if this.keys.is_empty() { Err(BadKeySet::Empty(this.skipped)) } else { Ok(this) }
    }

    /// Whether there is a key of that name.
    pub fn contains(&self, key_id: &str) -> bool {
        self.named(key_id).next().is_some()
    }

    /// The number of usable keys.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing can be verified with this set: true only of the default one.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that were left out.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    pub(super) fn named(&self, key_id: &str) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.id == key_id)
    }
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for KeySet {}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.keys.iter().map(|key| &key.id);
        f.write_str("KeySet ")?;
        f.debug_list().entries(names).finish()
    }
}

impl Key {
    /// Whether this key may check a signature of that kind: a key is for one family, and for one algorithm if it
    /// says so itself.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let family = match algorithm {
            Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 => Kind::Rsa,
            Es256 => Kind::P256,
            Es384 => Kind::P384,
            EdDsa => Kind::Ed25519,
        };
        self.kind == family && self.algorithm.is_none_or(|own| own == algorithm)
    }

    pub(super) const fn verifier(&self) -> &DecodingKey {
        &self.verifier
    }

    fn read(entry: &Value) -> Result<Self, &'static str> {
        let entry = entry.as_object().ok_or("not an object")?;
        let id = text(entry, "kid").filter(|kid| is_key_id(kid)).ok_or("no usable `kid`")?;
        check_public(entry)?;
        check_purpose(entry)?;
        let algorithm = match entry.get("alg") {
            None => None,
            Some(_) => Some(text(entry, "alg").and_then(|alg| alg.parse().ok()).ok_or("unknown `alg`")?),
        };
        let (kind, verifier) = match (text(entry, "kty"), text(entry, "crv")) {
            (Some("RSA"), _) => (Kind::Rsa, rsa(entry)?),
            (Some("EC"), Some("P-256")) => (Kind::P256, p256(entry)?),
            (Some("EC"), Some("P-384")) => (Kind::P384, p384(entry)?),
            (Some("OKP"), Some("Ed25519")) => (Kind::Ed25519, ed25519(entry)?),
            _ => return Err("neither RSA, P-256, P-384 nor Ed25519"),
        };
        Ok(Self { id: id.to_owned(), kind, algorithm, verifier })
    }
}

/// A private or shared key in a published set is no secret any more: whoever reads it can sign.
fn check_public(entry: &Map<String, Value>) -> Result<(), &'static str> {
    const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    let exposed = PRIVATE.iter().any(|member| entry.contains_key(*member));
    if exposed { Err("ALARM: its private part is published") } else { Ok(()) }
}

fn check_purpose(entry: &Map<String, Value>) -> Result<(), &'static str> {
    if entry.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err("`use` is not `sig`");
    }
    let may_verify = |list: &Value| list.as_array().is_some_and(|list| list.iter().any(|op| op == "verify"));
    if !entry.get("key_ops").is_none_or(may_verify) {
        return Err("`key_ops` is without `verify`");
    }
    Ok(())
}

fn rsa(entry: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    // Some issuers write numbers with leading zeros, as DER does (RFC 7518 §6.3.1.1 mentions them).
    let modulus = bytes(entry, "n")?;
    let modulus = without_zeros(&modulus);
    let exponent = bytes(entry, "e")?;
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err("RSA modulus is not of 2048 to 8192 bits");
    }
    if without_zeros(&exponent) != [1, 0, 1] {
        return Err("RSA exponent is not 65537");
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, &[1, 0, 1]))
}

fn p256(entry: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    let point = point(entry, 32)?;
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| "not a point of P-256")?;
    Ok(DecodingKey::from_ec_der(&point))
}

fn p384(entry: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    let point = point(entry, 48)?;
    ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point).map_err(|_| "not a point of P-384")?;
    Ok(DecodingKey::from_ec_der(&point))
}

fn ed25519(entry: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    let x = bytes(entry, "x")?;
    ParsedPublicKey::new(&ED25519, &x).map_err(|_| "not an Ed25519 key")?;
    Ok(DecodingKey::from_ed_der(&x))
}

/// An uncompressed point (SEC 1 §2.3.3), which is what the library takes for a "DER" key.
fn point(entry: &Map<String, Value>, size: usize) -> Result<Vec<u8>, &'static str> {
    let (x, y) = (bytes(entry, "x")?, bytes(entry, "y")?);
    if x.len() != size || y.len() != size {
        return Err("coordinates are not of the curve's length");
    }
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}

fn bytes(entry: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, &'static str> {
    let encoded = text(entry, member).ok_or("a number is missing")?;
    URL_SAFE_NO_PAD.decode(encoded).map_err(|_| "a number is not base64url")
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn text<'a>(entry: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    entry.get(member).and_then(Value::as_str)
}

fn name(entry: &Value) -> Option<String> {
    entry.get("kid").and_then(Value::as_str).map(str::to_owned)
}

fn fingerprint(text: &[u8]) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, text).as_ref());
    fingerprint
}

#[cfg(test)]
mod tests;
