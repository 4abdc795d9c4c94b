//! One index server: requests go to it as they came, or, with a [`Permit`], as a guarded upload.

mod probe;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};

use super::body::{Body, Progress, whole};
use super::credential::UpstreamCredential;
use super::headers::{Caller, Forwarding, forwarded, returned};
use super::pool::{Pool, Target};
use super::rebuilt::Rebuilt;
use super::{IndexRoute, PushCommand, UpstreamError};
use crate::clock::Clock;
use crate::names::UpstreamName;
use crate::upload::Upload;

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

/// One `[[upstream]]` of the configuration. Two equal ones can share logins and connections across a reload.
#[derive(Clone, Debug, PartialEq)]
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
    pub(super) clock: Clock,
}

impl Upstream {
    /// No connection is made yet.
    pub fn new(settings: Arc<UpstreamSettings>, clock: Clock) -> Self {
        let pool = Pool::new(settings.target.clone(), settings.timeout);
        Self { settings, pool, clock }
    }

    /// Its configuration.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Whether it is the upstream of these very settings, and its connections can serve on.
    pub fn has(&self, settings: &Arc<UpstreamSettings>) -> bool {
        Arc::ptr_eq(&self.settings, settings)
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
        if let Some(name) = self.settings.credential.believed_field() {
            request.headers_mut().remove(name);
        }
        let answer = self.send(request, progress).await?;
        let (mut head, body) = answer.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamError::Switch);
        }
        head.headers = returned(&head.headers);
        Ok(Response::from_parts(head, body))
    }

    /// Sends an upload that was inspected with its sender's own credential. The form is the gateway's; everything else
    /// is relayed.
    pub async fn relay_upload(
        &self,
        index: &IndexRoute,
        upload: Upload,
        received: &HeaderMap,
        caller: &Caller,
    ) -> Result<Response<Body>, UpstreamError> {
        let upload = upload.rebuild();
        let progress = Progress::start();
        let headers = with_body(received, header(&upload.content_type)?, upload.content_length);
        let body = Body::new(Rebuilt::new(Arc::new(upload), progress.clone()));
        self.relay(Method::POST, &origin_form(&index.upload_path)?, &headers, body, &progress, caller).await
    }

    /// Sends a push that was inspected with its sender's own credential. The command is the gateway's; everything else
    /// is relayed.
    pub async fn relay_push(
        &self,
        method: Method,
        uri: &Uri,
        push: PushCommand,
        received: &HeaderMap,
        caller: &Caller,
    ) -> Result<Response<Body>, UpstreamError> {
        let json = HeaderValue::from_static(PushCommand::CONTENT_TYPE);
        let headers = with_body(received, json, push.body.len() as u64);
        self.relay(method, uri, &headers, whole(push.body), &Progress::start(), caller).await
    }

    pub(super) async fn send(
        &self,
        request: Request<Body>,
        progress: &Progress,
    ) -> Result<Response<Body>, UpstreamError> {
        let limit = self.settings.timeout;
        let answer = progress.watch(limit, self.pool.send(request)).await;
        answer.unwrap_or(Err(UpstreamError::Slow(limit)))
    }

    pub(super) fn forwarding<'a>(&'a self, received: &'a HeaderMap, caller: &'a Caller) -> Forwarding<'a> {
        let settings = &*self.settings;
        let public_host = received.get(HOST).unwrap_or(&settings.authority);
        let host = match settings.host {
            HostHeader::Preserve => public_host,
            HostHeader::Upstream => &settings.authority,
        };
        Forwarding { caller, public_base: &settings.public_base, host, public_host, kind: settings.kind }
    }

    fn relay_target(&self, uri: &Uri) -> Result<Uri, UpstreamError> {
        self.target_for(uri.path(), uri.query())
    }

    /// The public path without the public prefix, after the path of the upstream's `url`; bytes unchanged.
    ///
    /// devpi gets the prefix, too: it takes the path of `X-Outside-Url` off whatever begins with it. If it was gone by
    /// then, devpi would take away the beginning of another path that happens to look like it.
    pub(super) fn target_for(&self, path: &str, query: Option<&str>) -> Result<Uri, UpstreamError> {
        let UpstreamSettings { base_path, kind, .. } = &*self.settings;
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        match kind {
            UpstreamKind::Devpi => origin_form(&format!("{base_path}{path}{query}")),
            UpstreamKind::Pypiserver | UpstreamKind::Generic => {
                origin_form(&format!("{base_path}/{}{query}", self.settings.path_within(path)))
            }
        }
    }
}

impl UpstreamSettings {
    /// What follows the public prefix in a public path.
    pub fn path_within<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.prefix.as_str()).unwrap_or_default()
    }
}

/// The fields of a relayed request whose body is ours.
fn with_body(received: &HeaderMap, content_type: HeaderValue, length: u64) -> HeaderMap {
    let mut headers = received.clone();
    headers.remove(CONTENT_ENCODING);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_TYPE, content_type);
    headers
}

pub(super) fn origin_form(target: &str) -> Result<Uri, UpstreamError> {
    let target = PathAndQuery::try_from(target).map_err(|error| UpstreamError::Broken(error.to_string()))?;
    Ok(Uri::from(target))
}

pub(super) fn header(value: &str) -> Result<HeaderValue, UpstreamError> {
    HeaderValue::from_str(value).map_err(|error| UpstreamError::Broken(error.to_string()))
}
