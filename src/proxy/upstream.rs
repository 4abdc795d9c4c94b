//! One index server: requests go to it as they came, or, with a [`Permit`], as a guarded upload.

mod probe;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;

use super::body::{Body, Progress};
use super::credential::{DevpiLogin, LoginToken, UpstreamCredential};
use super::headers::{Caller, Forwarding, forwarded, guarded, returned};
use super::pool::{Pool, Target};
use super::rebuilt::Rebuilt;
use super::{Answered, UpstreamError, guarded_answer};
use crate::clock::{Clock, Timestamp};
use crate::names::UpstreamName;
use crate::policy::Permit;
use crate::upload::RebuiltBody;

pub use self::probe::{Probe, ProbedCredential};

/// What an index server is, where that changes what it must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamKind {
    /// devpi-server.
    Devpi,
    /// pypiserver.
    Pypiserver,
    /// Any server that takes the upload form.
    Generic,
}

/// Which `Host` an upstream sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's.
    Preserve,
    /// The upstream's own.
    Upstream,
}

/// One `[[upstream]]` of the configuration.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Its name.
    pub name: UpstreamName,
    /// What it is.
    pub kind: UpstreamKind,
    /// Where it listens.
    pub target: Target,
    /// The path of its `url`, beginning with `/` and without the last slash; empty for the root.
    pub base_path: String,
    /// The public prefix that goes there, beginning and ending in `/`.
    pub prefix: String,
    /// What its own links must begin with: the public URL and the prefix, without the last slash.
    pub public_base: String,
    /// Which `Host` it sees.
    pub host: HostHeader,
    /// Its own `Host`.
    pub authority: HeaderValue,
    /// The gateway's credential.
    pub credential: UpstreamCredential,
    /// How long it may be silent.
    pub timeout: Duration,
}

/// An index server as one serving thread sees it.
#[derive(Debug)]
pub struct Upstream {
    settings: Arc<UpstreamSettings>,
    pool: Rc<Pool>,
    clock: Clock,
}

impl Upstream {
    /// No connection is made yet.
    pub fn new(settings: Arc<UpstreamSettings>, clock: Clock) -> Self {
        let pool = Pool::new(settings.target.clone());
        Self { settings, pool, clock }
    }

