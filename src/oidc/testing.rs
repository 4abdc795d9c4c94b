//! Throw-away issuers for tests: a valid token from a builder, to be spoiled in one detail.

mod issuer;

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

pub(super) use self::issuer::{FakeIssuer, Fault};
use super::jwks::KeySet;
use crate::clock::Timestamp;

/// The time in all tests.
pub(super) const NOW: Timestamp = Timestamp(1_767_225_600);
pub(super) const GITHUB: &str = "https://token.actions.githubusercontent.com";
pub(super) const GITLAB: &str = "https://gitlab.example.org";
pub(super) const AUDIENCE: &str = "pypi.corp.example";

pub(super) enum SigningKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

/// The issuer's key, and that of somebody else.
pub(super) static RSA: LazyLock<SigningKey> = LazyLock::new(rsa);
pub(super) static OTHER_RSA: LazyLock<SigningKey> = LazyLock::new(rsa);
pub(super) static P256: LazyLock<SigningKey> = LazyLock::new(|| {
    SigningKey::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256")
});
pub(super) static P384: LazyLock<SigningKey> = LazyLock::new(|| {
    SigningKey::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), "P-384")
});
pub(super) static ED: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::Ed(Ed25519KeyPair::generate().unwrap()));

fn rsa() -> SigningKey {
    SigningKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

impl SigningKey {
    /// The public half as a JWK without `alg`.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        match self {
            // PKCS#1 DER of a 2048 bit key: SEQUENCE, INTEGER with a zero in front, INTEGER 65537.
            Self::Rsa(pair) => {
                let der = pair.public_key().as_ref();
                json!({"kty": "RSA", "kid": kid, "use": "sig", "n": base64(&der[9..265]), "e": "AQAB"})
            }
            Self::Ec(pair, curve) => {
                let (x, y) =
                    pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
                json!({"kty": "EC", "kid": kid, "crv": curve, "x": base64(x), "y": base64(y)})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": base64(pair.public_key().as_ref())})
            }
        }
    }

    /// The public half as PKCS#1 DER, for those who take it for a shared secret.
    pub(super) fn public_der(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ec(pair, _) => pair.public_key().as_ref().to_vec(),
            Self::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key set of these keys, as text.
pub(super) fn jwks(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// The issuer's key set: its RSA key, named `k1`.
pub(super) fn keys() -> KeySet {
    KeySet::parse(jwks(&[RSA.jwk("k1")]).as_bytes()).unwrap()
}

/// Makes tokens.
#[derive(Clone)]
pub(super) struct Forge {
    header: Map<String, Value>,
    header_text: Option<String>,
    pub claims: Map<String, Value>,
    payload_text: Option<String>,
    key: &'static LazyLock<SigningKey>,
}

impl Forge {
    /// A run of `release.yml` in `acme/widget` for tag `v1.2.0`.
    pub(super) fn github() -> Self {
        Self::new(&json!({
            "iss": GITHUB, "aud": AUDIENCE, "jti": "0b7c6f7e-5d0e-4a55-9d2a-0f2b6c1a9e11",
            "sub": "repo:acme@4411/widget@887766:environment:release",
            "iat": NOW.0 - 10, "nbf": NOW.0 - 310, "exp": NOW.0 + 290,
            "repository": "acme/widget", "repository_owner": "acme",
            "repository_owner_id": "4411", "repository_id": "887766",
            "workflow_ref": "acme/widget/.github/workflows/release.yml@refs/tags/v1.2.0",
            "job_workflow_ref": "acme/widget/.github/workflows/release.yml@refs/tags/v1.2.0",
            "ref": "refs/tags/v1.2.0", "ref_type": "tag", "sha": "3f1c0de93f1c0de93f1c0de93f1c0de93f1c0de9",
            "event_name": "push", "environment": "release",
            "actor": "maria", "run_id": "123456789", "run_attempt": "1", "run_number": "42",
        }))
    }

    /// A pipeline of `platform/libs/widget` for tag `v1.2.0`.
    pub(super) fn gitlab() -> Self {
        Self::new(&json!({
            "iss": GITLAB, "aud": AUDIENCE, "jti": "9b6f", "iat": NOW.0 - 10, "nbf": NOW.0 - 15, "exp": NOW.0 + 3590,
            "sub": "project_path:platform/libs/widget:ref_type:tag:ref:v1.2.0",
            "project_path": "platform/libs/widget", "project_id": "20",
            "namespace_path": "platform/libs", "namespace_id": "72",
            "user_login": "maria", "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
            "ref": "v1.2.0", "ref_type": "tag", "ref_path": "refs/tags/v1.2.0", "runner_id": 1,
            "environment": "release", "sha": "714a629c714a629c714a629c714a629c714a629c",
            "ci_config_ref_uri": "gitlab.example.org/platform/libs/widget//.gitlab-ci.yml@refs/tags/v1.2.0",
        }))
    }

    /// A token with these claims.
    pub(super) fn new(claims: &Value) -> Self {
        Self {
            header: object(&json!({"alg": "RS256", "typ": "JWT", "kid": "k1"})),
            header_text: None,
            claims: object(claims),
            payload_text: None,
            key: &RSA,
        }
    }

    pub(super) fn set(mut self, claim: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(claim.to_owned(), value.into());
        self
    }

    pub(super) fn without(mut self, claim: &str) -> Self {
        self.claims.remove(claim);
        self
    }

    pub(super) fn header(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.header.insert(member.to_owned(), value.into());
        self
    }

    pub(super) fn without_header(mut self, member: &str) -> Self {
        self.header.remove(member);
        self
    }

    pub(super) fn header_text(mut self, text: &str) -> Self {
        self.header_text = Some(text.to_owned());
        self
    }

    pub(super) fn payload_text(mut self, text: &str) -> Self {
        self.payload_text = Some(text.to_owned());
        self
    }

    /// Signs with another key, under another name for the algorithm.
    pub(super) fn key(self, key: &'static LazyLock<SigningKey>, algorithm: &str) -> Self {
        Self { key, ..self.header("alg", algorithm) }
    }

    /// Header and payload, without a signature.
    pub(super) fn unsigned(&self) -> String {
        let header = self.header_text.clone().unwrap_or_else(|| json!(self.header).to_string());
        let payload = self.payload_text.clone().unwrap_or_else(|| json!(self.claims).to_string());
        format!("{}.{}", base64(header.as_bytes()), base64(payload.as_bytes()))
    }

    pub(super) fn sign(&self) -> String {
        let input = self.unsigned();
        let algorithm = self.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        format!("{input}.{}", base64(&self.key.sign(algorithm, input.as_bytes())))
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}
