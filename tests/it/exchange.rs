//! The exchange over the wire: an identity token in, an upload token out, and what everybody else is told.

mod identity;
mod state;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::claims::{COMMIT, Claims};
use crate::support::gateway::{AUDIENCE, Gateway, Setup};
use crate::support::issuer::{Issuer, now};
use crate::support::raw::{Answer, Raw, basic};
use crate::support::recorder::Recorder;
use crate::support::stage::RULES;
use crate::support::tls::Authority;
use crate::support::{hex, random};

pub const MINT: &str = "/_/oidc/mint-token";

/// Clients give up after 5 s. The gateway promises 4; a busy machine may take half a second more.
pub const IN_TIME: Duration = Duration::from_millis(4500);

/// Tests make more exchanges in a minute than any CI system.
pub const BUSY: &str = "[limits]\nmint_per_minute = 1000000\n";

/// The first publisher of the usual scene, for gateways with one issuer.
pub const WIDGET: &str = r#"
[[publisher]]
name = "widget-github"
issuer = "github"
index = "prod"
projects = ["acme-widget"]
repository = "acme/widget"
repository_id = 887766
repository_owner_id = 4411
workflow = "release.yml"
environment = "pypi"
tag = "v{version}"
"#;

const LEGACY_RULE: &str = r#"
[[publisher]]
name = "legacy"
issuer = "jenkins"
index = "prod"
projects = ["legacy-billing"]
claims = { build_job = "release/legacy", build_number = 7, protected = true }
"#;

/// One gateway with three issuers for all tests here. Nothing in this file may reach its upstream.
struct Scene {
    github: Issuer,
    gitlab: Issuer,
    jenkins: Issuer,
    gateway: Gateway,
    upstream: Recorder,
}

fn scene() -> &'static Scene {
    static SCENE: LazyLock<Scene> = LazyLock::new(|| {
        let authority = Authority::new();
        let (github, gitlab, jenkins) =
            (Issuer::start(&authority), Issuer::start(&authority), Issuer::start(&authority));
        let upstream = Recorder::start();
        let gateway = Setup::new(&authority)
            .also(BUSY)
            .issuer("github", "github", &github)
            .issuer("gitlab", "gitlab", &gitlab)
            .issuer("jenkins", "generic", &jenkins)
            .also("identity_claims = [\"build_job\"]")
            .also(RULES)
            .also(LEGACY_RULE)
            .upstream("recorder", "generic", &upstream.url())
            .index("prod", "recorder", "/root/prod/")
            .start();
        Scene { github, gitlab, jenkins, gateway, upstream }
    });
    &SCENE
}

impl Scene {
    fn gitlab_claims(&self) -> Claims {
        Claims::gitlab(self.gitlab.url())
    }

    /// A token of `github` with these claims, and a header with these members over the usual ones.
    fn with_header(&self, members: &Value) -> String {
        let mut header = json!({"typ": "JWT", "alg": "RS256", "kid": self.github.key_id()});
        for (name, value) in members.as_object().unwrap() {
            header[name] = value.clone();
        }
        self.github.sign(&header.to_string(), &payload(&self.github, &Claims::github()).to_string())
    }

    #[track_caller]
    fn accepts(&self, jwt: &str) -> Answer {
        let answer = self.gateway.mint(jwt);
        assert_eq!(answer.status, 200, "{answer}");
        assert!(self.upstream.connections().is_empty());
        answer
    }

    /// Asserts that the token is refused with this code, in the right shape and giving nothing away; gives the
    /// description.
    #[track_caller]
    fn refuses(&self, jwt: &str, code: &str) -> String {
        let answer = self.gateway.mint(jwt);
        let text = answer.to_string();
        for segment in jwt.split('.').skip(1).filter(|segment| segment.len() > 20) {
            assert!(!text.contains(&segment[..20]), "part of the token comes back: {answer}");
        }
        assert!(self.upstream.connections().is_empty());
        check_refused(&answer, 422, code)
    }
}

