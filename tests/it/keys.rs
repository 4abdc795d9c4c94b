//! The keys of issuers, as the gateway gets them over real TLS: when it asks, how often, what it does not take, and what
//! callers are told meanwhile. What needs the clock to move is tested beside `oidc::keys`.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::exchange::{BUSY, IN_TIME, WIDGET, check_refused};
use crate::support::claims::Claims;
use crate::support::gateway::{AUDIENCE, Gateway, Setup};
use crate::support::issuer::{Endpoint, Fault, Issuer};
use crate::support::recorder::Recorder;
use crate::support::tls::Authority;
use crate::support::{hex, random};

/// A gateway that trusts these issuers under names of their own, each with the same rule. Nothing stands behind it.
fn gateway_of(authority: &Arc<Authority>, issuers: &[(&str, &Issuer)]) -> Gateway {
    let setup = Setup::new(authority).also(BUSY).upstream("nowhere", "generic", "http://127.0.0.1:9");
    let setup = setup.index("prod", "nowhere", "/root/prod/");
    let trusting = issuers.iter().fold(setup, |setup, (name, issuer)| {
        let rule = WIDGET.replace("widget-github", &format!("widget-{name}"));
        setup
            .issuer(name, "github", issuer)
            .also(&rule.replace("issuer = \"github\"", &format!("issuer = \"{name}\"")))
    });
    trusting.start()
}

fn good_token(issuer: &Issuer) -> String {
    issuer.token(&Claims::github(), AUDIENCE)
}

/// A token that is in order, but signed with a key that nobody has.
fn token_with_unknown_key(issuer: &Issuer) -> String {
    let jwt = good_token(issuer);
    let [_, payload, signature] = jwt.split('.').collect::<Vec<_>>()[..] else { panic!("three segments") };
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": hex(&random::<8>())}).to_string();
    let spoiled = issuer.sign(&header, "{}");
    format!("{}.{payload}.{signature}", spoiled.split('.').next().unwrap())
}

#[track_caller]
fn check_unavailable(gateway: &Gateway, issuer: &Issuer) {
    let begun = Instant::now();
    let words = check_refused(&gateway.mint(&good_token(issuer)), 503, "temporarily-unavailable");
    assert!(words.starts_with("the keys of the token's issuer cannot be fetched; try again"), "{words}");
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
}

/// Waits until the gateway has asked for keys and taken or refused them: what its log says of it.
#[track_caller]
fn wait_for_log(gateway: &Gateway, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !gateway.log().iter().any(|line| line.contains(what)) {
        assert!(Instant::now() < deadline, "no {what:?} in {:#?}", gateway.log());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_issuer_that_is_down_at_the_start_holds_up_only_its_own_jobs() {
    let authority = Authority::new();
    let issuers = [(); 3].map(|()| Issuer::start(&authority));
    let [down, hanging, healthy] = &issuers;
    down.break_with(Endpoint::Discovery, Fault::Down);
    hanging.break_with(Endpoint::Keys, Fault::Slow(Duration::from_secs(20)));
    let gateway = gateway_of(&authority, &[("down", down), ("hanging", hanging), ("healthy", healthy)]);

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| check_unavailable(&gateway, hanging));
        }
        // Behind them nobody waits.
        for _ in 0..10 {
            let begun = Instant::now();
            assert_eq!(gateway.mint(&good_token(healthy)).status, 200);
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        }
        for _ in 0..10 {
            check_unavailable(&gateway, down);
        }
    });
    // A failed attempt starts the cool-down as well: no caller makes the gateway ask again.
    assert_eq!([down.asked(Endpoint::Discovery), down.asked(Endpoint::Keys)], [1, 0]);
    assert_eq!([hanging.asked(Endpoint::Discovery), hanging.asked(Endpoint::Keys)], [1, 1]);
    wait_for_log(&gateway, "cannot fetch keys");
}

#[test]
fn keys_at_hand_serve_while_the_issuer_is_down_and_strangers_cause_no_fetch() {
    let authority = Authority::new();
    let issuer = Issuer::start(&authority);
    let gateway = gateway_of(&authority, &[("github", &issuer)]);
    assert_eq!(gateway.mint(&good_token(&issuer)).status, 200);
    issuer.break_with(Endpoint::Discovery, Fault::Down);
    issuer.break_with(Endpoint::Keys, Fault::Down);

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let begun = Instant::now();
                    check_refused(&gateway.mint(&token_with_unknown_key(&issuer)), 422, "invalid-token");
                    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
                }
            });
        }
        for _ in 0..10 {
            assert_eq!(gateway.mint(&good_token(&issuer)).status, 200);
        }
    });
    // The one at the start; within its minute there is no other.
    assert_eq!([issuer.asked(Endpoint::Discovery), issuer.asked(Endpoint::Keys)], [1, 1]);
}

