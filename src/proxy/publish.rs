//! The guarded lane's last hop: a checked upload goes to the index with the gateway's credential.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use tokio::time::timeout;

use super::answer::{Answered, guarded_answer};
use super::body::{Body, Progress, whole};
use super::credential::{DevpiLogin, LoginToken, Shown, UpstreamCredential};
use super::headers::{Caller, guarded};
use super::rebuilt::Rebuilt;
use super::upstream::{Upstream, header, origin_form};
use super::{IndexRoute, UpstreamError};
use crate::policy::Permit;
use crate::upload::{RebuiltBody, Upload};

/// devpi takes 160 ms to check a password.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds after a failed login before the next one.
const RETRY_LOGIN_AFTER: i64 = 3;
/// The answer of a login is a token and a few words.
const LARGEST_LOGIN: usize = 64 * 1024;

/// An upload as it is sent: once, and once more if the index has forgotten the gateway's login.
struct Form<'a> {
    upload_path: &'a str,
    body: Arc<RebuiltBody>,
    received: &'a HeaderMap,
    caller: &'a Caller,
}

impl Upstream {
    /// Sends a checked upload with the gateway's credential. What travels was written by the gateway alone: path,
    /// fields, body. The permit must be for this upload: whoever has decided about another one gets nowhere.
    pub async fn publish(
        &self,
        permit: Permit,
        index: &IndexRoute,
        upload: Upload,
        received: &HeaderMap,
        caller: &Caller,
    ) -> Result<Answered, UpstreamError> {
        if !permit.is_for(&index.index, upload.project(), upload.version()) {
            return Err(UpstreamError::NotPermitted);
        }
        let form =
            Form { upload_path: &index.upload_path, body: Arc::new(upload.rebuild()), received, caller };
        let mut shown = self.credential().await?;
        let mut answer = self.send_form(&form, &shown).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.forget(&shown) {
            // devpi forgets its tokens when it is restarted without a secret file. A refused upload was not stored,
            // so it may be sent once more.
            shown = self.credential().await?;
            answer = self.send_form(&form, &shown).await?;
        }
        guarded_answer(answer, &shown).await
    }

    async fn send_form(&self, form: &Form<'_>, shown: &Shown) -> Result<http::Response<Body>, UpstreamError> {
        let progress = Progress::start();
        let body = Rebuilt::new(Arc::clone(&form.body), progress.clone());
        let mut request = Request::new(Body::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target_for(form.upload_path, None)?;
        let mut headers = guarded(form.received, &self.forwarding(form.received, form.caller));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(form.body.content_length));
        headers.insert(CONTENT_TYPE, header(&form.body.content_type)?);
        shown.put_into(&mut headers);
        *request.headers_mut() = headers;
        self.send(request, &progress).await
    }

    /// What to show this time.
    pub(super) async fn credential(&self) -> Result<Shown, UpstreamError> {
        Ok(match &self.settings().credential {
            UpstreamCredential::Nothing => Shown::nothing(),
            UpstreamCredential::Field(name, value) => Shown::field(name, value),
            UpstreamCredential::DevpiLogin(login) => Shown::login(self.logged_in(login).await?),
        })
    }

    /// Gives up a login that the index refused; tells whether there was one.
    fn forget(&self, shown: &Shown) -> bool {
        match (&self.settings().credential, shown.login_token()) {
            (UpstreamCredential::DevpiLogin(login), Some(token)) => {
                login.discard(token);
                true
            }
            _ => false,
        }
    }

    /// The present login token, or a new one.
    async fn logged_in(&self, login: &DevpiLogin) -> Result<Arc<LoginToken>, UpstreamError> {
        if let Some(token) = login.current(self.clock.now()) {
            return Ok(token);
        }
        let mut failed_at = login.logging_in.lock().await;
        let now = self.clock.now();
        if let Some(token) = login.current(now) {
            return Ok(token);
        }
        // Who waited while a login failed does not wait for the same once more.
        if failed_at.is_some_and(|at| now.seconds_since(at) < RETRY_LOGIN_AFTER) {
            return Err(UpstreamError::Login("it failed a moment ago".to_owned()));
        }
        let attempt = timeout(LOGIN_TIMEOUT, self.log_in(login)).await;
        let attempt = attempt.unwrap_or(Err(UpstreamError::Slow(LOGIN_TIMEOUT)));
        // No file was sent yet: whatever went wrong went wrong with the login.
        let attempt = attempt.map_err(|error| match error {
            UpstreamError::CredentialRefused(_) | UpstreamError::Login(_) => error,
            other => UpstreamError::Login(other.to_string()),
        });
        *failed_at = attempt.is_err().then(|| self.clock.now());
        attempt
    }

    async fn log_in(&self, login: &DevpiLogin) -> Result<Arc<LoginToken>, UpstreamError> {
        let answer = self.send(self.login_request(login)?, &Progress::start()).await?;
        match answer.status() {
            StatusCode::OK => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(UpstreamError::CredentialRefused(status.as_u16()));
            }
            status => return Err(UpstreamError::Login(format!("HTTP {}", status.as_u16()))),
        }
        let answer = Limited::new(answer.into_body(), LARGEST_LOGIN).collect().await;
        let answer = answer.map_err(|error| UpstreamError::Login(error.to_string()))?.to_bytes();
        login.accept(&answer, self.clock.now()).map_err(|why| UpstreamError::Login(why.to_owned()))
    }

    fn login_request(&self, login: &DevpiLogin) -> Result<Request<Body>, UpstreamError> {
        let body = Bytes::from(login.request());
        let json = HeaderValue::from_static("application/json");
        let mut request = Request::new(whole(body));
        *request.method_mut() = Method::POST;
        // Without an outside URL, devpi knows no prefix.
        *request.uri_mut() = origin_form(&format!("{}/+login", self.settings().base_path))?;
        request.headers_mut().insert(HOST, self.settings().authority.clone());
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        Ok(request)
    }
}
