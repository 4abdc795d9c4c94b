//! Trying an upstream before anybody depends on it: whether it answers, and whether it takes the gateway's credential,
//! as far as that can be found out without changing anything.

use http::header::{DATE, HOST};
use http::{HeaderMap, Method, Request, StatusCode};

use super::{Upstream, UpstreamCredential};
use crate::clock::Timestamp;
use crate::proxy::{Progress, UpstreamError, empty};

/// What an upstream answers when it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The status of its answer.
    pub status: StatusCode,
    /// The time that it goes by, if it says so.
    pub date: Option<Timestamp>,
    /// What became of the credential.
    pub credential: ProbedCredential,
}

/// How much is known about a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbedCredential {
    /// There is none.
    Nothing,
    /// The upstream gave a login token for it.
    LoggedIn,
    /// The upstream answered a read with it as if it were good; it may not have looked.
    NotRefused,
    /// The upstream refused to be read with it.
    Refused,
}

impl Upstream {
    /// Reads a public path with the gateway's credential.
    pub async fn probe(&self, path: &str) -> Result<Probe, UpstreamError> {
        let mut credential = HeaderMap::new();
        self.credential().await?.put_into(&mut credential);
        let good = match &self.settings.credential {
            UpstreamCredential::Nothing => ProbedCredential::Nothing,
            UpstreamCredential::Field(..) => ProbedCredential::NotRefused,
            UpstreamCredential::DevpiLogin(_) => ProbedCredential::LoggedIn,
        };
        let (status, date) = self.read(path, credential).await?;
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let credential = match good {
            ProbedCredential::NotRefused if refused => ProbedCredential::Refused,
            other => other,
        };
        Ok(Probe { status, date, credential })
    }

    async fn read(
        &self,
        path: &str,
        credential: HeaderMap,
    ) -> Result<(StatusCode, Option<Timestamp>), UpstreamError> {
        let mut request = Request::new(empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.target_for(path, None)?;
        *request.headers_mut() = credential;
        request.headers_mut().insert(HOST, self.settings.authority.clone());
        let answer = self.send(request, &Progress::start()).await?;
        let date = answer.headers().get(DATE).and_then(|date| Timestamp::from_http_date(date.to_str().ok()?));
        Ok((answer.status(), date))
    }
}
