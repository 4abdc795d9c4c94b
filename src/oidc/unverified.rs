//! A JWT before anything about it is known to be true. It gives away who claims to have issued it, so that the
//! right keys can be found, and nothing else; only `verify` sees the rest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::{Flaw, TokenError};

/// A well-formed compact JWS (RFC 7515 §7.1) whose payload is a JSON object with an `iss`.
pub struct Unverified<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    issuer: String,
    signing_input: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// The longest token that is looked at. The largest real ones (GitLab with many groups) stay below 8 KiB.
    pub const MAX_LENGTH: usize = 16 * 1024;

    /// Takes a token apart. No part of the text is normalised: a stray blank is a different, malformed token.
    pub fn read(jwt: &'a str) -> Result<Self, TokenError> {
        if jwt.len() > Self::MAX_LENGTH {
            return Err(TokenError::Malformed("longer than 16 KiB"));
        }
        let mut segments = jwt.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(TokenError::Malformed("not three segments"));
        };
        URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed("signature is not base64url"))?;
        let header_object = object(header, "header")?;
        let claims = object(payload, "claims")?;
        let Some(Value::String(issuer)) = claims.get("iss") else {
            return Err(TokenError::Malformed("no `iss`"));
        };
        let issuer = issuer.clone();
        let signing_input = &jwt[..header.len() + 1 + payload.len()];
        Ok(Self { header: header_object, claims, issuer, signing_input, signature })
    }

    /// Who claims to have issued this token. Good for finding the issuer's keys; not for a log without escaping,
    /// and never for a metric label.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What it says, believed by nobody: for `explain`, which shows it to whoever has the token anyway.
    pub const fn unverified_claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    pub(super) const fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    pub(super) const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The very bytes that were signed: header and payload as they came.
    pub(super) const fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// The signature, still base64url.
    pub(super) const fn signature(&self) -> &'a str {
        self.signature
    }
}

fn object(segment: &str, part: &'static str) -> Result<Map<String, Value>, TokenError> {
    let bytes =
        URL_SAFE_NO_PAD.decode(segment).map_err(|_| TokenError::Malformed("a segment is not base64url"))?;
    match crate::json::parse(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(TokenError::Malformed("a segment is not a JSON object")),
        // The text is JSON, but could be read in two ways: not malformed, not to be believed either.
        Err(error) if error.is_data() => Err(Flaw::Repeated(part).into()),
        Err(_) => Err(TokenError::Malformed("a segment is not JSON")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oidc::testing::{Forge, NOW};

    #[track_caller]
    fn malformed(jwt: &str) {
        assert!(matches!(Unverified::read(jwt), Err(TokenError::Malformed(_))), "{jwt:.80}");
    }

    #[test]
    fn a_token_tells_its_issuer() {
        let jwt = Forge::github().sign();
        assert_eq!(Unverified::read(&jwt).unwrap().issuer(), "https://token.actions.githubusercontent.com");
    }

    #[test]
    fn what_is_not_a_compact_jws_is_malformed() {
        let jwt = Forge::github().sign();
        let (head, rest) = jwt.split_once('.').unwrap();
        let (payload, signature) = rest.split_once('.').unwrap();
        for bad in [
            String::new(),
            ".".into(),
            "..".into(),
            "not a token".into(),
            format!("{head}.{payload}"),
            format!("{jwt}."),
            format!("{jwt}.{signature}.{signature}"),
            format!(r#"{{"protected":"{head}","payload":"{payload}","signature":"{signature}"}}"#),
            format!(" {jwt}"),
            format!("{jwt}\n"),
            format!("{jwt}\t"),
            format!("{head}=.{payload}.{signature}"),
            format!("{head}.{payload}==.{signature}"),
            format!("{head}.{payload}.{signature}="),
            format!("{head}.{payload}.+/{signature}"),
            format!("{head} .{payload}.{signature}"),
            "a".repeat(20_000_000),
            ".".repeat(16_000),
        ] {
            malformed(&bad);
        }
    }

    #[test]
    fn the_longest_token_is_16_kib() {
        let padded = |n: usize| {
            let jwt = Forge::github().set("padding", "x".repeat(n)).sign();
            (jwt.len(), Unverified::read(&jwt).is_ok())
        };
        let (length, _) = padded(0);
        let room = (Unverified::MAX_LENGTH - length) / 4 * 3 - 3;
        assert!(padded(room).1);
        assert!(!padded(room + 8).1);
    }

    #[test]
    fn a_payload_that_is_not_an_object_with_an_issuer_is_malformed() {
        let deep = format!(r#"{{"iss":"https://x","z":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
        for payload in [
            "[]",
            r#""x""#,
            "7",
            "null",
            "",
            "\u{feff}{}",
            r#"{"iss":"https://x"} {}"#,
            "{}",
            r#"{"iss":null}"#,
            r#"{"iss":5}"#,
            r#"{"iss":{}}"#,
            r#"{"iss":["https://x"]}"#,
            r#"{"iss":"https://x","exp":NaN}"#,
            &deep,
        ] {
            malformed(&Forge::github().payload_text(payload).sign());
        }
        malformed(&Forge::github().header_text(&deep).sign());
    }

    #[test]
    fn a_repeated_member_is_refused_in_header_and_claims() {
        for header in [
            r#"{"alg":"none","alg":"RS256","kid":"k1"}"#,
            r#"{"alg":"RS256","alg":"none","kid":"k1"}"#,
            r#"{"alg":"RS256","kid":"k1","ki\u0064":"k2"}"#,
        ] {
            let jwt = Forge::github().header_text(header).sign();
            assert_eq!(Unverified::read(&jwt).err(), Some(Flaw::Repeated("header").into()));
        }
        let payload =
            format!(r#"{{"iss":"https://x","repository":"a/b","repository":"a/b","exp":{}}}"#, NOW.0);
        let jwt = Forge::github().payload_text(&payload).sign();
        assert_eq!(Unverified::read(&jwt).err(), Some(Flaw::Repeated("claims").into()));
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in any::<String>()) {
            let _ = Unverified::read(&text);
        }

        #[test]
        fn no_segments_make_reading_panic(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
            let encode = |bytes| URL_SAFE_NO_PAD.encode::<Vec<u8>>(bytes);
            let _ = Unverified::read(&format!("{}.{}.", encode(header), encode(payload)));
        }
    }
}
