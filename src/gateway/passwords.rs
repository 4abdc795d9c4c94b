//! Requests with a classic credential, or none, where the rules restrict passwords. Elsewhere they are relayed unseen.
//!
//! A project that takes no passwords must not be reachable by another way of writing, either: what cannot be inspected is
//! refused on its index, and so is a push into that index from elsewhere.

use http::{Method, Response, request};
use tokio::time::timeout;

use super::{Gateway, Story};
use crate::clock::Timestamp;
use crate::json;
use crate::policy::Passwords;
use crate::proxy::{
    Arriving, Body, Caller, IndexRoute, Refusal, Route, UpstreamError, UpstreamKind, is_index_path,
};

/// The largest JSON command that is read to see where it goes.
const LARGEST_COMMAND: usize = 64 * 1024;

impl Gateway {
    /// The lane of classic credentials.
    pub(super) async fn classic(
        &self,
        route: Route<'_>,
        head: &request::Parts,
        mut body: Arriving,
        caller: &Caller,
        story: &mut Story,
    ) -> Result<Response<Body>, Refusal> {
        let now = self.clock.now();
        match route {
            Route::Upload(index) => {
                story.relayed_upload(&index.index);
                if self.setup.rules.passwords_depend_on_project(&index.index) {
                    return self.inspected(index, head, body, caller, story).await;
                }
                match index.passwords {
                    Passwords::Allow => {}
                    Passwords::Warn => story.warned(),
                    Passwords::Refuse => return Err(no_passwords(index, None)),
                }
            }
            Route::AlmostUpload(index) if self.watches(index) => {
                return Err(Refusal::UploadPath { upload_path: index.upload_path.clone() });
            }
            Route::AlmostUpload(_) | Route::Other => self.check_other_write(head, &mut body, now).await?,
            Route::Read | Route::Own(_) => {}
        }
        self.relay(head.clone(), body, caller).await
    }

    /// An upload whose project decides: read like a guarded one, and sent on with the caller's own credential.
    async fn inspected(
        &self,
        index: &IndexRoute,
        head: &request::Parts,
        mut body: Arriving,
        caller: &Caller,
        story: &mut Story,
    ) -> Result<Response<Body>, Refusal> {
        let upload = self.receive(&head.headers, &mut body).await?;
        story.uploading(&index.index, &upload);
        let project = upload.project();
        match self.setup.rules.passwords(&index.index, index.passwords, project, self.clock.now()) {
            Passwords::Allow => {}
            Passwords::Warn => story.warned(),
            Passwords::Refuse => return Err(no_passwords(index, Some(project.as_str()))),
        }
        let upstream = self.upstreams.get(&index.upstream).ok_or(Refusal::NoUpstream)?;
        let answer = upstream.relay_upload(index, upload, &head.headers, caller).await;
        answer.map_err(|error: UpstreamError| Refusal::Upstream { upstream: index.upstream.clone(), error })
    }

    fn watches(&self, index: &IndexRoute) -> bool {
        index.passwords != Passwords::Allow || self.setup.rules.passwords_depend_on_project(&index.index)
    }

    /// Writes that are no upload to a declared index: refused where they could change a closed index.
    async fn check_other_write(
        &self,
        head: &request::Parts,
        body: &mut Arriving,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let rules = &self.setup.rules;
        let routes = &self.setup.routes;
        let closed: Vec<&IndexRoute> = routes
            .indexes
            .iter()
            .filter(|index| rules.closed_to_passwords(&index.index, index.passwords, now))
            .collect();
        if closed.is_empty() || head.method == Method::OPTIONS {
            return Ok(());
        }
        if let Some(index) = closed.iter().find(|index| index.is_touched_by(head.uri.path())) {
            return Err(Refusal::ClosedIndex { index: index.index.clone() });
        }
        let upstream = routes.upstream(head.uri.path()).and_then(|route| self.upstreams.get(&route.upstream));
        match upstream.map(|upstream| upstream.settings()) {
            Some(devpi) if devpi.kind == UpstreamKind::Devpi && takes_pushes(head, &devpi.prefix) => {
                let looked = timeout(self.setup.limits.body_pause, check_push(&closed, body)).await;
                looked.unwrap_or(Err(Refusal::Stalled))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// devpi takes a push at the path of an index, by `PUSH` and by `POST`.
fn takes_pushes(head: &request::Parts, prefix: &str) -> bool {
    let changes_the_index = [Method::PUT, Method::PATCH, Method::DELETE].contains(&head.method);
    !changes_the_index && is_index_path(head.uri.path(), prefix)
}

/// devpi copies a release into another index on a JSON command, whatever its `Content-Type` says. A body that begins like
/// a form is none, in any charset; everything else is read, and what cannot be read is refused.
async fn check_push(closed: &[&IndexRoute], body: &mut Arriving) -> Result<(), Refusal> {
    let refused = || Refusal::ClosedIndex { index: closed[0].index.clone() };
    let start = body.peek().await.map_err(|_| Refusal::Aborted)?;
    if start.is_empty() || start.starts_with(b"--") || start.starts_with(b"\r\n--") {
        return Ok(());
    }
    let command = body.peek_all(LARGEST_COMMAND).await.map_err(|_| Refusal::Aborted)?.ok_or_else(refused)?;
    let command = json::parse(&command).map_err(|_| refused())?;
    let Some(target) = command.get("targetindex") else { return Ok(()) };
    let target = target.as_str().ok_or_else(refused)?;
    let into =
        closed.iter().find(|index| index.upload_path.trim_matches('/').ends_with(target.trim_matches('/')));
    match into {
        Some(index) => Err(Refusal::ClosedIndex { index: index.index.clone() }),
        None => Ok(()),
    }
}

fn no_passwords(index: &IndexRoute, project: Option<&str>) -> Refusal {
    Refusal::NoPasswords { index: index.index.clone(), project: project.map(str::to_owned) }
}
