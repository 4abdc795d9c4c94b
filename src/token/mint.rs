//! Making upload tokens and reading them back: verified claims out, the same verified claims in.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{PREFIX, TokenKeys};
use crate::clock::Timestamp;
use crate::names::{IndexName, IssuerName};
use crate::policy::VerifiedClaims;
use crate::secret::Secret;

/// Mints and verifies upload tokens of one gateway.
#[derive(Clone, Debug)]
pub struct Tokens {
    keys: TokenKeys,
    gateway: String,
    lifetime: Duration,
}

/// A token that was just made.
#[derive(Debug)]
pub struct Minted {
    /// The token itself, one line.
    pub token: Secret<String>,
    /// What logs and the audit call it.
    pub id: String,
    /// The first second in which it is no longer valid.
    pub expires: Timestamp,
}

/// What narrows a token beyond what its identity may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// It is for this index alone.
    pub index: Option<IndexName>,
    /// It is for one upload.
    pub single_use: bool,
}

/// What a valid upload token proves.
#[derive(Clone, Debug)]
pub struct UploadIdentity {
    /// Who made the exchange.
    pub claims: VerifiedClaims,
    /// What it was narrowed to.
    pub terms: Terms,
    /// The token's id.
    pub token_id: String,
    /// The first second in which the token is no longer valid.
    pub expires: Timestamp,
}

/// Why something that looks like an upload token is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Its signature, form, type or audience is wrong.
    #[error("the upload token is not valid for this gateway; exchange a new identity token")]
    Invalid,
    /// Its time is over.
    #[error("the upload token has expired; exchange a new identity token")]
    Expired,
    /// It was given back, by `burn-token`.
    #[error("the upload token was revoked; exchange a new identity token")]
    Revoked,
    /// It was for one upload, and that is made or being made.
    #[error("the upload token was for one upload and is used; exchange a new identity token")]
    Used,
}

/// The payload. Unknown members are refused: only this program writes these tokens.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    iss: String,
    aud: String,
    iat: Timestamp,
    exp: Timestamp,
    jti: String,
    issuer: IssuerName,
    facts: BTreeMap<String, String>,
    claims: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<IndexName>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    single_use: bool,
}

/// Neither an identity provider nor another program writes this type, so no other token can pass for one of ours.
const TYPE: &str = "indexgate-upload+jwt";

impl Tokens {
    /// `gateway` tells gateways apart that share a key by accident: its public URL.
    pub const fn new(keys: TokenKeys, gateway: String, lifetime: Duration) -> Self {
        Self { keys, gateway, lifetime }
    }

    /// The keys.
    pub const fn keys(&self) -> &TokenKeys {
        &self.keys
    }

    /// Makes a token that carries what was verified. `None` if the system gives no random bytes.
    pub fn mint(&self, claims: &VerifiedClaims, terms: Terms, now: Timestamp) -> Option<Minted> {
        let id = random_id()?;
        let expires = now.after(self.lifetime);
        let key = self.keys.current();
        let header =
            Header { typ: Some(TYPE.to_owned()), kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
        let payload = Payload {
            iss: self.gateway.clone(),
            aud: self.gateway.clone(),
            iat: now,
            exp: expires,
            jti: id.clone(),
            issuer: claims.issuer().clone(),
            facts: claims.facts().clone(),
            claims: claims.claims().clone(),
            index: terms.index,
            single_use: terms.single_use,
        };
        let signed =
            jsonwebtoken::encode(&header, &payload, &EncodingKey::from_secret(key.key.expose())).ok()?;
        Some(Minted { token: Secret::new(format!("{PREFIX}{signed}")), id, expires })
    }

    /// Reads a token back. There is no leeway: the gateway wrote the times itself.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<UploadIdentity, BadToken> {
        let payload = self.authentic(token).ok_or(BadToken::Invalid)?;
        if payload.exp <= now || payload.iat > now.after(Duration::from_secs(30)) {
            return Err(BadToken::Expired);
        }
        Ok(UploadIdentity {
            claims: VerifiedClaims::assertion(payload.issuer, payload.facts, payload.claims),
            terms: Terms { index: payload.index, single_use: payload.single_use },
            token_id: payload.jti,
            expires: payload.exp,
        })
    }

    fn authentic(&self, token: &str) -> Option<Payload> {
        let jwt = token.strip_prefix(PREFIX)?;
        let header = jsonwebtoken::decode_header(jwt).ok()?;
        if header.typ.as_deref() != Some(TYPE) {
            return None;
        }
        let key = self.keys.by_id(header.kid.as_deref()?)?;
        let decoding = DecodingKey::from_secret(key.key.expose());
        let payload = jsonwebtoken::decode::<Payload>(jwt, &decoding, &self.validation()).ok()?;
        Some(payload.claims)
    }

    /// What the library checks: the signature, that it is HS256, issuer and audience. Times are ours, because the
    /// library reads the machine's clock.
    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&self.gateway]);
        validation.set_audience(&[&self.gateway]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation
    }
}

