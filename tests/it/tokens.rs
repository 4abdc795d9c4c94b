//! Upload tokens on the wire: where they count, what they allow, when they end, and that no credential is ever seen by
//! somebody whom it is not meant for.

mod identities;
mod life;
mod words;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use crate::exchange::{BUSY, WIDGET};
use crate::support::claims::Claims;
use crate::support::gateway::{AUDIENCE, Gateway, Setup};
use crate::support::issuer::Issuer;
use crate::support::package::Package;
use crate::support::raw::{Answer, Form, Raw, basic};
use crate::support::recorder::{Recorded, Recorder};
use crate::support::stage::PROJECT;
use crate::support::tls::Authority;
use crate::support::{hex, random};

const UPLOAD: &str = "POST /root/prod/";

/// What uv sends.
const UV_ACCEPT: &str = "application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7";

const OTHER_INDEX: &str = r#"
[[publisher]]
name = "widget-elsewhere"
issuer = "github"
index = "other"
projects = ["acme-widget"]
repository = "acme/elsewhere"
repository_owner_id = 4411
workflow = "release.yml"
"#;

/// A gateway in front of a recorder with two indexes, and a token for the first.
struct Scene {
    github: Issuer,
    gateway: Gateway,
    upstream: Recorder,
    token: String,
}

/// One for all tests that leave it as it is.
fn scene() -> &'static Scene {
    static SCENE: LazyLock<Scene> = LazyLock::new(|| Scene::set(|setup| setup));
    &SCENE
}

impl Scene {
    fn set(more: impl FnOnce(Setup) -> Setup) -> Self {
        let authority = Authority::new();
        let (github, upstream) = (Issuer::start(&authority), Recorder::start());
        let setup = Setup::new(&authority)
            .also(BUSY)
            .issuer("github", "github", &github)
            .also(WIDGET)
            .also(OTHER_INDEX)
            .upstream("recorder", "generic", &upstream.url())
            .index("prod", "recorder", "/root/prod/")
            .index("other", "recorder", "/root/other/");
        let gateway = more(setup).start();
        let token = gateway.upload_token(&github, &Claims::github());
        Self { github, gateway, upstream, token }
    }

    /// Sends a request, and gives the answer with what reached the upstream of it.
    #[track_caller]
    fn send(&self, request: &Raw) -> (Answer, Vec<Recorded>) {
        let probe = format!("probe-{}", hex(&random::<12>()));
        let answer = self.gateway.ask(&request.clone().header("User-Agent", &probe));
        let arrived = self.upstream.requests().into_iter();
        let arrived: Vec<_> =
            arrived.filter(|request| request.header("user-agent").as_deref() == Some(&probe)).collect();
        assert!(
            !arrived.is_empty() || !self.upstream.saw(&probe),
            "part of the request reached the upstream"
        );
        (answer, arrived)
    }

    /// Asserts that a request is refused with this status and that not a byte of it reaches the upstream.
    #[track_caller]
    fn refuses(&self, what: &str, request: &Raw, status: u16) -> Answer {
        let (answer, arrived) = self.send(request);
        assert!(arrived.is_empty(), "{what}: {} reached the upstream; {answer}", arrived[0].line());
        assert_eq!(answer.status, status, "{what}: {answer}");
        check_words(&answer);
        answer
    }

    /// Asserts that an upload reaches the upstream once, with the gateway's credential and no other.
    #[track_caller]
    fn publishes(&self, what: &str, request: &Raw) -> Recorded {
        let (answer, mut arrived) = self.send(request);
        assert_eq!(answer.status, 200, "{what}: {answer}");
        assert_eq!(arrived.len(), 1, "{what}");
        let arrived = arrived.remove(0);
        assert_eq!(arrived.line(), "POST /root/prod/ HTTP/1.1", "{what}");
        assert_eq!(arrived.headers("authorization"), [basic("indexgate", "upstream-password")], "{what}");
        for name in ["x-devpi-auth", "cookie", "proxy-authorization"] {
            assert!(arrived.headers(name).is_empty(), "{what}: {name}");
        }
        arrived
    }
}

