//! An issuer on 127.0.0.1, with a certificate of its own authority, that counts requests and can be broken.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, LOCATION};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::jwks;
use crate::oidc::fetch::{Discovery, TlsRoots};

/// What an issuer does wrong, for discovery (`metadata`) and for the keys.
#[derive(Clone, Default)]
pub(in crate::oidc) enum Fault {
    #[default]
    None,
    /// Answers with this status.
    Status(u16),
    /// Answers with this body.
    Body(String),
    /// Redirects there.
    Redirect(String),
    /// Says that the body is compressed.
    Compressed,
    /// Takes its time.
    Slow(Duration),
}

pub(in crate::oidc) struct FakeIssuer {
    pub url: String,
    pub roots: TlsRoots,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    url: String,
    keys: String,
    cache_control: Option<String>,
    metadata_fault: Fault,
    keys_fault: Fault,
    requests: Vec<String>,
}

impl FakeIssuer {
    /// Starts an issuer whose certificate is good, on the runtime of the caller.
    pub(in crate::oidc) async fn start(keys: &[Value]) -> Self {
        Self::with_certificate_for(keys, "127.0.0.1").await
    }

    /// Starts an issuer with a certificate for that name.
    pub(in crate::oidc) async fn with_certificate_for(keys: &[Value], name: &str) -> Self {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new([]).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let authority = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf =
            rcgen::CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();

        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let state = State { url: url.clone(), keys: jwks(keys), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&state)));
        Self { url, roots: TlsRoots::from_pem(ca_pem.as_bytes()).unwrap(), state }
    }

    pub(in crate::oidc) fn discovery(&self) -> Discovery {
        Discovery { issuer: self.url.parse().unwrap(), roots: self.roots.clone(), jwks_hosts: Vec::new() }
    }

    /// How many requests there were: for metadata, for keys.
    pub(in crate::oidc) fn requests(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        let keys = state.requests.iter().filter(|path| *path == "/keys").count();
        (state.requests.len() - keys, keys)
    }

    pub(in crate::oidc) fn publish(&self, keys: &[Value]) {
        self.state.lock().unwrap().keys = jwks(keys);
    }

    pub(in crate::oidc) fn cache_control(&self, value: &str) {
        self.state.lock().unwrap().cache_control = Some(value.to_owned());
    }

    pub(in crate::oidc) fn break_metadata(&self, fault: Fault) {
        self.state.lock().unwrap().metadata_fault = fault;
    }

    pub(in crate::oidc) fn break_keys(&self, fault: Fault) {
        self.state.lock().unwrap().keys_fault = fault;
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| answer(request, Arc::clone(&state)));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (fault, body, cache_control) = {
        let mut state = state.lock().unwrap();
        let path = request.uri().path().to_owned();
        state.requests.push(path.clone());
        let metadata = json!({"issuer": state.url, "jwks_uri": format!("{}/keys", state.url)}).to_string();
        match path.as_str() {
            "/keys" => (state.keys_fault.clone(), state.keys.clone(), state.cache_control.clone()),
            "/.well-known/openid-configuration" => (state.metadata_fault.clone(), metadata, None),
            _ => (Fault::Status(404), String::new(), None),
        }
    };
    let mut response = Response::builder();
    if let Some(value) = cache_control {
        response = response.header(CACHE_CONTROL, value);
    }
    let (response, body) = match fault {
        Fault::None => (response, body),
        Fault::Status(status) => (response.status(status), body),
        Fault::Body(body) => (response, body),
        Fault::Redirect(to) => (response.status(StatusCode::FOUND).header(LOCATION, to), body),
        Fault::Compressed => (response.header(CONTENT_ENCODING, "gzip"), body),
        Fault::Slow(pause) => {
            tokio::time::sleep(pause).await;
            (response, body)
        }
    };
    Ok(response.body(Full::new(body.into())).unwrap())
}