/// Asserts that an answer under `/_/` has the shape that every client reads, and gives its description.
#[track_caller]
pub fn check_refused(answer: &Answer, status: u16, code: &str) -> String {
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer}");
    for name in ["set-cookie", "www-authenticate", "location", "server"] {
        assert_eq!(answer.header(name), None, "{answer}");
    }
    assert_eq!(answer.header("retry-after").is_some(), matches!(status, 429 | 503), "{answer}");
    let body = answer.json();
    let errors = body["errors"].as_array().expect("`errors` is a list");
    let [error] = errors.as_slice() else { panic!("one error, not {}", errors.len()) };
    assert_eq!(error["code"], code, "{answer}");
    let description = error["description"].as_str().expect("a description").to_owned();
    assert!(!description.is_empty() && body["message"].as_str().is_some_and(|text| !text.is_empty()));
    // RFC 9457 in the same object.
    assert_eq!((&body["type"], &body["status"]), (&json!("about:blank"), &json!(status)), "{answer}");
    assert_eq!((&body["title"], &body["detail"]), (&body["message"], &error["description"]), "{answer}");
    let reference = body["reference"].as_str().expect("a reference");
    assert!(description.contains(&format!("(reference {reference})")), "{answer}");
    for member in ["token", "success", "expires"] {
        assert_eq!(body.get(member), None, "{answer}");
    }
    let text = answer.text();
    assert!(text.len() <= 2048, "{} bytes: {answer}", text.len());
    assert!(text.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{answer}");
    assert!(!text.to_ascii_lowercase().contains("already exist"), "twine would call it success: {answer}");
    description
}

/// The payload that `issuer` would sign for these claims.
fn payload(issuer: &Issuer, claims: &Claims) -> Value {
    let now = now();
    claims.payload(json!({
        "iss": issuer.url(), "aud": AUDIENCE, "jti": hex(&random::<16>()),
        "iat": now, "nbf": now - 300, "exp": now + 600,
    }))
}

fn mint_request(path: &str, jwt: &str) -> Raw {
    Raw::new(&format!("POST {path}")).json(&json!({ "token": jwt }))
}

