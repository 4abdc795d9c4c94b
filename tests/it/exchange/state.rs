//! What the exchange remembers, counts and is configured to say. Most of these have a gateway of their own.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{BUSY, IN_TIME, MINT, WIDGET, check_refused, mint_request, scene};
use crate::support::claims::Claims;
use crate::support::gateway::{AUDIENCE, Gateway, Setup};
use crate::support::issuer::{Issuer, now};
use crate::support::raw::{Answer, Raw};
use crate::support::recorder::Recorder;
use crate::support::tls::Authority;
use crate::support::{hex, random};

#[test]
fn an_identity_token_is_used_once_however_many_ask_at_once() {
    let scene = scene();
    let jwt = scene.github.token(&Claims::github(), AUDIENCE);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let racers: Vec<_> = (0..24).map(|_| scope.spawn(|| scene.gateway.mint(&jwt))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let (winners, losers): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(winners.len(), 1);
    for loser in losers {
        let words = check_refused(loser, 422, "invalid-reuse-token");
        assert!(words.starts_with("invalid token: already used ("), "{words}");
    }
    // Not in the leeway after its end either.
    let ending = Claims::github().with("exp", now() - 5).with("iat", now() - 600);
    let ending = scene.github.token(&ending, AUDIENCE);
    scene.accepts(&ending);
    scene.refuses(&ending, "invalid-reuse-token");
}

#[test]
fn the_id_of_a_token_counts_for_its_own_issuer() {
    let scene = scene();
    let jti = hex(&random::<16>());
    scene.accepts(&scene.github.token(&Claims::github().with("jti", jti.as_str()), AUDIENCE));
    scene.accepts(&scene.gitlab.token(&scene.gitlab_claims().with("jti", jti.as_str()), AUDIENCE));
    // And whatever else the token says.
    let other = Claims::github().with("jti", jti.as_str()).with("run_id", "2");
    scene.refuses(&scene.github.token(&other, AUDIENCE), "invalid-reuse-token");
}

/// A gateway of its own, for a test that changes its state or its configuration. Nothing stands behind it.
fn own_gateway(authority: &Arc<Authority>, github: &Issuer, more: &str) -> Setup {
    Setup::new(authority)
        .also(more)
        .issuer("github", "github", github)
        .also(WIDGET)
        .upstream("nowhere", "generic", "http://127.0.0.1:9")
        .index("prod", "nowhere", "/root/prod/")
}

fn one_issuer() -> (Arc<Authority>, Issuer) {
    let authority = Authority::new();
    let github = Issuer::start(&authority);
    (authority, github)
}

/// The description of the refusal of a token with these claims.
#[track_caller]
fn words_for(gateway: &Gateway, github: &Issuer, claims: &Claims) -> String {
    check_refused(&gateway.mint(&github.token(claims, AUDIENCE)), 422, "invalid-publisher")
}

#[test]
fn a_refusal_tells_as_much_as_the_caller_has_proved_or_the_administrator_allows() {
    let (authority, github) = one_issuer();
    let detail = |level: &str| {
        let errors =
            if level.is_empty() { String::new() } else { format!("[errors]\ndetail = \"{level}\"\n") };
        own_gateway(&authority, &github, &errors).start()
    };
    let owner = Claims::github().github_workflow("nightly.yml").github_environment("staging");
    let stranger = Claims::github().repository("evil/widget", "1", "2").github_workflow("nightly.yml");
    let secrets = ["widget-github", "acme", "887766", "4411", "release.yml", "pypi", "v{version}"];

    let graded = detail("");
    let words = words_for(&graded, &github, &owner);
    for part in
        ["publisher `widget-github`", "workflow is `nightly.yml`", "expected `release.yml`", "`staging`"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
    let words = words_for(&graded, &github, &stranger.clone().github_environment("prod"));
    for part in ["repository `evil/widget`", "workflow `nightly.yml`", "environment `prod`"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    for secret in secrets {
        assert!(!words.contains(secret), "{secret}: {words}");
    }

    let minimal = detail("minimal");
    for claims in [&owner, &stranger] {
        let words = words_for(&minimal, &github, claims);
        let (public, _) = words.split_once(" (reference").unwrap();
        assert_eq!(
            public,
            "valid token, but no corresponding publisher (Publisher with matching claims was not found)"
        );
    }
    let full = detail("full");
    let words = words_for(&full, &github, &stranger);
    for part in ["publisher `widget-github`", "repository is `evil/widget`", "expected `acme/widget`"] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn without_issuers_the_exchange_is_not_there() {
    let upstream = Recorder::start();
    let setup = Setup::new(&Authority::new()).upstream("recorder", "generic", &upstream.url());
    let gateway = setup.index("prod", "recorder", "/root/prod/").start();
    check_refused(&gateway.ask(&Raw::new("GET /_/oidc/audience")), 404, "not-enabled");
    for path in [MINT, "/_/oidc/github/mint-token", "/_/oidc/burn-token"] {
        check_refused(&gateway.ask(&mint_request(path, "eyJh.eyJi.c")), 404, "not-enabled");
    }
    assert!(upstream.connections().is_empty());
    assert_eq!(gateway.ask(&Raw::new("GET /root/prod/")).status, 200);
}

#[test]
fn too_many_exchanges_from_one_address_are_told_when_to_come_back() {
    let (authority, github) = one_issuer();
    let gateway = own_gateway(&authority, &github, "[limits]\nmint_per_minute = 3\n").start();
    let jwt = || github.token(&Claims::github(), AUDIENCE);
    for _ in 0..3 {
        assert_eq!(gateway.mint(&jwt()).status, 200);
    }
    let unused = jwt();
    for path in [MINT, "/_/oidc/github/mint-token", "/_/oidc/burn-token"] {
        // Who is not a trusted proxy cannot say that somebody else asks.
        let request = mint_request(path, &unused).header("X-Forwarded-For", "198.51.100.7");
        let request = request.header("Forwarded", "for=198.51.100.8");
        let answer = gateway.ask(&request);
        check_refused(&answer, 429, "rate-limited");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds));
    }
    assert_eq!(gateway.ask(&Raw::new("GET /_/oidc/audience")).status, 200);
    let relayed = gateway.ask(&Raw::new("GET /root/prod/"));
    assert_eq!(relayed.status, 502, "everything else goes on: {relayed}");
    // The count is in memory; the token is as good as before.
    let gateway = gateway.restart(|config| config);
    assert_eq!(gateway.mint(&unused).status, 200);
}

#[test]
fn what_was_used_stays_used_after_a_crash_and_what_was_refused_was_not_used() {
    let (authority, github) = one_issuer();
    let gateway = own_gateway(&authority, &github, BUSY).start();
    let used: Vec<String> = (0..5).map(|_| github.token(&Claims::github(), AUDIENCE)).collect();
    for jwt in &used {
        assert_eq!(gateway.mint(jwt).status, 200);
    }
    let early = github.token(&Claims::github().github_workflow("deploy.yml"), AUDIENCE);
    for _ in 0..2 {
        check_refused(&gateway.mint(&early), 422, "invalid-publisher");
    }
    // The administrator corrects the rule.
    let gateway =
        gateway.restart(|config| config.replace("\"release.yml\"", "[\"release.yml\", \"deploy.yml\"]"));
    for jwt in &used {
        check_refused(&gateway.mint(jwt), 422, "invalid-reuse-token");
    }
    assert_eq!(gateway.mint(&early).status, 200);
    check_refused(&gateway.mint(&early), 422, "invalid-reuse-token");
}

#[test]
fn of_two_gateways_with_one_store_only_one_takes_a_token() {
    let (authority, github) = one_issuer();
    let first = own_gateway(&authority, &github, BUSY).start();
    let state = format!("state_dir = \"{}\"", first.directory().join("state").display());
    let second = own_gateway(&authority, &github, BUSY).top(&state).start();
    for round in 0..10 {
        let jwt = github.token(&Claims::github(), AUDIENCE);
        let answers = thread::scope(|scope| {
            let racers = [&first, &second].map(|gateway| scope.spawn(|| gateway.mint(&jwt)));
            racers.map(|racer| racer.join().unwrap())
        });
        let mut statuses = answers.map(|answer| answer.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 422], "round {round}");
    }
}

#[test]
fn without_its_store_the_gateway_gives_no_token_and_says_so_in_time() {
    let (authority, github) = one_issuer();
    let gateway = own_gateway(&authority, &github, BUSY).start();
    let jwt = github.token(&Claims::github(), AUDIENCE);
    let upload_token = gateway.upload_token(&github, &Claims::github());
    let store = Connection::open(gateway.directory().join("state/indexgate.db")).unwrap();
    store.busy_timeout(Duration::from_secs(10)).unwrap();

    let refused = |path: &str, token: &str| {
        let begun = Instant::now();
        let words = check_refused(&gateway.ask(&mint_request(path, token)), 503, "temporarily-unavailable");
        assert!(words.starts_with("the gateway's store is unavailable; try again in a moment ("), "{words}");
        assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    };
    // Somebody else keeps it locked.
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    refused(MINT, &jwt);
    assert_eq!(gateway.ask(&Raw::new("GET /_/oidc/audience")).status, 200);
    store.execute_batch("COMMIT").unwrap();
    // It is damaged.
    store
        .execute_batch("ALTER TABLE used_identity RENAME TO gone; ALTER TABLE revoked_token RENAME TO away")
        .unwrap();
    refused(MINT, &jwt);
    refused("/_/oidc/burn-token", &upload_token);
    store
        .execute_batch("ALTER TABLE gone RENAME TO used_identity; ALTER TABLE away RENAME TO revoked_token")
        .unwrap();
    // None of this used the token up.
    assert_eq!(gateway.mint(&jwt).status, 200);
    check_refused(&gateway.mint(&jwt), 422, "invalid-reuse-token");
    let audit = gateway.audit_about("temporarily").len() + gateway.audit_about("store is unavailable").len();
    assert!(audit >= 3, "the audit has the refusals");
}
