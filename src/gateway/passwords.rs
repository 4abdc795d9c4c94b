//! Requests with a classic credential, or none, where the rules restrict passwords. Elsewhere they are relayed unseen.
//!
//! A project that takes no passwords must not be reachable by another way of writing, either. So while some project of
//! an index is closed, the whole server behind that index is: reads pass, and the writes of which it is known that they
//! lead elsewhere. Everything else is refused, whatever it is.

use http::{Response, request};
use tokio::time::timeout;

use super::{Gateway, Setup, Story};
use crate::policy::Passwords;
use crate::proxy::{
    Arriving, Body, Caller, DevpiIndex, FORM_START, IndexRoute, PushCommand, Refusal, Route, Upstream,
    UpstreamError, Write, classify, is_form,
};

/// The largest JSON command that is read to see where it goes.
const LARGEST_COMMAND: usize = 64 * 1024;

/// The indexes behind one server that take no passwords now, for some project at least.
struct Closed<'a> {
    indexes: Vec<&'a IndexRoute>,
    upstream: &'a Upstream,
}

impl Gateway {
    /// The lane of classic credentials.
    pub(super) async fn classic(
        &self,
        route: Route<'_>,
        head: &request::Parts,
        body: Arriving,
        caller: &Caller,
        story: &mut Story,
    ) -> Result<Response<Body>, Refusal> {
        let closed = match route {
            Route::Read | Route::Own(_) => None,
            Route::Upload(_) | Route::AlmostUpload(_) | Route::Other => self.closed(head.uri.path()),
        };
        match route {
            Route::Upload(index) => {
                story.relayed_upload(&index.index);
                if self.depends_on_project(index) {
                    return self.inspected(index, head, body, caller, story).await;
                }
                if index.passwords == Passwords::Refuse {
                    return Err(no_passwords(index, None));
                }
                if closed.as_ref().is_some_and(|closed| !closed.tells_the_index(head)) {
                    return self.inspected(index, head, body, caller, story).await;
                }
            }
            Route::AlmostUpload(index) if self.watches(index) => {
                return Err(Refusal::UploadPath { upload_path: index.upload_path.clone() });
            }
            Route::AlmostUpload(_) | Route::Other | Route::Read | Route::Own(_) => {}
        }
        match closed {
            Some(closed) => self.past_closed(&closed, head, body, caller).await,
            None => self.relay(head.clone(), body, caller).await,
        }
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

    /// Whether the form of an upload must be read to know what the rules say. Where they only warn, it is, so that the
    /// audit names the projects that still use passwords.
    fn depends_on_project(&self, index: &IndexRoute) -> bool {
        index.passwords == Passwords::Warn || self.setup.rules.passwords_depend_on_project(&index.index)
    }

    fn watches(&self, index: &IndexRoute) -> bool {
        index.passwords == Passwords::Refuse || self.depends_on_project(index)
    }

    /// What is closed now behind this path.
    fn closed(&self, path: &str) -> Option<Closed<'_>> {
        let now = self.clock.now();
        let Setup { routes, rules, .. } = &*self.setup;
        let upstream = &routes.upstream(path)?.upstream;
        let indexes = routes.indexes.iter().filter(|index| {
            index.upstream == *upstream && rules.closed_to_passwords(&index.index, index.passwords, now)
        });
        let indexes: Vec<_> = indexes.collect();
        let upstream = self.upstreams.get(upstream)?;
        (!indexes.is_empty()).then_some(Closed { indexes, upstream })
    }

    /// A write to a server with a closed index that is no upload to one that is watched: relayed if it is known to lead
    /// elsewhere.
    async fn past_closed(
        &self,
        closed: &Closed<'_>,
        head: &request::Parts,
        mut body: Arriving,
        caller: &Caller,
    ) -> Result<Response<Body>, Refusal> {
        match closed.classify(head) {
            Write::Nothing | Write::Login => {}
            Write::UploadOrPush(index) => {
                closed.check_open(index)?;
                let form = async { body.peek(FORM_START).await.map(|start| is_form(start)) };
                let form = timeout(self.setup.limits.body_pause, form).await.map_err(|_| Refusal::Stalled)?;
                if !form.map_err(|_| Refusal::Aborted)? {
                    return self.push(closed, head, body, caller).await;
                }
            }
            Write::Push(index) => {
                closed.check_open(index)?;
                return self.push(closed, head, body, caller).await;
            }
            Write::Unknown => return Err(closed.refusal()),
        }
        self.relay(head.clone(), body, caller).await
    }

    /// devpi copies a release into another index. It gets the command as it was understood here.
    async fn push(
        &self,
        closed: &Closed<'_>,
        head: &request::Parts,
        mut body: Arriving,
        caller: &Caller,
    ) -> Result<Response<Body>, Refusal> {
        let command = timeout(self.setup.limits.body_pause, body.all(LARGEST_COMMAND)).await;
        let command = command.map_err(|_| Refusal::Stalled)?.map_err(|_| Refusal::Aborted)?;
        let push = command.as_deref().and_then(PushCommand::read).ok_or_else(|| closed.refusal())?;
        closed.check_open(push.target())?;
        let upstream = closed.upstream;
        let answer = upstream.relay_push(head.method.clone(), &head.uri, push, &head.headers, caller).await;
        answer.map_err(|error| Refusal::Upstream { upstream: upstream.settings().name.clone(), error })
    }
}

impl Closed<'_> {
    fn classify<'a>(&self, head: &'a request::Parts) -> Write<'a> {
        let settings = self.upstream.settings();
        classify(settings.kind, &head.method, settings.path_within(head.uri.path()))
    }

    /// Whether the path of an upload leads into one index for certain, whatever the body says.
    fn tells_the_index(&self, head: &request::Parts) -> bool {
        matches!(self.classify(head), Write::UploadOrPush(_))
    }

    fn check_open(&self, index: DevpiIndex<'_>) -> Result<(), Refusal> {
        let closed = self.indexes.iter().find(|closed| index.is(closed, self.upstream.settings()));
        closed.map_or(Ok(()), |closed| Err(Refusal::ClosedIndex { index: closed.index.clone() }))
    }

    fn refusal(&self) -> Refusal {
        Refusal::ClosedIndex { index: self.indexes[0].index.clone() }
    }
}

fn no_passwords(index: &IndexRoute, project: Option<&str>) -> Refusal {
    Refusal::NoPasswords { index: index.index.clone(), project: project.map(str::to_owned) }
}
