//! What a caller presents. Reading it proves nothing; classic credentials are carried, never opened.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, PROXY_AUTHORIZATION};

use super::PREFIX;
use crate::secret::Secret;

/// What stands in the request's credential headers.
#[derive(Debug)]
pub enum Credential {
    /// Nothing.
    Anonymous,
    /// Something that is not ours: a password, another system's token.
    Classic,
    /// Something that says it is an upload token.
    Minted(Secret<String>),
}

/// Why a credential is refused without being looked at further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCredential {
    /// Which of two would count depends on who reads them.
    #[error("the request has more than one Authorization header; send one")]
    Repeated,
    /// An upload token in a place where it is not one.
    #[error(
        "an upload token is sent as the password of user __token__, or as a Bearer token, and nowhere else"
    )]
    Misplaced,
    /// An upload token and a credential of the index, together.
    #[error("the request has an upload token and an X-Devpi-Auth header; send one of them")]
    Mixed,
    /// An identity token where an upload token belongs.
    #[error(
        "this is an identity token, not an upload token; exchange it first: POST it to /_/oidc/mint-token"
    )]
    IdentityToken,
}

static DEVPI_AUTH: HeaderName = HeaderName::from_static("x-devpi-auth");

/// Headers that carry credentials: anything that begins like an upload token is one here.
static CREDENTIAL_HEADERS: [HeaderName; 6] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("x-devpi-auth"),
    COOKIE,
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-api-key"),
];

impl Credential {
    /// Reads the credential of a request.
    ///
    /// Whatever carries the prefix of an upload token is an upload token or an error; it is never classic.
    pub fn read(headers: &HeaderMap) -> Result<Self, BadCredential> {
        let mut presented = headers.get_all(AUTHORIZATION).iter();
        let authorization = presented.next();
        if presented.next().is_some() {
            return Err(BadCredential::Repeated);
        }
        let credential = match authorization {
            None => Self::Anonymous,
            Some(value) => Self::of_authorization(value.as_bytes())?,
        };
        let elsewhere = CREDENTIAL_HEADERS.iter().filter(|name| **name != AUTHORIZATION);
        let misplaced =
            elsewhere.flat_map(|name| headers.get_all(name)).any(|value| carries_token(value.as_bytes()));
        match credential {
            _ if misplaced => Err(BadCredential::Misplaced),
            Self::Minted(_) if headers.contains_key(&DEVPI_AUTH) => Err(BadCredential::Mixed),
            Self::Anonymous if headers.contains_key(&DEVPI_AUTH) || headers.contains_key(COOKIE) => {
                Ok(Self::Classic)
            }
            Self::Anonymous | Self::Classic | Self::Minted(_) => Ok(credential),
        }
    }

    fn of_authorization(value: &[u8]) -> Result<Self, BadCredential> {
        let (scheme, rest) = split_scheme(value);
        let token = match scheme.to_ascii_lowercase().as_slice() {
            b"basic" => {
                basic_password(rest).filter(|(user, _)| user == b"__token__").map(|(_, password)| password)
            }
            b"bearer" | b"token" => Some(rest.to_vec()),
            _ => None,
        };
        let token = token.map(|token| token.trim_ascii().to_vec());
        match token {
            Some(token) if token.starts_with(PREFIX.as_bytes()) => {
                let token = String::from_utf8(token).map_err(|_| BadCredential::Misplaced)?;
                Ok(Self::Minted(Secret::new(token)))
            }
            _ if carries_token(value) => Err(BadCredential::Misplaced),
            Some(token) if scheme.eq_ignore_ascii_case(b"basic") && looks_like_jwt(&token) => {
                Err(BadCredential::IdentityToken)
            }
            Some(_) | None => Ok(Self::Classic),
        }
    }

    /// The token of `Authorization: Bearer …` or the password of Basic, if it is shaped like a JWT: it may be an
    /// identity token that somebody forgot to exchange.
    pub fn jwt(headers: &HeaderMap) -> Option<Secret<String>> {
        let (scheme, rest) = split_scheme(headers.get(AUTHORIZATION)?.as_bytes());
        let token =
            if scheme.eq_ignore_ascii_case(b"basic") { basic_password(rest)?.1 } else { rest.to_vec() };
        let token = token.trim_ascii();
        looks_like_jwt(token).then(|| String::from_utf8(token.to_vec()).ok().map(Secret::new)).flatten()
    }
}

