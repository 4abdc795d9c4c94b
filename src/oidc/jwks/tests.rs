use serde_json::json;

use super::*;
use crate::oidc::testing::{ED, OTHER_RSA, P256, P384, RSA, base64, jwks};

/// Reads one key beside a good one, which must not suffer; says whether it was taken.
#[track_caller]
fn taken(key: &Value) -> bool {
    let set = KeySet::parse(jwks(&[key.clone(), RSA.jwk("good")]).as_bytes()).unwrap();
    assert!(set.contains("good"));
    assert_eq!(set.len() + set.skipped().len(), 2);
    set.len() == 2
}

fn with(mut key: Value, member: &str, value: Value) -> Value {
    key[member] = value;
    key
}

fn without(mut key: Value, member: &str) -> Value {
    key.as_object_mut().unwrap().remove(member);
    key
}

#[test]
fn keys_of_every_accepted_kind_are_read() {
    for key in [RSA.jwk("k"), P256.jwk("k"), P384.jwk("k"), ED.jwk("k")] {
        assert!(taken(&key), "{key}");
        assert!(taken(&with(key.clone(), "use", json!("sig"))));
        assert!(taken(&with(key.clone(), "key_ops", json!(["verify"]))));
        assert!(taken(&with(key.clone(), "x5c", json!(["…"]))));
        assert!(taken(&without(key, "use")));
    }
    assert!(taken(&with(RSA.jwk("k"), "alg", json!("RS256"))));
}

#[test]
fn a_key_for_something_else_is_skipped_alone() {
    for (member, value) in [
        ("use", json!("enc")),
        ("use", json!(7)),
        ("key_ops", json!(["encrypt"])),
        ("key_ops", json!("verify")),
        ("key_ops", json!([])),
        ("alg", json!("RSA-OAEP")),
        ("alg", json!("HS256")),
        ("alg", json!("none")),
        ("alg", json!(null)),
        ("kid", json!("")),
        ("kid", json!(7)),
        ("kid", json!("a\nb")),
        ("kty", json!("oct")),
        ("kty", json!("rsa")),
        ("d", json!("AQAB")),
        ("k", json!("AQAB")),
        ("n", json!("AQAB")),
        ("n", json!("????")),
        ("n", json!("")),
        ("n", json!(5)),
        ("e", json!("Aw")),
        ("e", json!("AQAC")),
        ("e", json!("")),
    ] {
        let key = with(RSA.jwk("k"), member, value);
        assert!(!taken(&key), "{key}");
    }
    for member in ["kid", "kty", "n", "e"] {
        assert!(!taken(&without(RSA.jwk("k"), member)), "{member}");
    }
    for key in
        [json!(null), json!([]), json!("key"), json!({}), json!({"kty": "oct", "kid": "k", "k": "AAAA"})]
    {
        assert!(!taken(&key), "{key}");
    }
}

#[test]
fn a_modulus_has_at_least_2048_bits_not_counting_zeros_in_front() {
    let modulus = URL_SAFE_NO_PAD.decode(RSA.jwk("k")["n"].as_str().unwrap()).unwrap();
    let key = |n: &[u8]| with(RSA.jwk("k"), "n", json!(base64(n)));
    assert!(taken(&key(&modulus)));
    assert!(taken(&key(&[&[0], modulus.as_slice()].concat())));
    assert!(!taken(&key(&modulus[1..])));
    assert!(!taken(&key(&[&[0], &modulus[1..]].concat())));
    assert!(!taken(&key(&[&[0x7f], &modulus[1..]].concat())));
    assert!(!taken(&key(&[0xff; 1025])));
}

