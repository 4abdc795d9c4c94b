//! The exchange: an identity token in, an upload token out. PyPI's protocol, and uv's way to give a token back.
//! At the paths of one index the token is for that index alone.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Method, Response, StatusCode};
use moka::sync::Cache;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Gateway, Issuer, Setup, Story, pytp};
use crate::clock::Timestamp;
use crate::json;
use crate::names::IndexName;
use crate::observe::audit::{Event, Record};
use crate::oidc::{IdentifyError, TokenError, Unverified, identify};
use crate::policy::{Asked, Decision, VerifiedClaims, decide, why_no_token, why_no_token_for};
use crate::proxy::{Arriving, Body, Caller, ExchangeRefusal, exchange_refused, json as json_answer};
use crate::token::{Minted, Terms};

/// The largest body of a request: a token of 16 KiB and room around it.
const LARGEST_BODY: usize = 64 * 1024;

/// Clients give up after 5 s, whatever the issuer does.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(3900);

/// How long after a token's `exp` its use is still remembered: the leeway in which it is accepted, and a margin.
const REMEMBER: Duration = Duration::from_secs(30 + 60);

/// Whom an identity token speaks of, and what uses it up.
pub(super) struct Identified {
    pub(super) claims: VerifiedClaims,
    replay_key: [u8; 32],
    expires: Timestamp,
    at: Timestamp,
}

impl Gateway {
    /// `GET /_/oidc/audience`: what to ask the CI system for.
    pub(super) fn audience(&self, method: &Method) -> Response<Body> {
        if self.setup.issuers.is_empty() {
            return exchange_refused(&ExchangeRefusal::NotSetUp, "-");
        }
        match *method {
            Method::GET | Method::HEAD => {
                json_answer(StatusCode::OK, &json!({"audience": self.setup.audience}))
            }
            _ => exchange_refused(&ExchangeRefusal::Method("GET, HEAD"), "-"),
        }
    }

    /// `POST /_/oidc/mint-token`.
    pub(super) async fn mint(
        &self,
        index: Option<&IndexName>,
        method: &Method,
        body: Arriving,
        caller: &Caller,
    ) -> Response<Body> {
        let mut story = Story::begin(Event::Mint, caller.address, &self.setup.hash, &self.clock);
        story.about(Event::Mint);
        let exchange = timeout(ANSWER_WITHIN, self.exchange(index, method, body, caller, &mut story)).await;
        match exchange.unwrap_or_else(|_| Err(too_slow())) {
            Ok(minted) => self.hand_out(&minted, story).await,
            Err(refusal) => self.refuse_exchange(&refusal, story).await,
        }
    }

    /// Answers that it is refused, after the audit has it.
    pub(super) async fn refuse_exchange(
        &self,
        refusal: &ExchangeRefusal,
        mut story: Story,
    ) -> Response<Body> {
        let answer = exchange_refused(refusal, story.reference());
        story.refused(refusal, answer.status());
        self.tell(story).await;
        answer
    }

    /// From the body of the request to a token, or to the first thing that is wrong.
    async fn exchange(
        &self,
        index: Option<&IndexName>,
        method: &Method,
        body: Arriving,
        caller: &Caller,
        story: &mut Story,
    ) -> Result<Minted, ExchangeRefusal> {
        self.check_may_ask(method, caller)?;
        let request = object_in(body).await?;
        let single_use = pytp::single_use(request.get("features")).map_err(|why| invalid(&why))?;
        let Identified { claims, replay_key, expires, at: now } =
            self.identified(token_of(&request)?, story).await?;

        let decision = self.given(index, &claims, None, now, story)?;
        story.granted(&decision.grants);
        self.claim(replay_key, expires, now).await?;
        let terms = Terms { index: index.cloned(), single_use };
        let minted = self.setup.tokens.mint(&claims, terms, now);
        minted.ok_or_else(|| unavailable("the system gives no random bytes"))
    }

