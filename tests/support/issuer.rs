//! A local OIDC identity provider over real TLS: discovery, keys, and the place where a job of GitHub Actions
//! fetches its identity token. Its faults can be switched while it runs.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::claims::Claims;
use super::tls::Authority;
use super::{hex, random};

/// A running identity provider. Ends when dropped.
pub struct Issuer {
    url: String,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the issuer can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `/.well-known/openid-configuration`.
    Discovery,
    /// `/jwks`.
    Keys,
    /// The place where a CI job gets its identity token.
    Token,
    /// Anything else.
    Other,
}

/// What is wrong with an endpoint.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection ends without an answer.
    Down,
    /// The answer comes late.
    Slow(Duration),
    /// This status, and an HTML page.
    Status(u16),
    /// Another answer than the right one: status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
}

/// How a CI job reaches its identity token: what GitHub puts into the job's environment.
#[derive(Clone, Debug)]
pub struct Job {
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`.
    pub request_url: String,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    pub request_token: String,
}

#[derive(Default)]
struct State {
    url: String,
    keys: Vec<Key>,
    keys_made: usize,
    more_keys: Vec<Value>,
    jobs: HashMap<String, (String, Claims)>,
    faults: BTreeMap<Endpoint, Fault>,
    asked: BTreeMap<Endpoint, usize>,
}

#[derive(Clone)]
struct Key {
    id: String,
    pair: Arc<KeyPair>,
}

impl Issuer {
    /// Starts on a free loopback port, with one key.
    pub fn start(authority: &Authority) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let acceptor = TlsAcceptor::from(authority.server_config());
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("sockets can be non-blocking");
        let address: SocketAddr = listener.local_addr().expect("it is bound");
        let url = format!("https://{address}");
        lock(&state).url.clone_from(&url);
        let shared = state.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let listener = TcpListener::from_std(listener).expect("it is non-blocking");
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, acceptor, shared) => {}
                }
            });
        });
        let issuer = Self { url, state, stop: Some(stop), thread: Some(thread) };
        issuer.add_key();
        issuer
    }

    /// What stands in `iss`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A CI job that these claims describe.
    pub fn job(&self, claims: &Claims) -> Job {
        let (id, token) = (hex(&random::<8>()), format!("request-{}", hex(&random::<16>())));
        lock(&self.state).jobs.insert(id.clone(), (token.clone(), claims.clone()));
        Job { request_url: format!("{}/jobs/{id}/idtoken?api-version=2.0", self.url), request_token: token }
    }

    /// An identity token with these claims, a new `jti`, and ten minutes to live from now.
    pub fn token(&self, claims: &Claims, audience: &str) -> String {
        lock(&self.state).token(claims, audience)
    }

    /// Signs any header and any payload with the newest key, byte for byte.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        lock(&self.state).newest_key().sign(header, payload)
    }

    /// The newest key's id.
    pub fn key_id(&self) -> String {
        lock(&self.state).newest_key().id.clone()
    }

    /// Adds a key and signs with it from now on. Its id is returned.
    pub fn add_key(&self) -> String {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key can be made");
        let mut state = lock(&self.state);
        state.keys_made += 1;
        let id = format!("key-{}", state.keys_made);
        state.keys.push(Key { id: id.clone(), pair: Arc::new(pair) });
        id
    }

    /// Adds a key and no longer publishes the others.
    pub fn rotate(&self) -> String {
        let id = self.add_key();
        lock(&self.state).keys.retain(|key| key.id == id);
        id
    }

    /// Publishes an entry of any kind beside the keys.
    pub fn publish_also(&self, entry: Value) {
        lock(&self.state).more_keys.push(entry);
    }

    /// The key set as published, for `jwks_file`.
    pub fn key_set(&self) -> Value {
        lock(&self.state).key_set()
    }

    /// Breaks an endpoint, until it is mended.
    pub fn break_with(&self, endpoint: Endpoint, fault: Fault) {
        lock(&self.state).faults.insert(endpoint, fault);
    }

    /// Ends all faults.
    pub fn mend(&self) {
        lock(&self.state).faults.clear();
    }

    /// How often an endpoint was asked, broken or not.
    pub fn asked(&self, endpoint: Endpoint) -> usize {
        lock(&self.state).asked.get(&endpoint).copied().unwrap_or(0)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails only if the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn token(&self, claims: &Claims, audience: &str) -> String {
        let now = now();
        let filled = json!({
            "iss": self.url, "aud": audience, "jti": hex(&random::<16>()),
            "iat": now, "nbf": now - 300, "exp": now + 600,
        });
        let key = self.newest_key();
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": key.id}).to_string();
        key.sign(&header, &claims.payload(filled).to_string())
    }

    fn newest_key(&self) -> &Key {
        self.keys.last().expect("there is a key from the start")
    }

    fn key_set(&self) -> Value {
        let ours = self.keys.iter().map(Key::public);
        json!({ "keys": ours.chain(self.more_keys.iter().cloned()).collect::<Vec<_>>() })
    }
}

impl Key {
    fn sign(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .expect("the buffer is as long as the modulus");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn public(&self) -> Value {
        let [modulus, exponent] = rsa_numbers(self.pair.public_key().as_ref());
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.id,
            "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent),
        })
    }
}

/// The modulus and the exponent of a PKCS #1 public key: a DER sequence of two integers.
fn rsa_numbers(der: &[u8]) -> [&[u8]; 2] {
    let (sequence, _) = der_value(der);
    let (modulus, rest) = der_value(sequence);
    let (exponent, _) = der_value(rest);
    // A leading zero keeps a DER integer positive; a JWK has none.
    [modulus, exponent].map(|number| number.strip_prefix(&[0]).unwrap_or(number))
}

/// The first value in `der`, and what follows it.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let bytes = usize::from(long & 0x7f);
            (der[2..2 + bytes].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 2 + bytes)
        }
    };
    der[start..].split_at(length)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<Mutex<State>>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (acceptor, state) = (acceptor.clone(), state.clone());
        tokio::spawn(async move {
            // A client that hangs up or does not trust us is its own business.
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let service = service_fn(|request| answer(request, state.clone()));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let endpoint = match request.uri().path() {
        "/.well-known/openid-configuration" => Endpoint::Discovery,
        "/jwks" => Endpoint::Keys,
        path if path.starts_with("/jobs/") => Endpoint::Token,
        _ => Endpoint::Other,
    };
    let fault = {
        let mut state = lock(&state);
        *state.asked.entry(endpoint).or_default() += 1;
        state.faults.get(&endpoint).cloned()
    };
    match fault {
        None => {}
        Some(Fault::Down) => return Err(io::Error::other("switched off")),
        Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::Status(status)) => return Ok(reply(status, "text/html", "<h1>out of order</h1>")),
        Some(Fault::Answer(status, headers, body)) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            return Ok(response.body(Full::from(body)).expect("the test gave valid headers"));
        }
    }
    let state = lock(&state);
    Ok(match endpoint {
        Endpoint::Discovery => json_reply(&json!({
            "issuer": state.url, "jwks_uri": format!("{}/jwks", state.url),
            "subject_types_supported": ["public", "pairwise"], "response_types_supported": ["id_token"],
            "id_token_signing_alg_values_supported": ["RS256"], "scopes_supported": ["openid"],
        })),
        Endpoint::Keys => json_reply(&state.key_set()),
        Endpoint::Token => identity_token(&request, &state),
        Endpoint::Other => reply(404, "text/plain", "nothing here"),
    })
}

/// As GitHub does it: a bearer token that the job was given, the audience in the query.
fn identity_token(request: &Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    let id = request.uri().path().split('/').nth(2).unwrap_or_default();
    let Some((token, claims)) = state.jobs.get(id) else {
        return reply(404, "text/plain", "no such job");
    };
    let authorization = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let presented = authorization.and_then(|value| std::str::from_utf8(value).ok()?.split_once(' '));
    if !presented.is_some_and(|(scheme, value)| scheme.eq_ignore_ascii_case("bearer") && value == token) {
        return reply(401, "text/plain", "the request token is missing or wrong");
    }
    let query = request.uri().query().unwrap_or_default();
    let audience = query.split('&').find_map(|pair| pair.strip_prefix("audience="));
    let Some(audience) = audience else {
        return reply(400, "text/plain", "no audience");
    };
    let audience = percent_encoding::percent_decode_str(audience).decode_utf8_lossy();
    json_reply(&json!({ "value": state.token(claims, &audience) }))
}

fn json_reply(body: &Value) -> Response<Full<Bytes>> {
    reply(200, "application/json", &body.to_string())
}

fn reply(status: u16, content_type: &str, body: &str) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(status).expect("the test gave a valid status");
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::from(body.to_owned()))
        .expect("the content types here are valid")
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a real provider goes by the real time, and so does the gateway"
)]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("1970 is over").as_secs()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no test panics while it holds the issuer")
}
