//! The key store of one issuer: keys at hand for those who verify, fetched behind their backs.
//!
//! * A known key never waits for a fetch.
//! * One fetch at a time, however many ask.
//! * Any fetch, a failed one too, starts the cool-down: strangers with made-up key ids cause one a minute.
//! * A new set replaces the old one only when it has parsed.
//! * In an outage the last good set serves up to a limit.
//!
//! Serving threads share an atomic pointer and two atomic numbers with the background, and never lock.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::fetch::{Discovery, FetchError, Fetched, fetch};
use super::jwks::KeySet;
use crate::clock::{Clock, Timestamp};
use crate::names::IssuerName;

/// Whose keys, and where they come from. Two equal ones can share a store across a reload.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerKeys {
    /// The issuer's name in the configuration, for logs.
    pub issuer: IssuerName,
    /// Where its keys come from.
    pub source: KeySource,
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// From the issuer, over https.
    Discovery(Discovery),
    /// From a file (`jwks_file`), read with the configuration: no network at all.
    Static(Arc<KeySet>),
}

/// Nobody can say whether a token is good: the issuer's keys could not be fetched, or not for a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no keys of issuer `{0}` at hand")]
pub struct KeysUnavailable(pub IssuerName);

/// The keys of one issuer. A clone is the same store.
#[derive(Clone, Debug)]
pub struct KeyStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: IssuerKeys,
    clock: Clock,
    background: Handle,
    held: ArcSwapOption<Held>,
    /// Whether a fetch runs.
    fetching: AtomicBool,
    /// When the latest fetch began: the cool-down counts from there.
    last_fetch: AtomicI64,
    /// Changes when a fetch has ended, well or badly.
    ended: watch::Sender<()>,
    problem: ArcSwapOption<FetchError>,
}

/// A key set, and when it was fetched.
#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    since: Timestamp,
    refresh_after: Duration,
}

/// From one fetch to the next at least.
const COOL_DOWN: Duration = Duration::from_secs(60);
/// How long a caller waits for a fetch; the mint endpoint answers within 4 s.
const WAIT: Duration = Duration::from_secs(3);
/// How long a set serves that could not be replaced.
const LAST_GOOD: Duration = Duration::from_secs(24 * 60 * 60);
/// When a set is replaced whose issuer does not say how long it may be kept.
const REFRESH_AFTER: Duration = Duration::from_secs(15 * 60);
/// What an issuer may say about that.
const REFRESH_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), LAST_GOOD);
/// How often the background looks whether a set is due. A withdrawn key lives no longer than that beyond its time.
const LOOK: Duration = Duration::from_secs(30);

impl KeyStore {
    /// Starts a store. Fetches run on `background`, which needs timers and sockets; the first one begins now, and
    /// nobody waits for it. Background work ends with the last clone of the store.
    pub fn spawn(config: IssuerKeys, clock: Clock, background: &Handle) -> Self {
        let store = Self(Arc::new(Inner {
            config,
            clock,
            background: background.clone(),
            held: ArcSwapOption::empty(),
            fetching: AtomicBool::new(false),
            last_fetch: AtomicI64::new(i64::MIN),
            ended: watch::Sender::new(()),
            problem: ArcSwapOption::empty(),
        }));
        if let KeySource::Discovery(_) = store.0.config.source {
            background.spawn(keep_fresh(Arc::downgrade(&store.0)));
        }
        store
    }

    /// The keys to verify a token of key `kid` with. Returns at once if that key is known; otherwise waits up to
    /// 3 s for a fetch, if one may be made. The set may still be without the key: then nobody knows it.
    pub async fn key_set(&self, kid: &str) -> Result<Arc<KeySet>, KeysUnavailable> {
        if let Some(held) = self.held().filter(|held| held.contains(kid)) {
            self.0.refresh_if_due();
            return Ok(held);
        }
        self.0.wait_for_fetch().await;
        self.held().ok_or_else(|| KeysUnavailable(self.0.config.issuer.clone()))
    }

    /// Newer keys than `seen`, for a signature that did not verify with a known key: some issuers put a new key
    /// under an old name (Jenkins). Nothing if there are none, or none may be fetched now.
    pub async fn refresh_after_bad_signature(&self, seen: &KeySet) -> Option<Arc<KeySet>> {
        let newer = |keys: &Arc<KeySet>| **keys != *seen;
        if let Some(keys) = self.held().filter(newer) {
            return Some(keys);
        }
        self.0.wait_for_fetch().await;
        self.held().filter(newer)
    }

    /// The keys at hand, without waiting. None before the first fetch, and a day after the last good one.
    pub fn held(&self) -> Option<Arc<KeySet>> {
        match &self.0.config.source {
            KeySource::Static(keys) => Some(Arc::clone(keys)),
            KeySource::Discovery(_) => self.0.fresh_enough(),
        }
    }

