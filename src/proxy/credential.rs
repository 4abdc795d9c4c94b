//! The credential that the gateway itself shows to an upstream.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::Timestamp;
use crate::secret::Secret;

/// How the gateway proves to an upstream that it may upload. Shared by all serving threads.
#[derive(Clone, Debug, PartialEq)]
pub enum UpstreamCredential {
    /// The upstream asks for none.
    Nothing,
    /// The same header field each time: Basic, Bearer, or a field of the administrator's choice.
    Field(HeaderName, HeaderValue),
    /// A devpi login token, renewed in time.
    DevpiLogin(Arc<DevpiLogin>),
}

impl UpstreamCredential {
    /// HTTP Basic (RFC 7617), in UTF-8.
    pub fn basic(user: &str, password: &Secret<String>) -> Option<Self> {
        let encoded = STANDARD.encode(format!("{user}:{}", password.expose()));
        Self::field(AUTHORIZATION, &format!("Basic {encoded}"))
    }

    /// `Authorization: Bearer …` (RFC 6750).
    pub fn bearer(token: &Secret<String>) -> Option<Self> {
        Self::field(AUTHORIZATION, &format!("Bearer {}", token.expose()))
    }

    /// Any field; `None` if the value cannot stand in one.
    pub fn field(name: HeaderName, value: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some(Self::Field(name, value))
    }

    /// The field in which the upstream believes whatever the gateway says. No client may say it. (A field that carries
    /// a secret is another matter: whoever knows one may show it.)
    pub(super) fn believed_field(&self) -> Option<&HeaderName> {
        const SECRETS: [&str; 5] = ["authorization", "cookie", "x-api-key", "x-auth-token", "x-devpi-auth"];
        match self {
            Self::Field(name, _) if !SECRETS.contains(&name.as_str()) => Some(name),
            Self::Field(..) | Self::Nothing | Self::DevpiLogin(_) => None,
        }
    }
}

/// A devpi user whose password is exchanged for a login token, because checking the password costs devpi about 160 ms
/// of CPU on each request and checking the token about 25 ms.
#[derive(Debug)]
pub struct DevpiLogin {
    user: String,
    password: Secret<String>,
    token: ArcSwapOption<LoginToken>,
    /// Held while somebody logs in, so that one login serves everybody who waits. Holds when a login last failed.
    pub(super) logging_in: tokio::sync::Mutex<Option<Timestamp>>,
}

/// What `/+login` gave.
#[derive(Debug)]
pub(super) struct LoginToken {
    authorization: HeaderValue,
    renew_at: Timestamp,
}

impl DevpiLogin {
    /// Not logged in yet; the first upload logs in.
    pub fn new(user: String, password: Secret<String>) -> Self {
        Self { user, password, token: ArcSwapOption::empty(), logging_in: tokio::sync::Mutex::default() }
    }

    /// The login request's body.
    pub(super) fn request(&self) -> Vec<u8> {
        serde_json::json!({"user": self.user, "password": self.password.expose()}).to_string().into_bytes()
    }

    /// The token, unless it is time for another.
    pub(super) fn current(&self, now: Timestamp) -> Option<Arc<LoginToken>> {
        self.token.load_full().filter(|token| now < token.renew_at)
    }

    /// Gives up a token that the upstream refused, unless somebody has put a newer one in its place.
    pub(super) fn discard(&self, refused: &Arc<LoginToken>) {
        self.token.compare_and_swap(refused, None);
    }

    /// Reads the answer of `/+login`: `{"type": "proxyauth", "result": {"password", "expiration"}}`.
    pub(super) fn accept(&self, answer: &[u8], now: Timestamp) -> Result<Arc<LoginToken>, &'static str> {
        let answer: serde_json::Value =
            serde_json::from_slice(answer).map_err(|_| "the answer is not JSON")?;
        let result = &answer["result"];
        let password = result["password"].as_str().ok_or("the answer holds no token")?;
        let seconds = result["expiration"].as_u64().ok_or("the answer names no expiration")?;
        let encoded = STANDARD.encode(format!("{}:{password}", self.user));
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {encoded}")).map_err(|_| "the token is not printable")?;
        authorization.set_sensitive(true);
        // Renewed after nine tenths of its life (devpi gives ten hours), so that no upload meets its end.
        let renew_at = now.after(Duration::from_secs(seconds.saturating_mul(9) / 10));
        let token = Arc::new(LoginToken { authorization, renew_at });
        self.token.store(Some(Arc::clone(&token)));
        Ok(token)
    }
}