fn random_id() -> Option<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_000);

    fn tokens_in(folder: &Path, gateway: &str) -> Tokens {
        let keys = TokenKeys::load(&folder.join("token.key"), &[]).unwrap();
        Tokens::new(keys, gateway.to_owned(), Duration::from_secs(900))
    }

    fn claims() -> VerifiedClaims {
        let facts = BTreeMap::from([("repository".to_owned(), "acme/billing".to_owned())]);
        let raw = serde_json::json!({"sha": "3f1c", "run_id": "7"}).as_object().unwrap().clone();
        VerifiedClaims::assertion("github".parse().unwrap(), facts, raw)
    }

    #[test]
    fn a_token_gives_back_what_was_verified() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens_in(folder.path(), "https://gw.test");
        let minted = tokens.mint(&claims(), Terms::default(), NOW).unwrap();
        let identity = tokens.verify(minted.token.expose(), NOW).unwrap();
        assert_eq!(identity.claims, claims());
        assert_eq!(identity.token_id, minted.id);
        assert_eq!(minted.expires, Timestamp(NOW.0 + 900));
        assert!(minted.token.expose().starts_with("indexgate-eyJ"));
    }

    #[test]
    fn a_token_gives_back_what_it_was_narrowed_to() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens_in(folder.path(), "https://gw.test");
        let index = Some("prod".parse().unwrap());
        for terms in [
            Terms::default(),
            Terms { index: index.clone(), single_use: false },
            Terms { index: None, single_use: true },
            Terms { index, single_use: true },
        ] {
            let minted = tokens.mint(&claims(), terms.clone(), NOW).unwrap();
            assert_eq!(tokens.verify(minted.token.expose(), NOW).unwrap().terms, terms);
        }
    }

    #[test]
    fn a_token_ends_at_its_time_to_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens_in(folder.path(), "https://gw.test");
        let minted = tokens.mint(&claims(), Terms::default(), NOW).unwrap();
        let verify = |at| tokens.verify(minted.token.expose(), Timestamp(at)).map(|_| ());
        assert_eq!(verify(NOW.0 + 899), Ok(()));
        assert_eq!(verify(NOW.0 + 900), Err(BadToken::Expired));
        assert_eq!(verify(NOW.0 - 31), Err(BadToken::Expired), "a token from the future");
    }

    #[test]
    fn another_gateway_or_another_key_is_not_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let other_folder = tempfile::tempdir().unwrap();
        let minted =
            tokens_in(folder.path(), "https://gw.test").mint(&claims(), Terms::default(), NOW).unwrap();
        for stranger in [
            tokens_in(folder.path(), "https://other.test"),
            tokens_in(other_folder.path(), "https://gw.test"),
        ] {
            assert_eq!(stranger.verify(minted.token.expose(), NOW).map(|_| ()), Err(BadToken::Invalid));
        }
    }

    #[test]
    fn a_previous_key_is_accepted_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let load = |current: &str, previous: &[std::path::PathBuf]| {
            let keys = TokenKeys::load(&path(current), previous).unwrap();
            Tokens::new(keys, "https://gw.test".to_owned(), Duration::from_secs(900))
        };
        let minted = load("a.key", &[]).mint(&claims(), Terms::default(), NOW).unwrap();
        assert!(load("b.key", &[path("a.key")]).verify(minted.token.expose(), NOW).is_ok());
        assert!(load("b.key", &[]).verify(minted.token.expose(), NOW).is_err());
    }

    #[test]
    fn every_spoiled_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens_in(folder.path(), "https://gw.test");
        let token = tokens.mint(&claims(), Terms::default(), NOW).unwrap().token.expose().clone();
        for at in 0..token.len() {
            let mut spoiled = token.clone().into_bytes();
            spoiled[at] = if spoiled[at] == b'A' { b'B' } else { b'A' };
            let spoiled = String::from_utf8(spoiled).unwrap();
            assert!(tokens.verify(&spoiled, NOW).is_err(), "byte {at}");
        }
        for spoiled in [
            format!("{token}A"),
            format!("{token}="),
            format!("{token} x"),
            token.repeat(2),
            token[..token.len() - 1].to_owned(),
        ] {
            assert!(tokens.verify(&spoiled, NOW).is_err());
        }
    }

    #[test]
    fn a_token_of_another_type_or_algorithm_is_not_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens_in(folder.path(), "https://gw.test");
        let key = tokens.keys.current();
        let payload: Value = {
            let minted = tokens.mint(&claims(), Terms::default(), NOW).unwrap();
            let body = minted.token.expose().split('.').nth(1).unwrap().to_owned();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
        };
        let sign = |algorithm, typ: Option<&str>, kid: Option<&str>, payload: &Value| {
            let header =
                Header { typ: typ.map(str::to_owned), kid: kid.map(str::to_owned), ..Header::new(algorithm) };
            let key = EncodingKey::from_secret(key.key.expose());
            format!("{PREFIX}{}", jsonwebtoken::encode(&header, payload, &key).unwrap())
        };
        let verify = |token: &str| tokens.verify(token, NOW).is_ok();
        let (typ, kid) = (Some(TYPE), Some(key.id.as_str()));
        assert!(verify(&sign(Algorithm::HS256, typ, kid, &payload)));
        assert!(!verify(&sign(Algorithm::HS512, typ, kid, &payload)));
        assert!(!verify(&sign(Algorithm::HS256, Some("JWT"), kid, &payload)));
        assert!(!verify(&sign(Algorithm::HS256, None, kid, &payload)));
        assert!(!verify(&sign(Algorithm::HS256, typ, Some("other"), &payload)));
        assert!(!verify(&sign(Algorithm::HS256, typ, None, &payload)));
        for member in ["iss", "aud", "exp", "jti", "issuer"] {
            let mut less = payload.clone();
            less.as_object_mut().unwrap().remove(member);
            assert!(!verify(&sign(Algorithm::HS256, typ, kid, &less)), "without {member}");
        }
        let none = format!(
            "{PREFIX}{}.{}.",
            URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","typ":"{TYPE}","kid":"{}"}}"#, key.id)),
            URL_SAFE_NO_PAD.encode(payload.to_string())
        );
        assert!(!verify(&none));
    }
}