    /// What the rules give an identity, on every index or on one; if that is nothing, why.
    pub(super) fn given(
        &self,
        index: Option<&IndexName>,
        claims: &VerifiedClaims,
        asked: Option<&Asked>,
        now: Timestamp,
        story: &mut Story,
    ) -> Result<Decision, ExchangeRefusal> {
        let Setup { rules, detail, .. } = &*self.setup;
        let everywhere = decide(rules, claims, asked, now);
        let Some(index) = index else {
            story.observed(everywhere.observed.clone());
            if everywhere.grants.is_empty() {
                let reasons = self.setup.reasons(everywhere, claims, asked, now);
                return Err(ExchangeRefusal::InvalidPublisher(why_no_token(&reasons, claims, *detail)));
            }
            return Ok(everywhere);
        };
        story.for_index(index);
        let here = everywhere.clone().only_for(index);
        story.observed(here.observed.clone());
        if here.grants.is_empty() {
            let reasons = self.setup.reasons(everywhere, claims, asked, now);
            let why = why_no_token_for(index, &reasons, claims, *detail);
            return Err(ExchangeRefusal::InvalidPublisher(why));
        }
        Ok(here)
    }

    /// Verifies an identity token and reads it as its issuer writes it.
    pub(super) async fn identified(
        &self,
        jwt: &str,
        story: &mut Story,
    ) -> Result<Identified, ExchangeRefusal> {
        let token = Unverified::read(jwt).map_err(|error| token_refused(&error))?;
        let setup = &self.setup;
        let issuer = setup.issuer(token.issuer()).ok_or_else(unknown_issuer)?;
        let now = self.clock.now();

        let identity = identify(&token, &issuer.keys, &issuer.expected(&setup.audience), now).await;
        let identity = identity.map_err(|error| not_identified(issuer, &error))?;
        let claims = issuer.preset.read(issuer.name.clone(), &identity, &issuer.kept_claims);
        let claims = claims.map_err(|problem| ExchangeRefusal::InvalidPublisher(problem.to_string()))?;
        story.claims(&claims);
        Ok(Identified { claims, replay_key: identity.replay_key(), expires: identity.expires(), at: now })
    }

    pub(super) fn check_may_ask(&self, method: &Method, caller: &Caller) -> Result<(), ExchangeRefusal> {
        if self.setup.issuers.is_empty() {
            return Err(ExchangeRefusal::NotSetUp);
        }
        if method != Method::POST {
            return Err(ExchangeRefusal::Method("POST"));
        }
        let most = self.setup.limits.mint_per_minute;
        self.rate.count(caller.address, most).map_err(ExchangeRefusal::RateLimited)
    }

    /// Uses up the identity token. This comes last, so that a refused exchange can be repeated once the rules are right.
    async fn claim(&self, key: [u8; 32], expires: Timestamp, now: Timestamp) -> Result<(), ExchangeRefusal> {
        if !self.audit.is_writing() {
            return Err(unavailable("the gateway's audit cannot be written"));
        }
        match self.store.claim_once(key, expires.after(REMEMBER), now).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ExchangeRefusal::Reused),
            Err(error) => {
                tracing::error!(%error, "cannot claim an identity token");
                Err(unavailable("the gateway's store is unavailable"))
            }
        }
    }

    /// Answers with the token, after the audit has it: a token that nobody would know of is not handed out.
    async fn hand_out(&self, minted: &Minted, mut story: Story) -> Response<Body> {
        story.minted(&minted.id);
        story.answered(StatusCode::OK);
        let reference = story.reference().to_owned();
        let record: Option<Record> = story.end();
        if let Some(record) = record {
            if self.audit.record(&record).await.is_err() {
                let why =
                    "the gateway's audit cannot be written; tell its administrator, then start the job again";
                return exchange_refused(&ExchangeRefusal::Unavailable(why.to_owned()), &reference);
            }
            self.keep(&record);
        }
        let answer = json!({"success": true, "token": minted.token.expose(), "expires": minted.expires.0});
        json_answer(StatusCode::OK, &answer)
    }

    /// `POST /_/oidc/burn-token`: an upload token is given back. Tokens that are none, or no longer, are as good as burnt.
    pub(super) async fn burn(&self, method: &Method, body: Arriving, caller: &Caller) -> Response<Body> {
        let mut story = Story::begin(Event::Burn, caller.address, &self.setup.hash, &self.clock);
        let giving = timeout(ANSWER_WITHIN, self.give_back(method, body, caller, &mut story)).await;
        match giving.unwrap_or_else(|_| Err(unavailable("giving the token back took too long"))) {
            Ok(()) => {
                story.answered(StatusCode::ACCEPTED);
                self.tell(story).await;
                json_answer(StatusCode::ACCEPTED, &json!({"message": "Accepted"}))
            }
            Err(refusal) => self.refuse_exchange(&refusal, story).await,
        }
    }

    async fn give_back(
        &self,
        method: &Method,
        body: Arriving,
        caller: &Caller,
        story: &mut Story,
    ) -> Result<(), ExchangeRefusal> {
        self.check_may_ask(method, caller)?;
        let request = object_in(body).await?;
        let now = self.clock.now();
        let Ok(identity) = self.setup.tokens.verify(token_of(&request)?, now) else { return Ok(()) };
        story.about(Event::Burn);
        story.identified(&identity);
        story.granted(&[]);
        let revoked = self.store.revoke(&identity.token_id, identity.expires, now).await;
        revoked.map_err(|error| {
            tracing::error!(%error, "cannot revoke an upload token");
            unavailable("the gateway's store is unavailable")
        })
    }
}