/// Whether a text that is no credential, a request target or another header, contains an upload token. Only the
/// token itself counts here: a project may well be called `indexgate-plugin`.
pub fn mentions_upload_token(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"indexgate-eyJ").is_some()
}

fn split_scheme(value: &[u8]) -> (&[u8], &[u8]) {
    let value = value.trim_ascii();
    let end = value.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(value.len());
    (&value[..end], value[end..].trim_ascii())
}

/// The prefix anywhere in a credential, plain or under base64; in a cookie, also under the base64 of one value.
fn carries_token(value: &[u8]) -> bool {
    let has_prefix = |text: &[u8]| {
        let lower = text.to_ascii_lowercase();
        memchr::memmem::find(&lower, PREFIX.as_bytes()).is_some()
    };
    let (_, rest) = split_scheme(value);
    let mut words = value.split(|b| b.is_ascii_whitespace() || matches!(b, b'=' | b';' | b',' | b':' | b'"'));
    has_prefix(value)
        || [rest, value].into_iter().any(|text| has_prefix(&lenient_base64(text)))
        || words.any(|word| has_prefix(&lenient_base64(word)))
}

fn basic_password(encoded: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let decoded = lenient_base64(encoded);
    let colon = memchr::memchr(b':', &decoded)?;
    Some((decoded[..colon].to_vec(), decoded[colon + 1..].to_vec()))
}

/// Decodes as leniently as the most lenient index server does (Python drops what is not in the alphabet), so that
/// no spelling of a token slips by.
fn lenient_base64(text: &[u8]) -> Vec<u8> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let mut kept: Vec<u8> = text
        .iter()
        .filter_map(|b| match b {
            b'-' => Some(b'+'),
            b'_' => Some(b'/'),
            b if b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/') => Some(*b),
            _ => None,
        })
        .collect();
    if kept.len() % 4 == 1 {
        kept.pop();
    }
    LENIENT.decode(kept).unwrap_or_default()
}

