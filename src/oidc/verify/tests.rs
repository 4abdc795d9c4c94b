use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::oidc::testing::{
    AUDIENCE, ED, Forge, GITHUB, NOW, OTHER_RSA, P256, P384, RSA, SigningKey, base64, jwks, keys,
};

const EXPECTED: Expected<'_> = Expected {
    issuer_url: GITHUB,
    audience: AUDIENCE,
    audience_list_allowed: false,
    algorithms: &[Algorithm::Rs256],
    max_lifetime: Duration::from_secs(3600),
};

fn outcome(jwt: &str) -> Result<IdentityToken, TokenError> {
    verify(&Unverified::read(jwt)?, &keys(), &EXPECTED, NOW)
}

#[track_caller]
fn good(forge: &Forge) {
    let outcome = outcome(&forge.sign());
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[track_caller]
fn invalid(forge: &Forge) {
    let outcome = outcome(&forge.sign());
    assert!(matches!(outcome, Err(TokenError::Invalid(_))), "{outcome:?}");
}

fn github() -> Forge {
    Forge::github()
}

#[test]
fn a_good_token_proves_its_claims() {
    let token = outcome(&github().sign()).unwrap();
    assert_eq!(token.issuer_url(), GITHUB);
    assert_eq!(token.claims(), &github().claims);
    assert_eq!(token.expires(), Timestamp(NOW.0 + 290));
}

// ── signature and key ──

#[test]
fn a_token_signed_by_another_key_is_refused() {
    let forged = github().key(&OTHER_RSA, "RS256").sign();
    assert_eq!(outcome(&forged).err(), Some(TokenError::BadSignature("k1".into())));
}

#[test]
fn a_token_of_an_unknown_key_says_so_only_if_all_else_is_right() {
    let jwt = github().header("kid", "k9").sign();
    assert_eq!(outcome(&jwt).err(), Some(TokenError::UnknownKey("k9".into())));
    invalid(&github().header("kid", "k9").set("aud", "pypi"));
    invalid(&github().header("kid", "k9").set("exp", NOW.0 - 31));
    invalid(&github().header("kid", "../../../../dev/null").key(&RSA, "HS256"));
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    for alg in ["none", "None", "NONE", "nOnE"] {
        let forge = github().header("alg", alg);
        let unsigned = format!("{}.", forge.unsigned());
        let signed = github().sign();
        let kept = format!("{}.{}", forge.unsigned(), signed.rsplit('.').next().unwrap());
        for jwt in [unsigned, kept, forge.sign()] {
            assert!(matches!(outcome(&jwt), Err(TokenError::Invalid(Flaw::Algorithm(_)))), "{alg}");
        }
    }
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    use aws_lc_rs::hmac;
    let der = RSA.public_der();
    let spki_header =
        b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00";
    let spki = [spki_header.as_slice(), &der].concat();
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &spki);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
    let jwk = RSA.jwk("k1").to_string();
    let modulus = &der[9..265];
    for secret in [pem.as_bytes(), format!("{pem}\n").as_bytes(), &spki, &der, jwk.as_bytes(), modulus, b""] {
        let input = github().header("alg", "HS256").unsigned();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        let outcome = outcome(&format!("{input}.{}", base64(tag.as_ref())));
        assert!(matches!(outcome, Err(TokenError::Invalid(Flaw::Algorithm(_)))));
    }
}

#[test]
fn an_algorithm_the_issuer_does_not_use_is_refused_however_well_it_is_signed() {
    for alg in ["RS384", "RS512", "PS256"] {
        invalid(&github().key(&RSA, alg));
    }
    invalid(&github().key(&P256, "ES256"));
}

#[test]
fn every_accepted_algorithm_verifies_with_its_own_kind_of_key_only() {
    let cases: [(&'static LazyLock<SigningKey>, Algorithm); 7] = [
        (&RSA, Algorithm::Rs256),
        (&RSA, Algorithm::Rs384),
        (&RSA, Algorithm::Rs512),
        (&RSA, Algorithm::Ps256),
        (&P256, Algorithm::Es256),
        (&P384, Algorithm::Es384),
        (&ED, Algorithm::EdDsa),
    ];
    let all = cases.map(|(_, algorithm)| algorithm);
    let expected = Expected { algorithms: &all, ..EXPECTED };
    for (signer, algorithm) in cases {
        let jwt = github().key(signer, algorithm.name()).sign();
        let token = Unverified::read(&jwt).unwrap();
        for (owner, _) in cases {
            let keys = KeySet::parse(jwks(&[owner.jwk("k1")]).as_bytes()).unwrap();
            let outcome = verify(&token, &keys, &expected, NOW);
            assert_eq!(outcome.is_ok(), std::ptr::eq(owner, signer), "{algorithm}");
        }
    }
}

#[test]
fn a_key_that_declares_another_algorithm_does_not_verify() {
    let mut key = RSA.jwk("k1");
    key["alg"] = json!("RS512");
    let keys = KeySet::parse(jwks(&[key]).as_bytes()).unwrap();
    let jwt = github().sign();
    let outcome = verify(&Unverified::read(&jwt).unwrap(), &keys, &EXPECTED, NOW);
    assert_eq!(outcome.err(), Some(Flaw::KeyUse("k1".into()).into()));
}

#[test]
fn of_two_keys_with_one_name_the_one_that_signed_counts() {
    let set = jwks(&[P256.jwk("k1"), OTHER_RSA.jwk("k1"), RSA.jwk("k1")]);
    let keys = KeySet::parse(set.as_bytes()).unwrap();
    let jwt = github().sign();
    assert!(verify(&Unverified::read(&jwt).unwrap(), &keys, &EXPECTED, NOW).is_ok());
}

#[test]
fn a_damaged_signature_is_refused() {
    let jwt = github().sign();
    let (input, signature) = jwt.rsplit_once('.').unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..bytes.len())
        .map(|i| {
            let mut bytes = bytes.clone();
            bytes[i] ^= 1;
            bytes
        })
        .collect();
    damaged.extend([bytes[..255].to_vec(), [bytes.as_slice(), &[0]].concat(), vec![0; 256], vec![]]);
    for signature in damaged {
        let jwt = format!("{input}.{}", base64(&signature));
        assert_eq!(outcome(&jwt).err(), Some(TokenError::BadSignature("k1".into())));
    }
}

