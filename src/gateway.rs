//! One request, from its head to its answer. Read this first.
//!
//! ```text
//!                    ┌ own path ─────────► exchange: discovery, audience, mint, check, burn
//! request ─► route ──┤
//!                    │                ┌ none, or classic ─► relay: as it came, or refused where
//!                    │                │                     the rules restrict passwords
//!                    └ credential ────┤
//!                                     └ upload token ─────► read:   relayed, token dropped
//!                                                           upload: receive, decide, rebuild, publish
//!                                                           else:   refused
//! ```

mod check;
mod exchange;
mod live;
mod passwords;
mod publish;
mod pytp;
mod setup;
mod story;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, EXPECT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request};
use hyper::body::Incoming;

use crate::clock::Clock;
use crate::names::{IndexName, UpstreamName};
use crate::observe::audit::{Audit, Event, KeptDecision, Outcome, Record};
use crate::proxy::{
    Arriving, Body, Caller, Endpoint, OwnPath, Refusal, Route, Upstream, check_request, has_one_length,
    refused,
};
use crate::store::Store;
use crate::token::{BadCredential, Credential, mentions_upload_token};

pub use exchange::MintRate;
pub use live::Live;
pub use setup::{Door, Issuer, Limits, Peer, Setup};
use story::Story;

/// The gateway as one serving thread has it, in one configuration: nothing in here is shared that locks.
#[derive(Debug)]
pub struct Gateway {
    setup: Arc<Setup>,
    upstreams: HashMap<UpstreamName, Rc<Upstream>>,
    store: Store,
    audit: Audit,
    rate: MintRate,
    clock: Clock,
}

impl Gateway {
    /// A gateway with this configuration. `store`, `audit` and `rate` are shared with the other threads.
    pub fn new(setup: Arc<Setup>, store: Store, audit: Audit, rate: MintRate, clock: Clock) -> Self {
        let begun = Self { setup: Arc::clone(&setup), upstreams: HashMap::new(), store, audit, rate, clock };
        begun.renewed(setup)
    }

    /// The same gateway with another configuration. Upstreams that are the same in both keep their connections.
    fn renewed(&self, setup: Arc<Setup>) -> Self {
        let upstream = |settings| match self.upstreams.values().find(|upstream| upstream.has(settings)) {
            Some(kept) => Rc::clone(kept),
            None => Rc::new(Upstream::new(Arc::clone(settings), self.clock.clone())),
        };
        let upstreams =
            setup.upstreams.iter().map(|settings| (settings.name.clone(), upstream(settings))).collect();
        let Self { store, audit, rate, clock, .. } = self;
        let (store, audit, rate, clock) = (store.clone(), audit.clone(), rate.clone(), clock.clone());
        Self { setup, upstreams, store, audit, rate, clock }
    }

    /// How connections are spoken with.
    pub fn door(&self) -> &Door {
        &self.setup.door
    }

    /// The answer when there is none: a fault in the gateway itself.
    pub fn failed() -> Response<Body> {
        refused(&Refusal::Internal, "-", &HeaderMap::new())
    }

    /// Answers a request. Whatever happens, there is an answer.
    pub async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let (head, body) = request.into_parts();
        let one_length = has_one_length(&head);
        let mut answer = self.answer_once(head, body, peer).await;
        if !one_length {
            // What looks like the next request may be the body of this one.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    async fn answer_once(&self, head: request::Parts, body: Incoming, peer: Peer) -> Response<Body> {
        let body = Arriving::new(body, head.headers.contains_key(EXPECT));
        let caller = self.setup.caller(&head.headers, peer);
        let route = match self.setup.routes.find(&head.method, head.uri.path(), head.uri.query()) {
            Ok(Route::Own(path)) => return self.own(path, &head, body, &caller).await,
            other => other,
        };
        let mut story = Story::begin(Event::Request, caller.address, &self.setup.hash, &self.clock);
        let answer = match route {
            Ok(route) => self.forward(route, &head, body, &caller, &mut story).await,
            Err(refusal) => Err(refusal),
        };
        match answer {
            Ok(answer) => {
                story.answered(answer.status());
                self.tell(story).await;
                answer
            }
            Err(refusal) => {
                let answer = refused(&refusal, story.reference(), &head.headers);
                story.refused(&refusal, answer.status());
                self.tell(story).await;
                answer
            }
        }
    }

    /// The exchange. These paths never reach an upstream and look at no credential.
    async fn own(
        &self,
        path: OwnPath<'_>,
        head: &request::Parts,
        body: Arriving,
        caller: &Caller,
    ) -> Response<Body> {
        match path {
            OwnPath::Discovery => self.discovery(head),
            OwnPath::Host(endpoint) => self.step(endpoint, None, &head.method, body, caller).await,
            OwnPath::Index(index, endpoint) => self.step_of_index(index, endpoint, head, body, caller).await,
            OwnPath::Unknown => exchange::unknown(),
        }
    }