/// Asserts what holds of every refusal of a request with an upload token: no client takes it for anything else.
#[track_caller]
fn check_words(answer: &Answer) {
    assert!(
        (400..500).contains(&answer.status) && ![401, 407, 408, 409].contains(&answer.status),
        "{answer}"
    );
    for name in ["www-authenticate", "set-cookie", "location", "server"] {
        assert_eq!(answer.header(name), None, "{answer}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer}");
    assert!(answer.reason.contains("(reference "), "twine shows nothing but this: {answer}");
    let everything = answer.to_string().to_ascii_lowercase();
    assert!(!everything.contains("already exist"), "twine would call it success: {answer}");
    assert!(!everything.contains("indexgate-eyj"), "{answer}");
    assert!(answer.body.len() <= 2048, "{answer}");
}

fn wheel() -> Package {
    Package::wheel(PROJECT.0, PROJECT.1)
}

fn upload(package: &Package) -> Raw {
    Raw::new(UPLOAD).form(&Form::twine(package))
}

#[test]
fn a_token_is_taken_as_a_password_or_bearer_in_any_case_of_the_scheme() {
    let scene = scene();
    let (token, package) = (&scene.token, wheel());
    let encoded = basic("__token__", token);
    for (what, value) in [
        ("Basic", encoded.clone()),
        ("basic", encoded.replacen("Basic", "basic", 1)),
        ("BASIC", encoded.replacen("Basic", "BASIC", 1)),
        ("blanks before it", encoded.replacen(' ', "   ", 1)),
        ("a line break after it", basic("__token__", &format!("{token}\n"))),
        ("white space around it", basic("__token__", &format!(" \t{token}\r\n"))),
        ("Bearer", format!("Bearer {token}")),
        ("bearer", format!("bearer {token}")),
        ("BEARER", format!("BEARER  {token} ")),
        ("token", format!("token {token}")),
        ("Token", format!("Token {token}")),
    ] {
        let arrived = scene.publishes(what, &upload(&package).header("Authorization", value));
        assert!(memchr::memmem::find(&arrived.body, &package.bytes).is_some(), "{what}");
    }
    assert!(!scene.upstream.saw(token));
}

#[test]
fn a_token_in_any_other_place_goes_nowhere() {
    let scene = scene();
    let token = scene.token.as_str();
    let (valid, inner) = (basic("__token__", token), format!("alice:{token}"));
    let unpadded = STANDARD_NO_PAD.encode(&inner);
    let mut spaced = STANDARD.encode(&inner);
    spaced.insert(20, '!');
    let one = |name: &'static str, value: String| vec![(name, value)];
    let cases = [
        ("another user", (403, one("Authorization", basic("alice", token)))),
        ("no user", (403, one("Authorization", basic("", token)))),
        ("nearly the user", (403, one("Authorization", basic("__TOKEN__", token)))),
        ("as the user", (403, one("Authorization", basic(token, "")))),
        ("as the user of a password", (403, one("Authorization", basic(token, "x")))),
        ("inside the password", (403, one("Authorization", basic("__token__", &format!("x{token}"))))),
        ("in upper case", (403, one("Authorization", basic("bob", &token.to_uppercase())))),
        ("without padding", (403, one("Authorization", format!("Basic {unpadded}")))),
        ("with another alphabet", (403, one("Authorization", format!("Basic {}", URL_SAFE.encode(&inner))))),
        ("with dirt inside", (403, one("Authorization", format!("Basic {spaced}")))),
        ("not encoded", (403, one("Authorization", format!("Basic __token__:{token}")))),
        ("without a scheme", (403, one("Authorization", token.to_owned()))),
        ("with another scheme", (403, one("Authorization", format!("Digest response={token}")))),
        ("after a comma", (403, one("Authorization", format!("{}, Bearer {token}", basic("bob", "pw"))))),
        ("before a comma", (403, one("Authorization", format!("{valid}, {}", basic("bob", "pw"))))),
        ("X-Devpi-Auth", (403, one("X-Devpi-Auth", STANDARD.encode(&inner)))),
        ("X-Devpi-Auth, plain", (403, one("X-Devpi-Auth", token.to_owned()))),
        ("Cookie", (403, one("Cookie", format!("a=b; session={token}")))),
        ("Cookie, encoded", (403, one("Cookie", format!("session={}; a=b", STANDARD.encode(&inner))))),
        ("Proxy-Authorization", (403, one("Proxy-Authorization", valid.clone()))),
        ("X-Auth-Token", (403, one("X-Auth-Token", token.to_owned()))),
        ("X-Api-Key", (403, one("X-Api-Key", token.to_owned()))),
        ("Referer", (403, one("Referer", format!("https://x/?t={token}")))),
        ("a name of its own", (403, one("X-Whatever", format!("t={token}")))),
        ("twice", (400, vec![("Authorization", valid.clone()), ("Authorization", valid.clone())])),
        (
            "before a password",
            (400, vec![("Authorization", valid.clone()), ("Authorization", basic("root", "pw"))]),
        ),
        (
            "after a password",
            (400, vec![("Authorization", basic("root", "pw")), ("Authorization", valid.clone())]),
        ),
        (
            "beside X-Devpi-Auth",
            (400, vec![("Authorization", valid.clone()), ("X-Devpi-Auth", "cm9vdDpwdw==".to_owned())]),
        ),
        (
            "beside Proxy-Authorization",
            (403, vec![("Authorization", valid.clone()), ("Proxy-Authorization", valid.clone())]),
        ),
    ];
    for (what, (status, headers)) in cases {
        for request in [
            upload(&wheel()),
            Raw::new("GET /root/prod/+simple/acme-widget/"),
            Raw::new("DELETE /root/prod/acme-widget"),
            Raw::new("POST /+login").body("{}"),
        ] {
            let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
            scene.refuses(what, &request, status);
        }
    }
    for target in [format!("/root/prod/?token={token}"), format!("/{token}/x"), format!("/x?a=b&{token}")] {
        for method in ["GET", "POST", "DELETE"] {
            scene.refuses("in the target", &Raw::new(&format!("{method} {target}")), 403);
        }
    }
    // A project may be called like us.
    let (answer, arrived) = scene.send(&Raw::new("GET /root/prod/+simple/indexgate-plugin/"));
    assert_eq!((answer.status, arrived.len()), (200, 1));
    assert!(!scene.upstream.saw(token) && !scene.upstream.saw(STANDARD.encode(&inner)));
}

#[test]
fn a_read_with_a_token_is_anonymous_at_the_index() {
    let scene = scene();
    for value in [basic("__token__", &scene.token), format!("Bearer {}", scene.token)] {
        for line in [
            "GET /root/prod/+simple/acme-widget/?a=%2F&b",
            "HEAD /root/prod/+f/a/acme_widget-1.2.0.whl",
            "GET /",
        ] {
            let request = Raw::new(line).header("Authorization", &value).header("Accept", "text/html");
            let (answer, arrived) = scene.send(&request.header("If-None-Match", "\"x\""));
            assert_eq!((answer.status, arrived.len()), (200, 1), "{line}: {answer}");
            let arrived = &arrived[0];
            assert_eq!(arrived.line(), format!("{line} HTTP/1.1"));
            assert!(
                arrived.headers("authorization").is_empty() && arrived.headers("x-devpi-auth").is_empty()
            );
            assert_eq!(arrived.header("if-none-match").as_deref(), Some("\"x\""));
        }
    }
    assert!(!scene.upstream.saw(&scene.token));
}

#[test]
fn a_token_does_nothing_but_upload() {
    let scene = scene();
    let value = basic("__token__", &scene.token);
    for line in [
        "PUT /root/prod/",
        "PATCH /root/prod/",
        "DELETE /root/prod/acme-widget/1.2.0",
        "PUSH /root/prod/",
        "OPTIONS /root/prod/",
        "MKCOL /root/prod/",
        "FOO /",
        "POST /",
        "POST /+login",
        "POST /root/prod/acme-widget/",
        "POST /root/unknown/",
        "POST /Root/prod/",
    ] {
        let answer = scene.refuses(line, &Raw::new(line).header("Authorization", &value).body("{}"), 403);
        assert!(answer.reason.contains("can only upload"), "{line}: {answer}");
        assert!(answer.reason.contains("/root/prod/"), "{line}: {answer}");
    }
    // What might be the upload to somebody else is named, with the right spelling.
    for path in [
        "/root/prod/?:action=file_upload",
        "//root/prod/",
        "/root/%70rod/",
        "/root/x/../prod/",
        "/root/prod//",
    ] {
        let request = Raw::new(&format!("POST {path}")).form(&Form::twine(&wheel()));
        let answer = scene.refuses(path, &request.header("Authorization", &value), 400);
        assert!(answer.reason.contains("exactly /root/prod/"), "{path}: {answer}");
    }
    for line in ["TRACE /root/prod/", "CONNECT /root/prod/", "post /root/prod/", "get /root/prod/"] {
        scene.refuses(line, &Raw::new(line).header("Authorization", &value), 405);
    }
}

#[test]
fn an_identity_token_is_no_upload_token_and_the_refusal_says_where_to_take_it() {
    let scene = scene();
    let jwt = scene.github.token(&Claims::github(), AUDIENCE);
    for (what, value) in [
        ("as the token", basic("__token__", &jwt)),
        ("with a line break", basic("__token__", &format!("{jwt}\n"))),
        ("as a password", basic("bob", &jwt)),
        ("Bearer", format!("Bearer {jwt}")),
        ("bearer", format!("bearer {jwt}")),
    ] {
        for request in
            [upload(&wheel()), Raw::new("GET /root/prod/"), Raw::new("PUSH /root/prod/").body("{}")]
        {
            let answer = scene.refuses(what, &request.header("Authorization", &value), 403);
            for part in ["identity token", "exchange", "/_/oidc/mint-token"] {
                assert!(answer.reason.contains(part) && answer.text().contains(part), "{what}: {answer}");
            }
            assert!(!answer.to_string().contains(&jwt[..40]), "{what}: {answer}");
        }
    }
    assert!(!scene.upstream.saw(&jwt));
    // All this did not use it up; and the other way round an upload token is no identity token.
    assert_eq!(scene.gateway.mint(&jwt).status, 200);
    let inside = scene.token.strip_prefix("indexgate-").unwrap();
    crate::exchange::check_refused(&scene.gateway.mint(&scene.token), 422, "invalid-payload");
    crate::exchange::check_refused(&scene.gateway.mint(inside), 422, "invalid-payload");
}

#[test]
fn a_token_is_for_its_projects_its_version_and_its_index() {
    let scene = scene();
    let value = basic("__token__", &scene.token);
    for project in ["acme-widget", "Acme.Widget", "ACME__widget"] {
        let request = upload(&Package::wheel(project, "1.2.0")).header("Authorization", &value);
        scene.publishes(project, &request);
        let request = upload(&Package::sdist(project, "1.2.0")).header("Authorization", &value);
        scene.publishes(project, &request);
    }
    let mut told = Vec::new();
    for project in
        ["acme-widget-extras", "acme-widge", "acme-widget2", "xacme-widget", "acmewidget", "victim", "acme"]
    {
        let request = upload(&Package::wheel(project, "1.2.0")).header("Authorization", &value);
        let answer = scene.refuses(project, &request, 403);
        assert!(answer.reason.contains(&format!("`{project}`")), "{answer}");
        told.push(
            answer
                .reason
                .split(" (reference")
                .next()
                .unwrap()
                .replace(&format!("`{project}`"), "PROJECT")
                .replace(&format!("\"{project}\""), "PROJECT")
                .replace(&format!(" {project} "), " PROJECT "),
        );
    }
    // Nobody learns from the words which of them the index has.
    told.dedup_by(|a, b| a == b);
    assert_eq!(told.len(), 1, "{told:?}");

    let other = upload(&Package::wheel("acme-widget", "1.2.1")).header("Authorization", &value);
    let answer = scene.refuses("another version than the tag", &other, 403);
    assert!(answer.reason.contains("1.2.0") && answer.reason.contains("1.2.1"), "{answer}");
    let elsewhere = Raw::new("POST /root/other/").form(&Form::twine(&wheel()));
    let answer = scene.refuses("another index", &elsewhere.header("Authorization", &value), 403);
    assert!(answer.reason.contains("`prod`") && answer.reason.contains("`other`"), "{answer}");
}