#[test]
fn keys_that_the_token_brings_along_are_not_used() {
    for (member, value) in [
        ("jwk", OTHER_RSA.jwk("k1")),
        ("jku", json!("https://127.0.0.1:1/jwks.json")),
        ("x5u", json!("https://127.0.0.1:1/x")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
    ] {
        invalid(&github().header(member, value.clone()));
        invalid(&github().key(&OTHER_RSA, "RS256").header(member, value));
    }
}

#[test]
fn a_key_id_is_required_and_the_type_may_be_absent() {
    invalid(&github().without_header("kid"));
    good(&github().without_header("typ"));
    good(&github().header("typ", "jwt").header("x5t", "abc"));
    invalid(&github().header("typ", "at+jwt"));
}

// ── registered claims ──

#[test]
fn only_the_issuer_s_own_spelling_of_its_url_is_the_issuer() {
    for iss in [
        "https://token.actions.githubusercontent.com/",
        "https://token.actions.githubusercontent.com/acme",
        "https://TOKEN.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com:443",
        "http://token.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com?x",
        "https://token.actions.githubusercontent.com.evil.test",
        "https://evil.test",
        "https",
        "",
    ] {
        assert_eq!(outcome(&github().set("iss", iss).sign()).err(), Some(Flaw::Issuer.into()), "{iss}");
    }
}

#[test]
fn the_audience_is_one_exact_string() {
    for aud in [
        json!("pypi"),
        json!(format!("{AUDIENCE}.evil")),
        json!(format!("{AUDIENCE}/")),
        json!(format!("{AUDIENCE} ")),
        json!(AUDIENCE.to_uppercase()),
        json!(""),
        json!(0),
        json!(null),
        json!([AUDIENCE]),
        json!([AUDIENCE, "pypi"]),
        json!([]),
        json!([[AUDIENCE]]),
        json!({"0": AUDIENCE}),
    ] {
        invalid(&github().set("aud", aud));
    }
    invalid(&github().without("aud"));
}

#[test]
fn a_list_of_one_is_an_audience_where_that_is_allowed() {
    let expected = Expected { audience_list_allowed: true, ..EXPECTED };
    for (aud, accepted) in [
        (json!([AUDIENCE]), true),
        (json!(AUDIENCE), true),
        (json!([AUDIENCE, "other"]), false),
        (json!([AUDIENCE, AUDIENCE]), false),
        (json!(["other"]), false),
        (json!([[AUDIENCE]]), false),
        (json!([]), false),
    ] {
        let jwt = github().set("aud", aud.clone()).sign();
        let outcome = verify(&Unverified::read(&jwt).unwrap(), &keys(), &expected, NOW);
        assert_eq!(outcome.is_ok(), accepted, "{aud}");
    }
}

#[test]
fn a_token_counts_from_thirty_seconds_early_to_thirty_seconds_late() {
    for (claim, offset, accepted) in [
        ("exp", -29, true),
        ("exp", -30, true),
        ("exp", -31, false),
        ("nbf", 29, true),
        ("nbf", 30, true),
        ("nbf", 31, false),
        ("iat", 29, true),
        ("iat", 30, true),
        ("iat", 31, false),
    ] {
        let forge = github().set("iat", NOW.0 - 300).set(claim, NOW.0 + offset);
        assert_eq!(outcome(&forge.sign()).is_ok(), accepted, "{claim} {offset}");
    }
}

#[test]
fn a_time_is_an_integer_of_seconds_or_no_time() {
    for claim in ["exp", "iat", "nbf"] {
        for value in [
            json!(null),
            json!("9999999999"),
            json!("never"),
            json!(true),
            json!(-1),
            json!([]),
            json!({}),
            json!(NOW.0 as f64),
            json!(NOW.0 as f64 + 0.5),
            json!(1e20),
            json!(1_i64 << 53),
            json!(u64::MAX),
        ] {
            invalid(&github().set(claim, value));
        }
    }
    let payload = json!(github().claims).to_string().replace("\"nbf\"", "\"nbf\":-0,\"x\"");
    invalid(&github().payload_text(&payload));
    for claim in ["exp", "iat"] {
        invalid(&github().without(claim));
    }
    good(&github().without("nbf"));
    invalid(&github().set("exp", 0));
}

#[test]
fn a_token_lives_no_longer_than_its_issuer_may_let_it() {
    let lives =
        |seconds: i64| outcome(&github().set("iat", NOW.0).set("exp", NOW.0 + seconds).sign()).is_ok();
    assert!(lives(3600));
    assert!(!lives(3601));
    assert!(!lives(9_999_999_999 - NOW.0));
    assert!(!lives(NOW.0 * 999));
    assert!(lives(0));
    assert!(!lives(-1));
}

#[test]
fn subject_and_token_id_are_texts_if_they_are_there() {
    for value in [json!(7), json!(null), json!([]), json!({})] {
        invalid(&github().set("sub", value.clone()));
        invalid(&github().set("jti", value));
    }
    let too_long = "x".repeat(1025);
    for jti in ["", "  ", "a\0b", "a\nb", "a\u{85}b", &too_long, &"x".repeat(10_000)] {
        invalid(&github().set("jti", jti));
    }
    good(&github().set("jti", "x".repeat(1024)));
    good(&github().without("jti"));
    good(&github().without("sub"));
}

#[test]
fn the_log_learns_the_reason_and_nothing_of_the_token() {
    let mut log = String::new();
    for forge in [
        github().set("exp", NOW.0 - 60),
        github().set("iat", NOW.0 + 60),
        github().set("iat", NOW.0).set("exp", NOW.0 + 9999),
        github().set("aud", json!(["pypi\n", "x"])),
        github().set("exp", "soon"),
        github().without("iat"),
        github().header("crit\u{1b}[2J", "x"),
        github().header("alg", "HS256"),
        github().header("kid", "a\nb"),
        github().header("kid", "k9"),
        github().key(&OTHER_RSA, "RS256"),
        github().payload_text("[]"),
    ] {
        let jwt = forge.sign();
        let text = outcome(&jwt).unwrap_err().to_string();
        assert!(jwt.split('.').all(|segment| !text.contains(segment)) && !text.contains(char::is_control));
        log.push_str(&text);
        log.push('\n');
    }
    insta::assert_snapshot!(log, @r#"
    invalid token: expired 60 s ago
    invalid token: `iat` is 60 s in the future
    invalid token: lives for 9999 s, which is more than the issuer's `max_lifetime` or less than nothing
    invalid token: `aud` is ["pypi\n","x"], not exactly the expected audience
    invalid token: `exp` is not an integer number of seconds
    invalid token: `iat` is missing
    invalid token: header member `crit\u{1b}[2J` is not accepted
    invalid token: algorithm "HS256" is not accepted from this issuer
    invalid token: `kid` must be 1 to 256 printable ASCII characters
    no key `k9` in the key set of the issuer
    the signature is not by key `k1`
    malformed JWT: a segment is not a JSON object
    "#);
}

// ── replay ──

#[test]
fn the_replay_key_is_of_issuer_and_token_id_and_survives_a_new_signature() {
    let key = |forge: Forge| outcome(&forge.sign()).unwrap().replay_key();
    assert_eq!(key(github()), key(github().set("sha", "00")));
    assert_ne!(key(github()), key(github().set("jti", "another")));
    assert_ne!(key(github().without("jti")), key(github().without("jti").set("sha", "00")));
}

#[test]
fn an_elliptic_signature_and_its_twin_are_one_use() {
    let jwt = github().without("jti").key(&P256, "ES256").sign();
    let again = github().without("jti").key(&P256, "ES256").sign();
    assert_ne!(jwt, again, "ECDSA signatures are random");
    let keys = KeySet::parse(jwks(&[P256.jwk("k1")]).as_bytes()).unwrap();
    let expected = Expected { algorithms: &[Algorithm::Es256], ..EXPECTED };
    let key =
        |jwt: &str| verify(&Unverified::read(jwt).unwrap(), &keys, &expected, NOW).unwrap().replay_key();
    assert_eq!(key(&jwt), key(&again));
}

// ── properties ──

proptest! {
    #[test]
    fn a_changed_byte_makes_a_token_worthless(place in any::<prop::sample::Index>(), bits in 1u8..=255) {
        static GOOD: LazyLock<String> = LazyLock::new(|| Forge::github().sign());
        let mut bytes = GOOD.clone().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= bits;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(outcome(&text).is_err());
        }
    }

    #[test]
    fn unknown_claims_change_nothing(name in "x_[a-z]{1,12}", value in any::<(Option<String>, i64)>()) {
        let token = outcome(&github().set(&name, json!([value.0, value.1])).sign()).unwrap();
        prop_assert_eq!(token.expires(), Timestamp(NOW.0 + 290));
        prop_assert_eq!(token.replay_key(), outcome(&github().sign()).unwrap().replay_key());
    }
}