    /// Its configuration.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Forwards a request as it came; the answer streams back as it comes.
    pub async fn relay(
        &self,
        method: Method,
        uri: &Uri,
        received: &HeaderMap,
        body: Body,
        progress: &Progress,
        caller: &Caller,
    ) -> Result<Response<Body>, UpstreamError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.relay_target(uri)?;
        *request.headers_mut() = forwarded(received, &self.forwarding(received, caller));
        let answer = self.send(request, progress).await?;
        let (mut head, body) = answer.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamError::Switch);
        }
        head.headers = returned(&head.headers);
        Ok(Response::from_parts(head, body))
    }

    /// Sends a checked upload with the gateway's credential. What travels was written by the gateway alone: path,
    /// fields, body.
    pub async fn publish(
        &self,
        permit: Permit,
        upload_path: &str,
        upload: Arc<RebuiltBody>,
        received: &HeaderMap,
        caller: &Caller,
    ) -> Result<Answered, UpstreamError> {
        tracing::debug!(index = %permit.index(), project = %permit.project(), upstream = %self.settings.name, "publishing");
        let form =
            |login: Option<&LoginToken>| self.upload_request(upload_path, &upload, received, caller, login);
        let answer = match &self.settings.credential {
            UpstreamCredential::Nothing | UpstreamCredential::Field(..) => {
                self.send_form(form(None)?).await?
            }
            UpstreamCredential::DevpiLogin(login) => {
                let token = self.logged_in(login).await?;
                let answer = self.send_form(form(Some(&token))?).await?;
                if answer.status() != StatusCode::UNAUTHORIZED {
                    return guarded_answer(answer);
                }
                // devpi forgets its tokens when it is restarted without a secret file. A refused upload was not
                // stored, so it may be sent once more.
                login.discard(&token);
                let token = self.logged_in(login).await?;
                self.send_form(form(Some(&token))?).await?
            }
        };
        guarded_answer(answer)
    }

    /// Sends an upload that was inspected with its sender's own credential. The form is the gateway's; everything else
    /// is relayed.
    pub async fn relay_upload(
        &self,
        upload_path: &str,
        upload: Arc<RebuiltBody>,
        received: &HeaderMap,
        caller: &Caller,
    ) -> Result<Response<Body>, UpstreamError> {
        let progress = Progress::start();
        let mut headers = received.clone();
        headers.remove(CONTENT_ENCODING);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(upload.content_length));
        headers.insert(CONTENT_TYPE, header(&upload.content_type)?);
        let body = Body::new(Rebuilt::new(upload, progress.clone()));
        self.relay(Method::POST, &origin_form(upload_path)?, &headers, body, &progress, caller).await
    }

    fn upload_request(
        &self,
        upload_path: &str,
        upload: &Arc<RebuiltBody>,
        received: &HeaderMap,
        caller: &Caller,
        login: Option<&LoginToken>,
    ) -> Result<(Request<Body>, Progress), UpstreamError> {
        let progress = Progress::start();
        let mut request = Request::new(Body::new(Rebuilt::new(Arc::clone(upload), progress.clone())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target_for(upload_path, None)?;
        let mut headers = guarded(received, &self.forwarding(received, caller));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(upload.content_length));
        headers.insert(CONTENT_TYPE, header(&upload.content_type)?);
        match (&self.settings.credential, login) {
            (UpstreamCredential::Field(name, value), _) => _ = headers.insert(name, value.clone()),
            (_, Some(login)) => login.show(&mut headers),
            (UpstreamCredential::Nothing | UpstreamCredential::DevpiLogin(_), None) => {}
        }
        *request.headers_mut() = headers;
        Ok((request, progress))
    }

    async fn send_form(
        &self,
        (request, progress): (Request<Body>, Progress),
    ) -> Result<Response<Body>, UpstreamError> {
        self.send(request, &progress).await
    }

    async fn send(
        &self,
        request: Request<Body>,
        progress: &Progress,
    ) -> Result<Response<Body>, UpstreamError> {
        let limit = self.settings.timeout;
        let answer = progress.watch(limit, self.pool.send(request)).await;
        answer.unwrap_or(Err(UpstreamError::Slow(limit)))
    }

    /// The present login token, or a new one.
    async fn logged_in(&self, login: &DevpiLogin) -> Result<Arc<LoginToken>, UpstreamError> {
        if let Some(token) = login.current(self.clock.now()) {
            return Ok(token);
        }
        let _one_at_a_time = login.logging_in.lock().await;
        let now: Timestamp = self.clock.now();
        if let Some(token) = login.current(now) {
            return Ok(token);
        }
        let answer = self.send_form(self.login_request(login)?).await?;
        match answer.status() {
            StatusCode::OK => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(UpstreamError::CredentialRefused(status.as_u16()));
            }
            status => return Err(UpstreamError::Login(format!("HTTP {}", status.as_u16()))),
        }
        let answer = http_body_util::Limited::new(answer.into_body(), 64 * 1024).collect().await;
        let answer = answer.map_err(|error| UpstreamError::Login(error.to_string()))?.to_bytes();
        login.accept(&answer, now).map_err(|why| UpstreamError::Login(why.to_owned()))
    }

    fn login_request(&self, login: &DevpiLogin) -> Result<(Request<Body>, Progress), UpstreamError> {
        let body = Bytes::from(login.request());
        let json = HeaderValue::from_static("application/json");
        let mut request = Request::new(super::body::whole(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target_for(&format!("{}+login", self.settings.prefix), None)?;
        request.headers_mut().insert(HOST, self.settings.authority.clone());
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        Ok((request, Progress::start()))
    }

    fn forwarding<'a>(&'a self, received: &'a HeaderMap, caller: &'a Caller) -> Forwarding<'a> {
        let settings = &*self.settings;
        let host = match settings.host {
            HostHeader::Preserve => received.get(HOST).unwrap_or(&settings.authority),
            HostHeader::Upstream => &settings.authority,
        };
        Forwarding { caller, public_base: &settings.public_base, host, kind: settings.kind }
    }

    fn relay_target(&self, uri: &Uri) -> Result<Uri, UpstreamError> {
        self.target_for(uri.path(), uri.query())
    }

    /// The public path without the public prefix, after the path of the upstream's `url`; bytes unchanged.
    fn target_for(&self, path: &str, query: Option<&str>) -> Result<Uri, UpstreamError> {
        let UpstreamSettings { prefix, base_path, .. } = &*self.settings;
        let rest = path.strip_prefix(prefix.as_str()).unwrap_or_default();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{base_path}/{rest}{query}");
        origin_form(&target)
    }
}

fn origin_form(target: &str) -> Result<Uri, UpstreamError> {
    let target = PathAndQuery::try_from(target).map_err(|error| UpstreamError::Broken(error.to_string()))?;
    Ok(Uri::from(target))
}

fn header(value: &str) -> Result<HeaderValue, UpstreamError> {
    HeaderValue::from_str(value).map_err(|error| UpstreamError::Broken(error.to_string()))
}
