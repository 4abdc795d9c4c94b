//! The JOSE header of an identity token. Every member that could change what the token means, or where its key
//! comes from, is refused: the library that checks the signature ignores `crit`, `b64`, `zip` and `typ`.

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::Flaw;

/// What is left of a header once it was found harmless: which algorithm, which key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub algorithm: Algorithm,
    pub key_id: &'a str,
}

impl<'a> Header<'a> {
    /// Checks a header against the algorithms that the configuration accepts from the issuer.
    pub(super) fn check(header: &'a Map<String, Value>, accepted: &[Algorithm]) -> Result<Self, Flaw> {
        // `x5t` is a hash of a certificate, sent by GitHub and Azure; it finds no key here and means nothing.
        if let Some(other) =
            header.keys().find(|name| !matches!(name.as_str(), "alg" | "kid" | "typ" | "x5t"))
        {
            return Err(Flaw::HeaderMember(other.clone()));
        }
        if !header.get("typ").is_none_or(is_jwt) {
            return Err(Flaw::Type);
        }
        Ok(Self { algorithm: algorithm(header, accepted)?, key_id: key_id(header)? })
    }
}

/// Whether a text can be a key id: it is looked up, logged and nothing else, so it need not be more than this.
pub(super) fn is_key_id(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_jwt(typ: &Value) -> bool {
    typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"))
}

fn algorithm(header: &Map<String, Value>, accepted: &[Algorithm]) -> Result<Algorithm, Flaw> {
    let stated = header.get("alg").unwrap_or(&Value::Null);
    let known = stated.as_str().and_then(|name| name.parse().ok());
    known.filter(|algorithm| accepted.contains(algorithm)).ok_or_else(|| Flaw::Algorithm(stated.to_string()))
}

fn key_id(header: &Map<String, Value>) -> Result<&str, Flaw> {
    header.get("kid").and_then(Value::as_str).filter(|kid| is_key_id(kid)).ok_or(Flaw::KeyId)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "an outcome reads better as a value")]
    fn check(header: &Value, expected: Result<(Algorithm, &str), Flaw>) {
        let accepted = [Algorithm::Rs256, Algorithm::Es256];
        let got = Header::check(header.as_object().unwrap(), &accepted);
        assert_eq!(got.map(|header| (header.algorithm, header.key_id)), expected, "{header}");
    }

    #[test]
    fn algorithm_and_key_are_read_from_a_plain_header() {
        check(&json!({"alg": "RS256", "kid": "k1"}), Ok((Algorithm::Rs256, "k1")));
        check(&json!({"alg": "ES256", "kid": "k1", "typ": "JWT"}), Ok((Algorithm::Es256, "k1")));
        check(&json!({"alg": "RS256", "kid": "k", "typ": "jwt", "x5t": "abc"}), Ok((Algorithm::Rs256, "k")));
    }

    #[test]
    fn members_that_change_the_meaning_are_refused() {
        for name in ["crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "cty", "iss", "x5t#S256", "epk", "ALG"]
        {
            for value in [json!([]), json!("exp"), json!(["alg"]), json!({}), json!(true), Value::Null] {
                let mut header = json!({"alg": "RS256", "kid": "k1"});
                header[name] = value;
                check(&header, Err(Flaw::HeaderMember(name.into())));
            }
        }
    }

    #[test]
    fn other_types_of_token_are_refused() {
        for typ in [json!("at+jwt"), json!("logout+jwt"), json!("JWT "), json!(""), json!(7), Value::Null] {
            check(&json!({"alg": "RS256", "kid": "k1", "typ": typ}), Err(Flaw::Type));
        }
    }

    #[test]
    fn the_algorithm_is_an_exact_name_on_the_list() {
        for alg in
            ["none", "None", "NONE", "nOnE", "HS256", "RS384", "RS512", "PS256", "EdDSA", "rs256", " RS256"]
        {
            check(&json!({"alg": alg, "kid": "k1"}), Err(Flaw::Algorithm(format!("\"{alg}\""))));
        }
        for alg in [json!(256), json!(["RS256"]), json!({}), Value::Null] {
            check(&json!({"alg": alg, "kid": "k1"}), Err(Flaw::Algorithm(alg.to_string())));
        }
        check(&json!({"kid": "k1"}), Err(Flaw::Algorithm("null".into())));
    }

    #[test]
    fn a_key_id_is_required_short_and_printable() {
        check(&json!({"alg": "RS256"}), Err(Flaw::KeyId));
        for kid in [json!(7), json!({}), json!([]), Value::Null, json!(""), json!("k\0"), json!("k\r\nX: y")]
        {
            check(&json!({"alg": "RS256", "kid": kid}), Err(Flaw::KeyId));
        }
        for kid in ["k\u{1b}[2J", "ключ", &"a".repeat(257), &"a".repeat(100_000)] {
            check(&json!({"alg": "RS256", "kid": kid}), Err(Flaw::KeyId));
        }
        let longest = "a".repeat(256);
        check(&json!({"alg": "RS256", "kid": longest}), Ok((Algorithm::Rs256, &longest)));
    }
}