#[test]
fn a_key_that_is_newer_than_the_last_fetch_waits_for_the_next_one() {
    let authority = Authority::new();
    let issuer = Issuer::start(&authority);
    let gateway = gateway_of(&authority, &[("github", &issuer)]);
    let before = good_token(&issuer);
    assert_eq!(gateway.mint(&good_token(&issuer)).status, 200);
    issuer.rotate();
    check_refused(&gateway.mint(&good_token(&issuer)), 422, "invalid-token");
    assert_eq!(gateway.mint(&before).status, 200, "the old key is still at hand");
    assert_eq!(issuer.asked(Endpoint::Keys), 1);
    // A new process asks anew, and then the old key is gone.
    let before = issuer.token(&Claims::github(), AUDIENCE);
    issuer.rotate();
    let gateway = gateway.restart(|config| config);
    assert_eq!(gateway.mint(&good_token(&issuer)).status, 200);
    check_refused(&gateway.mint(&before), 422, "invalid-token");
}

#[test]
fn many_who_come_before_the_keys_wait_for_one_fetch() {
    let authority = Authority::new();
    let issuer = Issuer::start(&authority);
    issuer.break_with(Endpoint::Keys, Fault::Slow(Duration::from_millis(1200)));
    let gateway = gateway_of(&authority, &[("github", &issuer)]);
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| assert_eq!(gateway.mint(&good_token(&issuer)).status, 200));
        }
    });
    assert_eq!([issuer.asked(Endpoint::Discovery), issuer.asked(Endpoint::Keys)], [1, 1]);
}

/// Something that an issuer publishes in place of the right thing. In the body, `OWN` stands for its URL, `HOST` for that
/// without `https://`, `SET` for its right keys, and `SINK` for a server where nobody may be sent.
struct Published {
    endpoint: Endpoint,
    status: u16,
    header: Option<(&'static str, &'static str)>,
    body: String,
}

impl Published {
    fn new(endpoint: Endpoint, body: &str) -> Self {
        Self { endpoint, status: 200, header: None, body: body.to_owned() }
    }

    fn by(&self, issuer: &Issuer, sink: &str) -> Fault {
        let fill = |text: &str| {
            let own = issuer.url();
            let text = text.replace("OWN", own).replace("HOST", &own.replace("https://", ""));
            text.replace("SET", &issuer.key_set().to_string()).replace("SINK", sink)
        };
        let headers = self.header.iter().map(|(name, value)| (*name, fill(value))).collect();
        Fault::Answer(self.status, headers, fill(&self.body).into_bytes())
    }
}

