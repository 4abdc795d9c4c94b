use serde_json::Value;

use super::*;
use crate::oidc::testing::{FakeIssuer, Fault, Forge, NOW, OTHER_RSA, RSA, jwks};
use crate::oidc::{Algorithm, Expected, IdentifyError, TokenError, Unverified, identify};

/// An issuer, and a store of its keys whose clock stands still.
struct Scene {
    issuer: FakeIssuer,
    clock: Clock,
    store: KeyStore,
}

impl Scene {
    async fn new() -> Self {
        Self::of(FakeIssuer::start(&[RSA.jwk("k1")]).await)
    }

    fn of(issuer: FakeIssuer) -> Self {
        let clock = Clock::still(NOW);
        let store = KeyStore::spawn(config(&issuer), clock.clone(), &Handle::current());
        Self { issuer, clock, store }
    }

    /// A store that holds the issuer's keys, a minute after they were fetched.
    async fn warm() -> Self {
        let scene = Self::new().await;
        scene.store.key_set("k1").await.unwrap();
        scene.pass(60);
        scene
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn known(&self, kid: &str) -> bool {
        self.store.key_set(kid).await.unwrap().contains(kid)
    }

    async fn identify(&self, forge: Forge) -> Result<(), IdentifyError> {
        let jwt = forge.set("iss", self.issuer.url.clone()).sign();
        let expected = Expected {
            issuer_url: &self.issuer.url,
            audience: crate::oidc::testing::AUDIENCE,
            audience_list_allowed: false,
            algorithms: &[Algorithm::Rs256],
            max_lifetime: Duration::from_secs(3600),
        };
        identify(&Unverified::read(&jwt).unwrap(), &self.store, &expected, NOW).await.map(drop)
    }
}

fn config(issuer: &FakeIssuer) -> IssuerKeys {
    IssuerKeys { issuer: "github".parse().unwrap(), source: KeySource::Discovery(issuer.discovery()) }
}

/// Lets the fetch that runs come to its end.
async fn settle(store: &KeyStore) {
    let mut ended = store.0.ended.subscribe();
    while store.0.fetching.load(Ordering::Acquire) {
        ended.changed().await.unwrap();
    }
}

#[tokio::test]
async fn the_first_token_waits_for_one_fetch_and_the_second_for_none() {
    let scene = Scene::new().await;
    assert!(scene.known("k1").await);
    assert!(scene.known("k1").await);
    assert_eq!(scene.issuer.requests(), (1, 1));
}

#[tokio::test]
async fn a_known_key_never_waits() {
    let scene = Scene::warm().await;
    scene.issuer.break_metadata(Fault::Slow(Duration::from_secs(60)));
    scene.pass(60 * 60);
    let begin = std::time::Instant::now();
    assert!(scene.known("k1").await);
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert!(scene.store.0.fetching.load(Ordering::Acquire));
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let scene = Scene::warm().await;
    scene.issuer.publish(&[RSA.jwk("k1"), OTHER_RSA.jwk("k2")]);
    assert!(scene.known("k2").await);
    assert_eq!(scene.issuer.requests(), (2, 2));
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_a_minute() {
    let scene = Scene::warm().await;
    for round in 2..4 {
        for kid in 0..500 {
            assert!(!scene.known(&format!("made-up-{kid}")).await);
        }
        assert!(scene.known("k1").await);
        assert_eq!(scene.issuer.requests(), (round, round));
        scene.pass(59);
        assert!(!scene.known("made-up").await);
        assert_eq!(scene.issuer.requests(), (round, round));
        scene.pass(1);
    }
}

#[tokio::test]
async fn a_failed_fetch_cools_down_too_and_keeps_the_old_set() {
    for fault in [
        Fault::Status(500),
        Fault::Body(r#"{"keys": []}"#.into()),
        Fault::Body("<html>".into()),
        Fault::Body("{}".into()),
        Fault::Body("x".repeat(10 * 1024 * 1024)),
        Fault::Redirect("https://127.0.0.1:1/".into()),
    ] {
        let scene = Scene::warm().await;
        scene.issuer.break_metadata(fault.clone());
        for kid in 0..20 {
            assert!(!scene.known(&format!("made-up-{kid}")).await);
        }
        assert_eq!(scene.issuer.requests(), (2, 1));
        assert!(scene.store.problem().is_some());
        scene.issuer.break_metadata(Fault::None);
        scene.issuer.break_keys(fault);
        scene.pass(60);
        assert!(!scene.known("made-up").await);
        assert_eq!(scene.issuer.requests(), (3, 2));
        assert!(scene.known("k1").await);
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_is_tried_again_after_the_cool_down() {
    let issuer = FakeIssuer::start(&[RSA.jwk("k1")]).await;
    issuer.break_metadata(Fault::Status(503));
    let scene = Scene::of(issuer);
    let unavailable = KeysUnavailable("github".parse().unwrap());
    for _ in 0..20 {
        assert_eq!(scene.store.key_set("k1").await, Err(unavailable.clone()));
    }
    assert_eq!(scene.issuer.requests(), (1, 0));
    scene.issuer.break_metadata(Fault::None);
    scene.pass(60);
    assert!(scene.known("k1").await);
    assert!(scene.store.problem().is_none());
}

#[tokio::test]
async fn a_slow_issuer_keeps_nobody_waiting_longer_than_three_seconds() {
    let issuer = FakeIssuer::start(&[RSA.jwk("k1")]).await;
    issuer.break_metadata(Fault::Slow(Duration::from_secs(60)));
    let scene = Scene::of(issuer);
    let begin = std::time::Instant::now();
    assert!(scene.store.key_set("k1").await.is_err());
    assert!(begin.elapsed() < Duration::from_millis(3900));
}

#[tokio::test]
async fn a_hundred_at_once_cause_one_fetch() {
    let scene = Scene::new().await;
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let store = scene.store.clone();
            tokio::spawn(async move { store.key_set("k1").await.is_ok() })
        })
        .collect();
    for answer in asking {
        assert!(answer.await.unwrap());
    }
    assert_eq!(scene.issuer.requests(), (1, 1));
}

#[test]
fn serving_threads_with_runtimes_of_their_own_share_a_background() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let background = runtime();
    let scene = background.block_on(Scene::new());
    let stop = Arc::new(tokio::sync::Notify::new());
    std::thread::scope(|threads| {
        let serving: Vec<_> = (0..4)
            .map(|_| {
                let store = scene.store.clone();
                threads.spawn(move || runtime().block_on(async move { store.key_set("k1").await.is_ok() }))
            })
            .collect();
        let ended = Arc::clone(&stop);
        threads.spawn(move || background.block_on(ended.notified()));
        let answers: Vec<_> =
            serving.into_iter().map(|thread| thread.join().is_ok_and(|found| found)).collect();
        stop.notify_one();
        assert_eq!(answers, [true; 4]);
    });
    assert_eq!(scene.issuer.requests(), (1, 1));
}

#[tokio::test]
async fn a_withdrawn_key_dies_with_the_refresh() {
    let scene = Scene::warm().await;
    scene.issuer.publish(&[OTHER_RSA.jwk("k2")]);
    scene.pass(15 * 60 - 61);
    assert!(scene.known("k1").await);
    assert_eq!(scene.issuer.requests(), (1, 1));
    scene.pass(1);
    assert!(scene.known("k1").await);
    settle(&scene.store).await;
    assert!(!scene.known("k1").await);
    assert!(scene.known("k2").await);
    assert_eq!(scene.issuer.requests(), (2, 2));
}

#[tokio::test]
async fn the_issuer_says_when_to_refresh_within_bounds() {
    for (cache_control, seconds) in [
        ("max-age=3600", 3600),
        ("max-age=1", 60),
        ("max-age=0", 60),
        ("max-age=999999999999", 24 * 60 * 60),
        ("no-store", 15 * 60),
    ] {
        let issuer = FakeIssuer::start(&[RSA.jwk("k1")]).await;
        issuer.cache_control(cache_control);
        let scene = Scene::of(issuer);
        assert!(scene.known("k1").await);
        scene.pass(seconds - 1);
        assert!(scene.known("k1").await);
        settle(&scene.store).await;
        assert_eq!(scene.issuer.requests(), (1, 1), "{cache_control}");
        scene.pass(1);
        assert!(scene.known("k1").await);
        settle(&scene.store).await;
        assert_eq!(scene.issuer.requests(), (2, 2), "{cache_control}");
    }
}

#[tokio::test]
async fn in_an_outage_the_last_good_set_serves_for_a_day() {
    let scene = Scene::new().await;
    assert!(scene.known("k1").await);
    scene.issuer.break_metadata(Fault::Status(500));
    for _ in 0..24 {
        scene.pass(60 * 60);
        assert!(scene.known("k1").await);
        settle(&scene.store).await;
    }
    scene.pass(1);
    assert!(scene.store.key_set("k1").await.is_err());
    assert!(scene.store.held().is_none());
    scene.issuer.break_metadata(Fault::None);
    scene.pass(60);
    assert!(scene.known("k1").await);
}

#[tokio::test]
async fn a_clock_that_is_set_back_neither_drops_keys_nor_stops_fetches() {
    let scene = Scene::warm().await;
    scene.store.0.held.store(Some(Arc::new(Held {
        keys: scene.store.held().unwrap(),
        since: NOW.after(Duration::from_secs(9999)),
        refresh_after: REFRESH_AFTER,
    })));
    scene.store.0.last_fetch.store(NOW.0 + 9999, Ordering::Release);
    assert!(scene.known("k1").await);
    settle(&scene.store).await;
    assert_eq!(scene.issuer.requests(), (2, 2));
}

#[tokio::test]
async fn keys_from_a_file_need_no_network() {
    let keys = Arc::new(KeySet::parse(jwks(&[RSA.jwk("k1")]).as_bytes()).unwrap());
    let config = IssuerKeys { issuer: "gitlab".parse().unwrap(), source: KeySource::Static(keys) };
    let clock = Clock::still(NOW);
    let store = KeyStore::spawn(config.clone(), clock.clone(), &Handle::current());
    clock.advance(Duration::from_secs(365 * 24 * 60 * 60));
    assert!(store.key_set("k1").await.unwrap().contains("k1"));
    assert!(!store.key_set("k2").await.unwrap().contains("k2"));
    assert!(store.refresh_after_bad_signature(&store.held().unwrap()).await.is_none());
    assert!(store.serves(&config));
}

#[tokio::test]
async fn a_store_serves_its_own_configuration_only() {
    let (one, other) = (Scene::new().await, Scene::new().await);
    assert!(one.store.serves(&config(&one.issuer)));
    assert!(!one.store.serves(&config(&other.issuer)));
}

#[tokio::test]
async fn background_work_ends_with_the_store() {
    let Scene { issuer, store, .. } = Scene::warm().await;
    let inner = Arc::downgrade(&store.0);
    settle(&store).await;
    tokio::task::yield_now().await;
    drop(store);
    assert!(inner.upgrade().is_none());
    assert_eq!(issuer.requests(), (1, 1));
}

#[test]
fn a_background_that_is_gone_leaves_nobody_waiting() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let background = runtime();
    let scene = background.block_on(Scene::new());
    drop(background);
    let begin = std::time::Instant::now();
    assert!(runtime().block_on(scene.store.key_set("k1")).is_err());
    assert!(begin.elapsed() < Duration::from_secs(2));
}

// ── identify ──

#[tokio::test]
async fn a_token_is_identified_with_cold_and_with_warm_keys() {
    let scene = Scene::new().await;
    assert_eq!(scene.identify(Forge::github()).await, Ok(()));
    assert_eq!(scene.identify(Forge::github()).await, Ok(()));
    assert_eq!(scene.issuer.requests(), (1, 1));
}

#[tokio::test]
async fn a_key_rotated_under_its_old_name_is_fetched_once_a_minute() {
    let scene = Scene::warm().await;
    let rotated = || Forge::github().key(&OTHER_RSA, "RS256");
    let refused = Err(TokenError::BadSignature("k1".into()).into());
    assert_eq!(scene.identify(rotated()).await, refused);
    assert_eq!(scene.issuer.requests(), (2, 2));
    scene.issuer.publish(&[OTHER_RSA.jwk("k1")]);
    assert_eq!(scene.identify(rotated()).await, refused);
    assert_eq!(scene.issuer.requests(), (2, 2));
    scene.pass(60);
    assert_eq!(scene.identify(rotated()).await, Ok(()));
    assert_eq!(scene.issuer.requests(), (3, 3));
}

#[tokio::test]
async fn a_token_with_another_flaw_never_causes_a_fetch() {
    let scene = Scene::warm().await;
    let unknown = |kid: &str| Forge::github().header("kid", kid);
    for forge in [
        unknown("k9").set("aud", "pypi"),
        unknown("k9").set("exp", NOW.0 - 31),
        unknown("k9").header("jku", "https://127.0.0.1:1/"),
        unknown("k9").key(&RSA, "HS256"),
        unknown("k1\r\nX: y"),
        unknown("k1\0"),
        unknown(&"a".repeat(5_000)),
        Forge::github().header("kid", Value::Null),
    ] {
        let outcome = scene.identify(forge).await;
        assert!(matches!(outcome, Err(IdentifyError::Token(TokenError::Invalid(_)))), "{outcome:?}");
    }
    assert_eq!(scene.issuer.requests(), (1, 1));
    let outcome = scene.identify(unknown("k1' UNION SELECT 'a' --".replace(' ', "_").as_str())).await;
    assert!(matches!(outcome, Err(IdentifyError::Token(TokenError::UnknownKey(_)))));
    assert_eq!(scene.issuer.requests(), (2, 2));
}

#[tokio::test]
async fn without_keys_nobody_can_say() {
    let issuer = FakeIssuer::start(&[RSA.jwk("k1")]).await;
    issuer.break_keys(Fault::Status(500));
    let scene = Scene::of(issuer);
    assert!(matches!(scene.identify(Forge::github()).await, Err(IdentifyError::Keys(_))));
}