#[test]
fn the_audience_is_told_to_everybody() {
    let gateway = &scene().gateway;
    for request in [
        Raw::new("GET /_/oidc/audience"),
        Raw::new("GET /_/oidc/audience?x=1&y"),
        Raw::new("GET /_/oidc/audience").header("Authorization", basic("bob", "secret")),
        Raw::new("GET /_/oidc/audience").header("Authorization", "Bearer indexgate-eyJ.a.b"),
    ] {
        let answer = gateway.ask(&request);
        assert_eq!((answer.status, answer.json()), (200, json!({ "audience": AUDIENCE })), "{answer}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let head = gateway.ask(&Raw::new("HEAD /_/oidc/audience"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = gateway.ask(&Raw::new(&format!("{method} /_/oidc/audience")).body("{}"));
        check_refused(&answer, 405, "method-not-allowed");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    assert!(scene().upstream.connections().is_empty());
}

#[test]
fn a_job_of_each_kind_of_issuer_gets_a_token_on_either_path() {
    let scene = scene();
    let legacy = Claims::empty()
        .with("build_job", "release/legacy")
        .with("build_number", 7)
        .with("protected", true)
        .with("sub", "legacy");
    for path in [MINT, "/_/oidc/github/mint-token"] {
        for (issuer, claims) in [
            (&scene.github, Claims::github()),
            (&scene.gitlab, scene.gitlab_claims()),
            (&scene.jenkins, legacy.clone()),
            // Some send no `jti`; what was signed stands for it.
            (&scene.jenkins, legacy.clone().without("jti").with("build_id", path)),
        ] {
            let jwt = issuer.token(&claims, AUDIENCE);
            let answer = scene.gateway.ask(&mint_request(path, &jwt));
            assert_eq!(answer.status, 200, "{answer}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("set-cookie"), None);
            let body = answer.json();
            let members: BTreeSet<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, BTreeSet::from(["expires", "success", "token"]));
            assert_eq!(body["success"], true);
            assert!(body["token"].as_str().unwrap().starts_with("indexgate-"));
            let lifetime = body["expires"].as_u64().unwrap() - now();
            assert!((895..=900).contains(&lifetime), "{lifetime} s");

            check_refused(&scene.gateway.ask(&mint_request(path, &jwt)), 422, "invalid-reuse-token");
        }
    }
    assert!(scene.upstream.connections().is_empty());
}

#[test]
fn the_request_is_read_as_json_whatever_stands_around_it() {
    let scene = scene();
    let fresh = || scene.github.token(&Claims::github(), AUDIENCE);
    let plain = || json!({ "token": fresh() }).to_string();
    let chunked = |body: String| {
        let (a, b) = body.split_at(100);
        let request = Raw::new(&format!("POST {MINT}")).header("Transfer-Encoding", "chunked");
        let request = request.header("Host", "gateway").bytes();
        let chunks = format!("{:x}\r\n{a}\r\n{:x};x=y\r\n{b}\r\n0\r\n\r\n", a.len(), b.len());
        [request, chunks.into_bytes()].concat()
    };
    for request in [
        Raw::new(&format!("POST {MINT}")).body(plain()),
        Raw::new(&format!("POST {MINT}")).header("Content-Type", "text/plain; charset=latin-1").body(plain()),
        Raw::new(&format!("POST {MINT}"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(plain()),
        Raw::new(&format!("POST {MINT}?token=x&y")).body(plain()),
        Raw::new(&format!("POST {MINT}")).header("Authorization", basic("bob", "secret")).body(plain()),
        Raw::new(&format!("POST {MINT}"))
            .header("Authorization", "Bearer indexgate-eyJ.a.b")
            .header("X-Devpi-Auth", "Ym9iOnB3")
            .body(plain()),
        Raw::new(&format!("POST {MINT}")).header("Expect", "100-continue").body(plain()),
        Raw::new(&format!("POST {MINT}")).body(format!(" \r\n\t{}\n", plain())),
        Raw::new(&format!("POST {MINT}"))
            .json(&json!({"token": fresh(), "features": ["multi-use-token"], "x": {"token": 1}})),
    ] {
        let answer = scene.gateway.ask(&request);
        assert_eq!(answer.status, 200, "{answer}");
    }
    assert_eq!(scene.gateway.wire().ask(chunked(plain())).status, 200);
    assert!(scene.upstream.connections().is_empty());
}

#[test]
fn a_request_without_a_token_is_no_exchange() {
    let scene = scene();
    let utf16: Vec<u8> = "{\"token\":\"x\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let deep = format!("{{\"token\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let jwt = scene.github.token(&Claims::github(), AUDIENCE);
    let twice = format!("{{\"token\":\"{jwt}\",\"token\":\"{jwt}\"}}");
    let hidden = format!("{{\"token\":\"{jwt}\",\"tok\\u0065n\":\"x\"}}");
    for body in [
        &b""[..],
        b"[]",
        b"\"x\"",
        b"12345",
        b"3.14",
        b"null",
        b"{}",
        b"{",
        b"token=x",
        b"{\"token\":null}",
        b"{\"token\":0}",
        b"{\"token\":3.14}",
        b"{\"token\":true}",
        b"{\"token\":[]}",
        b"{\"token\":[\"x\"]}",
        b"{\"token\":{}}",
        b"{\"wrongkey\":\"\"}",
        b"{\"Token\":\"x\"}",
        b"{\"token\":\"\xff\xfe\"}",
        b"{\"token\":\"x\"} {}",
        b"\xef\xbb\xbf{\"token\":\"x\"}",
        &utf16,
        deep.as_bytes(),
        twice.as_bytes(),
        hidden.as_bytes(),
    ] {
        let answer = scene.gateway.ask(&Raw::new(&format!("POST {MINT}")).body(body));
        let words = check_refused(&answer, 422, "invalid-payload");
        assert!(!words.contains("malformed JWT"), "{words}");
    }
    // What was sent twice was not used up.
    scene.accepts(&jwt);
}

#[test]
fn other_methods_are_refused_and_say_which_is_right() {
    let scene = scene();
    for path in [MINT, "/_/oidc/github/mint-token", "/_/oidc/burn-token"] {
        for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PUSH"] {
            let request = Raw::new(&format!("{method} {path}")).json(&json!({"token": "x"}));
            let answer = scene.gateway.ask(&request);
            check_refused(&answer, 405, "method-not-allowed");
            assert_eq!(answer.header("allow"), Some("POST"));
        }
        let head = scene.gateway.ask(&Raw::new(&format!("HEAD {path}")));
        assert_eq!((head.status, head.header("allow")), (405, Some("POST")));
    }
    assert!(scene.upstream.connections().is_empty());
}

#[test]
fn what_lies_under_the_gateways_own_prefix_is_never_forwarded() {
    let scene = scene();
    for path in [
        "/_/",
        "/_/x",
        "/_/oidc/",
        "/_/oidc/audience/",
        "/_/oidc/audience/x",
        "/_/oidc/mint-token/",
        "/_/OIDC/audience",
        "/_/admin",
        "//_/oidc/mint-token",
        "/%5f/oidc/mint-token",
        "/x/../_/oidc/mint-token",
        "/_/oidc/mint-token%00",
        "/_%2foidc%2fmint-token",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            check_refused(&scene.gateway.ask(&Raw::new(&format!("{method} {path}"))), 404, "not-found");
        }
    }
    assert!(scene.upstream.connections().is_empty());
}

#[test]
fn a_body_larger_than_any_token_is_refused_before_it_has_arrived() {
    let scene = scene();
    let head = |framing: &str| format!("POST {MINT} HTTP/1.1\r\nHost: gateway\r\n{framing}\r\n\r\n");
    // Declared, and only begun.
    let begun = head("Content-Length: 10000000") + &" ".repeat(70_000);
    check_refused(&scene.gateway.wire().ask(begun), 413, "invalid-payload");
    // Without an end.
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    let endless = head("Transfer-Encoding: chunked") + &chunk.repeat(5);
    check_refused(&scene.gateway.wire().ask(endless), 413, "invalid-payload");
    // Whole, so that a client which sends all first can read the answer.
    let whole = Raw::new(&format!("POST {MINT}")).body(" ".repeat(1 << 20));
    check_refused(&scene.gateway.ask(&whole), 413, "invalid-payload");
    // Below that, the token itself has a limit.
    let long = scene.github.token(&Claims::github().with("padding", "x".repeat(16_000)), AUDIENCE);
    assert!(scene.refuses(&long, "invalid-payload").starts_with("malformed JWT"));
}

#[test]
fn the_audit_tells_who_got_a_token_and_who_did_not() {
    let scene = scene();
    let run = hex(&random::<8>());
    let claims = || Claims::github().with("run_id", run.as_str());
    let minted = scene.accepts(&scene.github.token(&claims(), AUDIENCE)).json();
    let stranger = claims().repository("evil/widget", "1", "2");
    let words = scene.refuses(&scene.github.token(&stranger, AUDIENCE), "invalid-publisher");

    let lines = scene.gateway.audit_about(&run);
    let [allowed, refused] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&allowed["event"], &allowed["decision"]), (&json!("mint"), &json!("allow")));
    assert_eq!((&allowed["issuer"], &allowed["publisher"]), (&json!("github"), &json!(["widget-github"])));
    assert_eq!(
        (&allowed["claims"]["repository"], &allowed["claims"]["sha"]),
        (&json!("acme/widget"), &json!(COMMIT))
    );
    let token = minted["token"].as_str().unwrap();
    assert!(allowed["token_id"].as_str().is_some_and(|id| id.len() > 10 && !token.contains(id)));
    assert!(!allowed.to_string().contains(token.rsplit_once('.').unwrap().1));

    assert_eq!((&refused["decision"], &refused["status"]), (&json!("refuse"), &json!(422)));
    assert_eq!(refused["claims"]["repository"], "evil/widget");
    assert!(words.contains(refused["reference"].as_str().unwrap()), "{words}");
    assert_eq!(refused.get("token_id"), None);
}

#[test]
fn a_request_that_never_ends_is_answered_all_the_same() {
    let ask = |path: &str| {
        let begun = Instant::now();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100\r\n\r\n{{\"token\":");
        let answer = scene().gateway.wire().ask(head);
        assert!(matches!(answer.status, 408 | 503), "{answer}");
        assert!(answer.json()["errors"][0]["code"].is_string(), "{answer}");
        assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    };
    thread::scope(|scope| {
        for path in [MINT, "/_/oidc/burn-token"] {
            scope.spawn(move || ask(path));
        }
    });
}