#[test]
fn what_is_published_badly_is_not_taken_and_leads_nowhere() {
    let good = [(Endpoint::Discovery, r#"{"issuer":"OWN","jwks_uri":"OWN/jwks"}"#), (Endpoint::Keys, "SET")];
    let mut bad: Vec<Published> = [
        r#"{"issuer":"https://evil.test","jwks_uri":"OWN/jwks"}"#,
        r#"{"issuer":"OWN/","jwks_uri":"OWN/jwks"}"#,
        r#"{"jwks_uri":"OWN/jwks"}"#,
        r#"{"issuer":"OWN"}"#,
        r#"{"issuer":"OWN","jwks_uri":"jwks"}"#,
        r#"{"issuer":"OWN","jwks_uri":"http://HOST/jwks"}"#,
        r#"{"issuer":"OWN","jwks_uri":"https://x@HOST/jwks"}"#,
        r#"{"issuer":"OWN","jwks_uri":"https://SINK/jwks"}"#,
        r#"{"issuer":"OWN","jwks_uri":"https://localhost/jwks"}"#,
        r#"{"issuer":"OWN","issuer":"OWN","jwks_uri":"OWN/jwks"}"#,
    ]
    .map(|body| Published::new(Endpoint::Discovery, body))
    .into();
    let spaces = " ".repeat(300 * 1024);
    for body in [r#"{"keys":[]}"#, r#"{"keys":null}"#, r#"{"keys":{}}"#, "SET SET", &format!("SET{spaces}")] {
        bad.push(Published::new(Endpoint::Keys, body));
    }
    for (endpoint, good) in good {
        for body in ["<h1>hello</h1>", "", "[]", "{}", "null", &good[..good.len() - 1]] {
            bad.push(Published::new(endpoint, body));
        }
        for status in [201, 204, 404, 500] {
            bad.push(Published { status, ..Published::new(endpoint, good) });
        }
        let location = Some(("location", "http://SINK/jwks"));
        bad.push(Published { status: 302, header: location, ..Published::new(endpoint, good) });
        let gzip = Some(("content-encoding", "gzip"));
        bad.push(Published { header: gzip, ..Published::new(endpoint, good) });
    }

    let (authority, elsewhere) = (Authority::new(), Recorder::start());
    let sink = elsewhere.url().replace("http://", "");
    let published = |what: &Published| {
        let issuer = Issuer::start(&authority);
        issuer.break_with(what.endpoint, what.by(&issuer, &sink));
        issuer
    };
    let issuers: Vec<_> =
        bad.iter().enumerate().map(|(n, what)| (format!("bad-{n}"), published(what))).collect();
    let right = good.map(|(endpoint, body)| published(&Published::new(endpoint, body)));
    let mut named: Vec<_> = issuers.iter().map(|(name, issuer)| (name.as_str(), issuer)).collect();
    named.extend([("good-0", &right[0]), ("good-1", &right[1])]);
    let gateway = gateway_of(&authority, &named);

    for issuer in &right {
        assert_eq!(gateway.mint(&good_token(issuer)).status, 200, "the right things, told the same way");
    }
    for (what, (name, issuer)) in bad.iter().zip(&issuers) {
        let Published { endpoint, status, body, .. } = what;
        let answer = gateway.mint(&good_token(issuer));
        assert_eq!(answer.status, 503, "{endpoint:?} {status} {body:.80}: {answer}");
        check_refused(&answer, 503, "temporarily-unavailable");
        assert_eq!(issuer.asked(Endpoint::Discovery), 1, "{endpoint:?} {status} {body:.80}");
        wait_for_log(&gateway, &format!("cannot fetch keys issuer={name} "));
    }
    assert!(elsewhere.connections().is_empty(), "somebody was sent there");
}

#[test]
fn a_bad_key_is_skipped_and_the_others_serve() {
    let authority = Authority::new();
    let issuer = Issuer::start(&authority);
    for bad in [
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "OKP", "kid": "curve", "crv": "X448", "x": "AAAA"}),
        json!({"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}),
        json!({"kty": "EC", "kid": "point", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
        json!({"kid": 7}),
        json!({}),
        json!("key"),
        json!(null),
    ] {
        issuer.publish_also(bad);
    }
    issuer.add_key();
    let gateway = gateway_of(&authority, &[("github", &issuer)]);
    assert_eq!(gateway.mint(&good_token(&issuer)).status, 200);
}

#[test]
fn an_issuer_with_a_certificate_by_somebody_else_is_not_believed() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let issuer = Issuer::start(&other);
    let gateway = gateway_of(&trusted, &[("github", &issuer)]);
    check_unavailable(&gateway, &issuer);
    assert_eq!(issuer.asked(Endpoint::Discovery), 0, "it saw no request");
    wait_for_log(&gateway, "certificate");
}

#[test]
fn keys_from_a_file_need_no_network() {
    let authority = Authority::new();
    let issuer = Issuer::start(&authority);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    fs::write(&file, issuer.key_set().to_string()).unwrap();
    issuer.break_with(Endpoint::Discovery, Fault::Down);
    let declared = format!(
        "[[issuer]]\nname = \"github\"\npreset = \"github\"\nurl = \"{}\"\njwks_file = \"{}\"\n",
        issuer.url(),
        file.display()
    );
    let setup = Setup::new(&authority).also(BUSY).also(&declared).also(WIDGET);
    let gateway = setup
        .upstream("nowhere", "generic", "http://127.0.0.1:9")
        .index("prod", "nowhere", "/root/prod/")
        .start();
    assert_eq!(gateway.mint(&good_token(&issuer)).status, 200);
    check_refused(&gateway.mint(&token_with_unknown_key(&issuer)), 422, "invalid-token");
    issuer.add_key();
    check_refused(&gateway.mint(&good_token(&issuer)), 422, "invalid-token");
    assert_eq!([issuer.asked(Endpoint::Discovery), issuer.asked(Endpoint::Keys)], [0, 0]);
}