#[test]
fn a_curve_key_is_a_point_of_its_curve() {
    for (member, value) in [
        ("crv", json!("P-384")),
        ("crv", json!("P-521")),
        ("crv", json!("secp256k1")),
        ("x", json!(base64(&[1; 32]))),
        ("y", json!(base64(&[1; 31]))),
        ("x", json!("")),
    ] {
        let key = with(P256.jwk("k"), member, value);
        assert!(!taken(&key), "{key}");
    }
    assert!(!taken(&with(ED.jwk("k"), "crv", json!("Ed448"))));
    assert!(!taken(&with(ED.jwk("k"), "crv", json!("X25519"))));
    assert!(!taken(&with(ED.jwk("k"), "x", json!("AQAB"))));
}

#[test]
fn a_published_private_key_raises_an_alarm_in_the_log() {
    let set =
        KeySet::parse(jwks(&[with(RSA.jwk("k1"), "d", json!("AQAB")), RSA.jwk("k2")]).as_bytes()).unwrap();
    insta::assert_snapshot!(set.skipped()[0], @"key `k1` left out: ALARM: its private part is published");
}

#[test]
fn what_holds_no_usable_key_is_no_key_set() {
    for text in [
        "",
        "<html>",
        "{",
        "[]",
        "null",
        "7",
        r#"{"keys":null}"#,
        r#"{"keys":{}}"#,
        r#"{"key":[]}"#,
        "\u{ff}",
    ] {
        assert_eq!(KeySet::parse(text.as_bytes()), Err(BadKeySet::Malformed), "{text}");
    }
    assert_eq!(KeySet::parse(br#"{"keys":[],"keys":[]}"#), Err(BadKeySet::Malformed));
    assert_eq!(KeySet::parse(&[0xff, 0xfe, b'{', 0]), Err(BadKeySet::Malformed));
    assert_eq!(KeySet::parse(br#"{"keys":[]}"#), Err(BadKeySet::Empty(vec![])));
    assert!(
        matches!(KeySet::parse(br#"{"keys":[{}]}"#), Err(BadKeySet::Empty(skipped)) if skipped.len() == 1)
    );
}

#[test]
fn a_key_set_has_at_most_100_keys_and_256_kib() {
    let keys = |n: usize| jwks(&(0..n).map(|i| RSA.jwk(&format!("k{i}"))).collect::<Vec<_>>());
    assert_eq!(KeySet::parse(keys(100).as_bytes()).map(|set| set.len()), Ok(100));
    assert_eq!(KeySet::parse(keys(101).as_bytes()), Err(BadKeySet::Many(101)));
    let mut padded = keys(1).into_bytes();
    padded.resize(KeySet::MAX_LENGTH, b' ');
    assert!(KeySet::parse(&padded).is_ok());
    padded.push(b' ');
    assert_eq!(KeySet::parse(&padded), Err(BadKeySet::Long));
}

#[test]
fn a_key_fits_its_family_and_the_algorithm_it_declares() {
    use Algorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs512};
    let fitting = |key: Value| {
        let set = KeySet::parse(jwks(&[key]).as_bytes()).unwrap();
        let key = set.named("k").next().unwrap().clone();
        [Rs256, Rs512, Ps256, Es256, Es384, EdDsa].into_iter().filter(|a| key.fits(*a)).collect::<Vec<_>>()
    };
    assert_eq!(fitting(RSA.jwk("k")), [Rs256, Rs512, Ps256]);
    assert_eq!(fitting(with(RSA.jwk("k"), "alg", json!("RS512"))), [Rs512]);
    assert_eq!(fitting(with(RSA.jwk("k"), "alg", json!("ES256"))), []);
    assert_eq!(fitting(P256.jwk("k")), [Es256]);
    assert_eq!(fitting(P384.jwk("k")), [Es384]);
    assert_eq!(fitting(ED.jwk("k")), [EdDsa]);
}

#[test]
fn sets_are_equal_if_their_texts_are() {
    let set = |key: Value| KeySet::parse(jwks(&[key]).as_bytes()).unwrap();
    assert_eq!(set(RSA.jwk("k")), set(RSA.jwk("k")));
    assert_ne!(set(RSA.jwk("k")), set(OTHER_RSA.jwk("k")));
    assert_ne!(set(RSA.jwk("k")), KeySet::default());
}