    /// Whether this store serves what that configuration asks for, so that a reload can keep it and its keys.
    pub fn serves(&self, config: &IssuerKeys) -> bool {
        self.0.config == *config
    }

    /// Why the latest fetch failed, if it did.
    pub fn problem(&self) -> Option<Arc<FetchError>> {
        self.0.problem.load_full()
    }
}

impl Inner {
    fn fresh_enough(&self) -> Option<Arc<KeySet>> {
        let held = self.held.load();
        let held = held.as_ref()?;
        let age = self.clock.now().seconds_since(held.since);
        (age <= seconds(LAST_GOOD)).then(|| Arc::clone(&held.keys))
    }

    /// Waits for a fetch that runs or can begin now.
    async fn wait_for_fetch(self: &Arc<Self>) {
        let KeySource::Discovery(_) = self.config.source else { return };
        // Subscribed before looking: a fetch that ends from here on is seen.
        let mut ended = self.ended.subscribe();
        if self.begin_fetch() {
            let _ = tokio::time::timeout(WAIT, ended.changed()).await;
        }
    }

    fn refresh_if_due(self: &Arc<Self>) {
        if let KeySource::Discovery(_) = self.config.source
            && self.due_in() <= 0
        {
            self.begin_fetch();
        }
    }

    /// Begins a fetch unless one runs or the latest began a moment ago. Returns whether one runs now.
    fn begin_fetch(self: &Arc<Self>) -> bool {
        if self.fetching.load(Ordering::Acquire) {
            return true;
        }
        if self.cools_down() {
            return false;
        }
        if self.fetching.swap(true, Ordering::AcqRel) {
            return true;
        }
        let flight = Flight(Arc::clone(self));
        // Another thread may have begun and ended a fetch since we looked.
        if self.cools_down() {
            return false;
        }
        self.last_fetch.store(self.clock.now().0, Ordering::Release);
        self.background.spawn(flight.run());
        true
    }

    fn cools_down(&self) -> bool {
        self.since(Timestamp(self.last_fetch.load(Ordering::Acquire))) < seconds(COOL_DOWN)
    }

    /// Seconds until the next fetch is wanted and allowed.
    fn due_in(&self) -> i64 {
        let cool =
            seconds(COOL_DOWN).saturating_sub(self.since(Timestamp(self.last_fetch.load(Ordering::Acquire))));
        let held = self.held.load();
        let stale = held.as_ref().map_or(0, |held| seconds(held.refresh_after) - self.since(held.since));
        cool.max(stale)
    }

    /// Seconds since a fetch. A clock that was set back makes it long ago: better one fetch too many than none for
    /// as long as the clock was wrong.
    fn since(&self, time: Timestamp) -> i64 {
        let elapsed = self.clock.now().seconds_since(time);
        if elapsed < 0 { i64::MAX } else { elapsed }
    }

    fn accept(&self, fetched: Fetched) {
        for skipped in fetched.keys.skipped() {
            tracing::warn!(issuer = %self.config.issuer, "{skipped}");
        }
        let (least, most) = REFRESH_BOUNDS;
        let held = Held {
            keys: Arc::new(fetched.keys),
            since: self.clock.now(),
            refresh_after: fetched.max_age.unwrap_or(REFRESH_AFTER).clamp(least, most),
        };
        tracing::debug!(issuer = %self.config.issuer, keys = held.keys.len(), "keys fetched");
        self.held.store(Some(Arc::new(held)));
        self.problem.store(None);
    }
}

/// A fetch that runs. However it ends, also when its runtime is shut down, the next one can begin and those who
/// wait go on.
struct Flight(Arc<Inner>);

impl Flight {
    async fn run(self) {
        let KeySource::Discovery(discovery) = &self.0.config.source else { return };
        match fetch(discovery).await {
            Ok(fetched) => self.0.accept(fetched),
            Err(error) => {
                tracing::warn!(issuer = %self.0.config.issuer, %error, "cannot fetch keys");
                self.0.problem.store(Some(Arc::new(error)));
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.fetching.store(false, Ordering::Release);
        self.0.ended.send_replace(());
    }
}

/// Fetches whenever a set is due, with or without requests, so that a withdrawn key dies in a quiet gateway too.
async fn keep_fresh(store: Weak<Inner>) {
    while let Some(inner) = store.upgrade() {
        inner.refresh_if_due();
        let pause = Duration::from_secs(u64::try_from(inner.due_in()).unwrap_or(0).max(1)).min(LOOK);
        drop(inner);
        tokio::time::sleep(pause).await;
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