fn looks_like_jwt(token: &[u8]) -> bool {
    token.starts_with(b"eyJ")
        && token.split(|b| *b == b'.').count() == 3
        && token.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderValue;

    use super::*;

    fn read(headers: &[(&'static str, &[u8])]) -> Result<Credential, BadCredential> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        Credential::read(&map)
    }

    fn basic(text: &[u8]) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    #[track_caller]
    fn check_minted(value: &[u8]) {
        match read(&[("authorization", value)]) {
            Ok(Credential::Minted(token)) => assert_eq!(token.expose(), "indexgate-eyJ.a.b"),
            other => panic!("{}: {other:?}", String::from_utf8_lossy(value)),
        }
    }

    #[test]
    fn an_upload_token_is_known_in_both_places_and_any_case_of_the_scheme() {
        check_minted(&basic(b"__token__:indexgate-eyJ.a.b"));
        check_minted(&basic(b"__token__: indexgate-eyJ.a.b\n"));
        check_minted(b"Bearer indexgate-eyJ.a.b");
        check_minted(b"bearer  indexgate-eyJ.a.b ");
        check_minted(b"token indexgate-eyJ.a.b");
        let lower =
            String::from_utf8(basic(b"__token__:indexgate-eyJ.a.b")).unwrap().replacen("Basic", "bASIC", 1);
        check_minted(lower.as_bytes());
    }

    #[test]
    fn an_upload_token_in_any_other_place_is_refused() {
        let token = b"indexgate-eyJ.a.b";
        let mut unpadded = basic(b"alice:indexgate-eyJ.a.b");
        unpadded.retain(|b| *b != b'=');
        let mut spaced = basic(b"alice:indexgate-eyJ.a.b");
        spaced.insert(12, b'!');
        for value in [
            basic(b"alice:indexgate-eyJ.a.b"),
            basic(b":indexgate-eyJ.a.b"),
            basic(b"__TOKEN__:indexgate-eyJ.a.b"),
            basic(b"indexgate-eyJ.a.b:"),
            basic(b"indexgate-eyJ.a.b:x"),
            basic(b"__token__:xindexgate-eyJ.a.b"),
            basic(b"alice:INDEXGATE-eyJ.a.b"),
            basic(b"\xff\xfe:indexgate-eyJ"),
            unpadded,
            spaced,
            b"Basic indexgate-eyJ.a.b".to_vec(),
            b"Digest x=indexgate-eyJ.a.b".to_vec(),
            token.to_vec(),
            [basic(b"bob:pw"), b", ".to_vec(), b"Bearer indexgate-eyJ.a.b".to_vec()].concat(),
        ] {
            let text = String::from_utf8_lossy(&value).into_owned();
            assert!(matches!(read(&[("authorization", &value)]), Err(BadCredential::Misplaced)), "{text}");
        }
        let encoded = STANDARD.encode(b"alice:indexgate-eyJ.a.b");
        for header in ["x-devpi-auth", "cookie", "proxy-authorization", "x-auth-token", "x-api-key"] {
            let cookies = format!("a=b; session=\"{encoded}\"; c=d");
            let plain = b"auth_tkt=indexgate-eyJ.a.b; x=y";
            for value in [&token[..], encoded.as_bytes(), plain, cookies.as_bytes()] {
                assert!(matches!(read(&[(header, value)]), Err(BadCredential::Misplaced)), "{header}");
            }
        }
    }

    #[test]
    fn an_upload_token_beside_a_devpi_credential_is_refused() {
        let answer = read(&[("authorization", b"Bearer indexgate-eyJ.a.b"), ("x-devpi-auth", b"Ym9iOnB3")]);
        assert!(matches!(answer, Err(BadCredential::Mixed)));
    }

    #[test]
    fn two_authorization_headers_are_refused() {
        let answer = read(&[("authorization", b"Basic Ym9iOnB3"), ("authorization", b"Basic Ym9iOnB3")]);
        assert!(matches!(answer, Err(BadCredential::Repeated)));
    }

    #[test]
    fn everything_else_is_classic_however_odd_it_is() {
        for value in [
            basic(b"bob:p\xe4:ss"),
            basic(b"bob:"),
            basic(b"__token__:pypi-AgEI"),
            b"Basic".to_vec(),
            b"Basic !!!".to_vec(),
            b"Bearer opaque".to_vec(),
            b"Bearer eyJh.eyJi.sig".to_vec(),
            b"Negotiate YII=".to_vec(),
            b"Basic  x".to_vec(),
            basic(b"bob:index-gate"),
            b"\xff\xff".to_vec(),
        ] {
            let text = String::from_utf8_lossy(&value).into_owned();
            assert!(matches!(read(&[("authorization", &value)]), Ok(Credential::Classic)), "{text}");
        }
        assert!(matches!(read(&[("x-devpi-auth", b"Ym9iOnB3")]), Ok(Credential::Classic)));
        assert!(matches!(read(&[("cookie", b"a=b")]), Ok(Credential::Classic)));
        assert!(matches!(read(&[("user-agent", b"indexgate-tester")]), Ok(Credential::Anonymous)));
    }

    #[test]
    fn an_identity_token_as_the_password_of_the_token_user_names_the_exchange() {
        let answer = read(&[("authorization", &basic(b"__token__:eyJh.eyJi.sig"))]);
        assert!(matches!(answer, Err(BadCredential::IdentityToken)));
        assert!(BadCredential::IdentityToken.to_string().contains("/_/oidc/mint-token"));
    }

    #[test]
    fn a_project_may_be_named_like_the_gateway() {
        assert!(!mentions_upload_token(b"/root/prod/+simple/indexgate-plugin/"));
        assert!(mentions_upload_token(b"/?token=indexgate-eyJhbGci.a.b"));
    }

    proptest::proptest! {
        #[test]
        fn no_credential_makes_it_panic_and_none_with_the_prefix_is_classic(
            scheme in "[A-Za-z]{0,6}", before in "[ -~]{0,12}", after in "[ -~]{0,12}", encode: bool,
        ) {
            let inner = format!("{before}indexgate-{after}");
            let inner = if encode { STANDARD.encode(inner) } else { inner };
            let value = format!("{scheme} {inner}");
            let answer = read(&[("authorization", value.as_bytes())]);
            proptest::prop_assert!(!matches!(answer, Ok(Credential::Classic | Credential::Anonymous)));
        }
    }
}