/// A path under `/_/` that is not served.
pub(super) fn unknown() -> Response<Body> {
    exchange_refused(&ExchangeRefusal::NotFound, "-")
}

/// The body of the request: JSON, whatever the `Content-Type` says. Members that are not known are for later protocols.
pub(super) async fn object_in(mut body: Arriving) -> Result<Value, ExchangeRefusal> {
    let text = body.all(LARGEST_BODY).await.map_err(|_| invalid("the request body ended early"))?;
    let text = text.ok_or(ExchangeRefusal::TooLarge(LARGEST_BODY))?;
    json::parse(&text).map_err(|error| invalid(&format!("the request body is not JSON: {error}")))
}

/// The `token` of the request.
pub(super) fn token_of(request: &Value) -> Result<&str, ExchangeRefusal> {
    match request.get("token") {
        Some(Value::String(token)) => Ok(token),
        Some(_) => Err(invalid("`token` must be a string")),
        None => Err(invalid("the request body must be a JSON object with a `token`")),
    }
}

pub(super) fn invalid(why: &str) -> ExchangeRefusal {
    ExchangeRefusal::InvalidPayload(why.to_owned())
}

pub(super) fn too_slow() -> ExchangeRefusal {
    unavailable("the exchange took too long")
}

fn unknown_issuer() -> ExchangeRefusal {
    ExchangeRefusal::InvalidPayload("unknown trusted publishing issuer".to_owned())
}

fn unavailable(why: &str) -> ExchangeRefusal {
    ExchangeRefusal::Unavailable(format!("{why}; try again in a moment"))
}

fn not_identified(issuer: &Issuer, error: &IdentifyError) -> ExchangeRefusal {
    match error {
        IdentifyError::Token(error) => token_refused(error),
        IdentifyError::Keys(_) => {
            let problem = issuer.keys.problem().map(|problem| problem.to_string());
            tracing::error!(issuer = %issuer.name, problem, "no keys to verify an identity token with");
            unavailable("the keys of the token's issuer cannot be fetched")
        }
    }
}

fn token_refused(error: &TokenError) -> ExchangeRefusal {
    match error {
        TokenError::Malformed(_) => ExchangeRefusal::MalformedToken(error.to_string()),
        TokenError::UnknownKey(_) | TokenError::BadSignature(_) | TokenError::Invalid(_) => {
            ExchangeRefusal::InvalidToken(error.to_string())
        }
    }
}

/// Counts exchanges by client address, in windows of a minute. Shared by all serving threads.
#[derive(Clone, Debug)]
pub struct MintRate(Cache<IpAddr, Arc<AtomicU32>>);

impl MintRate {
    const WINDOW: Duration = Duration::from_secs(60);
    /// Addresses that are remembered; more make the oldest forgotten, which only ever allows more.
    const MOST_ADDRESSES: u64 = 100_000;

    /// Counts one; of so many a minute from one address (one /64 for IPv6). The error is how many seconds to wait.
    fn count(&self, address: IpAddr, most: u32) -> Result<(), u64> {
        let count = self.0.get_with(network(address), Arc::default);
        if count.fetch_add(1, Ordering::Relaxed) < most { Ok(()) } else { Err(Self::WINDOW.as_secs()) }
    }
}

impl Default for MintRate {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(Self::MOST_ADDRESSES).time_to_live(Self::WINDOW).build())
    }
}

/// An IPv6 customer has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_count_and_ipv6_by_network() {
        let rate = MintRate::default();
        let count = |address: &str| rate.count(address.parse().unwrap(), 2).is_ok();
        assert!(count("192.0.2.1") && count("192.0.2.1") && !count("192.0.2.1"));
        assert!(!count("::ffff:192.0.2.1"), "the same client over IPv6");
        assert!(count("192.0.2.2"));
        assert!(count("2001:db8::1") && count("2001:db8::2") && !count("2001:db8::3"));
        assert!(count("2001:db8:0:1::1"));
    }
}