/// The same account; who of the two is logged in makes no difference.
impl PartialEq for DevpiLogin {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && self.password == other.password
    }
}

/// A credential as it was shown to the upstream, once.
pub(super) struct Shown {
    field: Option<(HeaderName, HeaderValue)>,
    login: Option<Arc<LoginToken>>,
}

impl Shown {
    pub(super) const fn nothing() -> Self {
        Self { field: None, login: None }
    }

    pub(super) fn field(name: &HeaderName, value: &HeaderValue) -> Self {
        Self { field: Some((name.clone(), value.clone())), login: None }
    }

    pub(super) fn login(token: Arc<LoginToken>) -> Self {
        Self { field: Some((AUTHORIZATION, token.authorization.clone())), login: Some(token) }
    }

    pub(super) const fn login_token(&self) -> Option<&Arc<LoginToken>> {
        self.login.as_ref()
    }

    pub(super) fn put_into(&self, headers: &mut HeaderMap) {
        if let Some((name, value)) = &self.field {
            headers.insert(name, value.clone());
        }
    }

    /// Whether a text holds the credential: as it was sent, or the password under its base64.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        /// A password shorter than this stands in many texts by chance.
        const TELLING: usize = 6;
        let Some((_, value)) = &self.field else { return false };
        let sent = value.as_bytes();
        let token = sent.iter().position(|b| *b == b' ').map_or(sent, |space| &sent[space + 1..]);
        let password = STANDARD.decode(token).ok();
        let password = password.as_deref().and_then(|pair| pair.splitn(2, |b| *b == b':').nth(1));
        let secrets = [Some(token), password.filter(|password| password.len() >= TELLING)];
        secrets.into_iter().flatten().any(|secret| memchr::memmem::find(text, secret).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> DevpiLogin {
        DevpiLogin::new("indexgate".to_owned(), Secret::new("pw".to_owned()))
    }

    #[test]
    fn a_login_token_is_renewed_before_it_ends() {
        let login = login();
        let answer = br#"{"type":"proxyauth","result":{"password":"tok","expiration":1000}}"#;
        assert!(login.current(Timestamp(0)).is_none());
        login.accept(answer, Timestamp(0)).unwrap();
        assert!(login.current(Timestamp(899)).is_some());
        assert!(login.current(Timestamp(900)).is_none());
    }

    #[test]
    fn only_the_refused_token_is_given_up() {
        let login = login();
        let answer = br#"{"result":{"password":"tok","expiration":1000}}"#;
        let first = login.accept(answer, Timestamp(0)).unwrap();
        let second = login.accept(answer, Timestamp(1)).unwrap();
        login.discard(&first);
        assert!(Arc::ptr_eq(&login.current(Timestamp(2)).unwrap(), &second));
        login.discard(&second);
        assert!(login.current(Timestamp(2)).is_none());
    }

    #[test]
    fn an_answer_that_is_no_login_is_an_error() {
        for answer in [
            "",
            "<html>",
            "{}",
            r#"{"result":{"password":"x"}}"#,
            r#"{"result":{"expiration":1}}"#,
            r#"{"result":{"password":"a\nb\u0000","expiration":"x"}}"#,
        ] {
            assert!(login().accept(answer.as_bytes(), Timestamp(0)).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_credential_is_found_in_an_echo() {
        let Some(UpstreamCredential::Field(name, value)) =
            UpstreamCredential::basic("indexgate", &Secret::new("hunter2".to_owned()))
        else {
            panic!("a field")
        };
        let shown = Shown::field(&name, &value);
        assert!(shown.is_in(format!("got: {}", STANDARD.encode("indexgate:hunter2")).as_bytes()));
        assert!(shown.is_in(b"user indexgate, password hunter2"));
        assert!(!shown.is_in(b"stored"));
        assert!(!Shown::nothing().is_in(b"anything"));
    }

    #[test]
    fn no_secret_is_printed() {
        let credential = UpstreamCredential::basic("indexgate", &Secret::new("hunter2".to_owned())).unwrap();
        let encoded = STANDARD.encode("indexgate:hunter2");
        let login = UpstreamCredential::DevpiLogin(Arc::new(login()));
        let printed = format!("{credential:?} {login:?}");
        assert!(!printed.contains(&encoded) && !printed.contains("\"pw\""), "{printed}");
    }
}