    /// One step of the exchange: for every index of the host, or for one alone.
    async fn step(
        &self,
        endpoint: Endpoint,
        index: Option<&IndexName>,
        method: &Method,
        body: Arriving,
        caller: &Caller,
    ) -> Response<Body> {
        match endpoint {
            Endpoint::Audience => self.audience(method),
            Endpoint::Mint => self.mint(index, method, body, caller).await,
            Endpoint::Check => self.check(index, method, body, caller).await,
            Endpoint::Burn => self.burn(method, body, caller).await,
        }
    }

    /// Everything that may reach an upstream: by what the caller presents, in one of two lanes that never mix.
    async fn forward(
        &self,
        route: Route<'_>,
        head: &request::Parts,
        body: Arriving,
        caller: &Caller,
        story: &mut Story,
    ) -> Result<Response<Body>, Refusal> {
        check_request(head)?;
        self.check_nothing_leaks(head)?;
        match Credential::read(&head.headers)? {
            Credential::Anonymous | Credential::Classic => {
                self.check_no_identity_token(head)?;
                self.classic(route, head, body, caller, story).await
            }
            Credential::Minted(token) => {
                let identity = self.setup.tokens.verify(token.expose(), self.clock.now())?;
                story.identified(&identity);
                match route {
                    Route::Upload(index) => {
                        story.about(Event::Upload);
                        self.publish(index, identity, head, body, caller, story).await
                    }
                    Route::Read => self.relay(without_token(head), body, caller).await,
                    Route::AlmostUpload(index) => {
                        Err(Refusal::UploadPath { upload_path: index.upload_path.clone() })
                    }
                    Route::Other | Route::Own(_) => Err(self.not_an_upload()),
                }
            }
        }
    }

    /// The relay lane: the request as it came, the answer as it comes.
    async fn relay(
        &self,
        head: request::Parts,
        body: Arriving,
        caller: &Caller,
    ) -> Result<Response<Body>, Refusal> {
        let upstream = self.setup.routes.upstream(head.uri.path()).ok_or(Refusal::NoUpstream)?;
        let upstream = self.upstreams.get(&upstream.upstream).ok_or(Refusal::NoUpstream)?;
        let progress = body.progress();
        let answer =
            upstream.relay(head.method, &head.uri, &head.headers, Body::new(body), &progress, caller).await;
        answer.map_err(|error| Refusal::Upstream { upstream: upstream.settings().name.clone(), error })
    }

    /// An upload token in the target or in a header that is no credential would travel on: it is refused.
    fn check_nothing_leaks(&self, head: &request::Parts) -> Result<(), Refusal> {
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        let fields = head.headers.iter().filter(|(name, _)| *name != AUTHORIZATION);
        let leaks = mentions_upload_token(target.as_bytes())
            || fields.map(|(_, value)| value.as_bytes()).any(mentions_upload_token);
        if leaks { Err(BadCredential::Misplaced.into()) } else { Ok(()) }
    }

    /// An identity token of one of our issuers is not passed on as if it were some index's password: it could be
    /// exchanged by whoever reads it.
    fn check_no_identity_token(&self, head: &request::Parts) -> Result<(), Refusal> {
        match Credential::jwt(&head.headers) {
            Some(jwt) if self.setup.issued_by_ours(jwt.expose()) => Err(BadCredential::IdentityToken.into()),
            Some(_) | None => Ok(()),
        }
    }

    fn not_an_upload(&self) -> Refusal {
        let paths = self.setup.routes.indexes.iter().map(|index| index.upload_path.as_str());
        Refusal::NotAnUpload { upload_paths: paths.collect::<Vec<_>>().join(" or ") }
    }

    /// Writes the audit line of a request that deserves one.
    async fn tell(&self, story: Story) {
        if let Some(record) = story.end() {
            if record.decision != Outcome::Allow
                && record.status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16()
            {
                tracing::error!(reference = record.reference, reason = record.reason, "request failed");
            }
            // A line that cannot be written is in the log already, whole.
            _ = self.audit.record(&record).await;
            self.keep(&record);
        }
    }

    /// Keeps the decision for `explain`, if it is about an identity or a refusal. The audit is what counts, and this may
    /// fail.
    fn keep(&self, record: &Record) {
        let kept = self.setup.keep_decisions;
        if kept.is_zero() || record.decision == Outcome::Relay {
            return;
        }
        if let Ok(body) = serde_json::to_string(&KeptDecision::from(record)) {
            let now = self.clock.now();
            self.store.keep(&record.reference, body, now.after(kept), now);
        }
    }
}

/// uv and hatch send upload credentials with their look at the index: the index sees an anonymous reader.
fn without_token(head: &request::Parts) -> request::Parts {
    let mut head = head.clone();
    head.headers.remove(AUTHORIZATION);
    head
}
