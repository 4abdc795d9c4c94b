//! The draft of PEP 807 against the real gateway: discovery, the exchange of one index, what a token can be narrowed to,
//! and the question what an exchange would give.

use std::io::Write as _;
use std::sync::{Arc, Barrier};
use std::thread;

use serde_json::{Value, json};

use crate::support::claims::Claims;
use crate::support::gateway::{AUDIENCE, Gateway, Setup};
use crate::support::issuer::{Issuer, now};
use crate::support::package::Package;
use crate::support::raw::{Answer, Form, Raw, basic};
use crate::support::recorder::Recorder;
use crate::support::tls::Authority;

const MEDIA_TYPE: &str = "application/vnd.pypi.pytp.v1+json";
const PROBLEM: &str = "application/problem+json";

/// The job may publish `acme-widget` to both `prod` and `dev`, and nothing to `closed`.
const RULES: &str = r#"
[[publisher]]
name = "widget-prod"
issuer = "github"
index = "prod"
projects = ["acme-widget"]
repository = "acme/widget"
workflow = "release.yml"
tag = "v{version}"

[[publisher]]
name = "widget-dev"
issuer = "github"
index = "dev"
projects = [{ glob = "acme-*" }]
repository = "acme/widget"
workflow = "release.yml"
"#;

struct Scene {
    github: Issuer,
    gateway: Gateway,
    recorder: Recorder,
}

impl Scene {
    fn set() -> Self {
        Self::with("")
    }

    fn with(toml: &str) -> Self {
        let (authority, recorder) = (Authority::new(), Recorder::start());
        let github = Issuer::start(&authority);
        let setup = Setup::new(&authority).issuer("github", "github", &github);
        let setup = setup.upstream("recorder", "generic", &recorder.url());
        let setup = setup.index("prod", "recorder", "/root/prod/").index("dev", "recorder", "/root/dev/");
        let setup = setup.index("closed", "recorder", "/root/closed/").also(RULES).also(toml);
        Self { github, gateway: setup.start(), recorder }
    }

    fn job(&self) -> String {
        self.github.token(&Claims::github(), AUDIENCE)
    }

    #[track_caller]
    fn get(&self, target: &str) -> Answer {
        self.gateway.ask(&Raw::new(&format!("GET {target}")))
    }

    #[track_caller]
    fn discover(&self, path: &str) -> Answer {
        let key = path.replace('/', "%2F");
        let request = Raw::new(&format!("GET /.well-known/pytp?discover={key}"));
        self.gateway.ask(&request.header("Accept", MEDIA_TYPE))
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Answer {
        self.gateway.ask(&Raw::new(&format!("POST {path}")).json(body))
    }

    /// A token of the endpoint at `path`, for a new run of the job.
    #[track_caller]
    fn minted(&self, path: &str, features: &[&str]) -> String {
        let answer = self.post(path, &json!({"token": self.job(), "features": features}));
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn upload(&self, path: &str, token: &str) -> Answer {
        upload(&self.gateway, path, token)
    }

    #[track_caller]
    fn check(&self, body: &Value) -> Value {
        let answer = self.post("/_/indexgate/check", body);
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.json()
    }
}

fn upload(gateway: &Gateway, path: &str, token: &str) -> Answer {
    let package = Package::wheel("acme-widget", "1.2.0");
    let request = Raw::new(&format!("POST {path}")).header("Authorization", basic("__token__", token));
    gateway.ask(&request.form(&Form::twine(&package)))
}

/// A refusal has the members of RFC 9457 and those that the clients of PyPI read.
#[track_caller]
fn check_refused(answer: &Answer, status: u16, media_type: &str, code: &str) -> String {
    assert_eq!((answer.status, answer.header("content-type")), (status, Some(media_type)), "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["errors"][0]["code"], code);
    for member in ["type", "title", "detail", "message", "reference"] {
        assert!(problem[member].is_string(), "{member}: {problem}");
    }
    problem["errors"][0]["description"].as_str().unwrap().to_owned()
}

#[test]
fn an_upload_url_is_all_that_a_client_needs() {
    let scene = Scene::set();
    let discovery = scene.discover("/root/prod/");
    assert_eq!((discovery.status, discovery.header("content-type")), (200, Some(MEDIA_TYPE)), "{discovery}");
    let discovered = discovery.json();
    let path_of = |member: &str| {
        let url = discovered[member].as_str().unwrap();
        // The same host as the upload URL, and nothing that a browser would not trust.
        url.strip_prefix(scene.gateway.url()).unwrap_or_else(|| panic!("{url} is elsewhere")).to_owned()
    };
    assert_eq!(path_of("audience-endpoint"), "/_/indexgate/prod/audience");
    assert_eq!(path_of("token-mint-endpoint"), "/_/indexgate/prod/mint-token");
    assert_eq!(discovered["features"], json!(["single-use-token", "multi-use-token"]));
    assert_eq!(discovered["default-features"], json!(["multi-use-token"]));
    assert_eq!(discovered.as_object().unwrap().len(), 4);

    let audience = scene.get(&path_of("audience-endpoint"));
    assert_eq!((audience.status, audience.json()), (200, json!({"audience": AUDIENCE})));

    let asked = now();
    let minted = scene.post(&path_of("token-mint-endpoint"), &json!({"token": scene.job()}));
    assert_eq!((minted.status, minted.header("content-type")), (200, Some("application/json")), "{minted}");
    let lifetime = minted.json()["expires"].as_u64().unwrap() - asked;
    assert!((900..=21_600).contains(&lifetime), "{lifetime}");
    let token = minted.json()["token"].as_str().unwrap().to_owned();

    assert_eq!(scene.upload("/root/prod/", &token).status, 200);
    assert_eq!(scene.upload("/root/prod/", &token).status, 200, "a token can be used again");
    assert_eq!(scene.recorder.requests().len(), 2);

    let burnt = scene.post("/_/indexgate/prod/burn-token", &json!({"token": token}));
    assert_eq!((burnt.status, burnt.json()), (202, json!({"message": "Accepted"})));
    let refused = scene.upload("/root/prod/", &token);
    assert!(refused.status == 403 && refused.reason.contains("revoked"), "{refused}");
    assert_eq!(scene.recorder.requests().len(), 2);
}

#[test]
fn only_the_upload_path_of_an_index_is_discovered() {
    let scene = Scene::set();
    for path in ["/root/prod", "/root/prod/"] {
        assert_eq!(scene.discover(path).status, 200, "{path}");
    }
    assert!(scene.discover("/root/dev/").text().contains("/_/indexgate/dev/mint-token"));
    let other =
        ["", "/", "/root/", "/root/prod//", "/root//prod/", "/root/prod/x", "/Root/prod/", "/root/%252e/"];
    for path in other.into_iter().chain(["/root/prod/&discover=/root/dev/", "https://x/root/prod/"]) {
        check_refused(&scene.discover(path), 404, PROBLEM, "not-found");
    }
    for target in ["/.well-known/pytp", "/.well-known/pytp?", "/.well-known/pytp?discovery=%2Froot%2Fprod%2F"]
    {
        check_refused(&scene.get(target), 404, PROBLEM, "not-found");
    }
    let post = scene.post("/.well-known/pytp?discover=%2Froot%2Fprod%2F", &json!({}));
    check_refused(&post, 405, PROBLEM, "method-not-allowed");
    assert_eq!(post.header("allow"), Some("GET, HEAD"));
    assert!(scene.recorder.requests().is_empty());
}

#[test]
fn an_index_at_the_root_of_the_host_has_an_empty_discovery_key() {
    let (authority, recorder) = (Authority::new(), Recorder::start());
    let github = Issuer::start(&authority);
    let setup = Setup::new(&authority).issuer("github", "github", &github);
    let gateway = setup.upstream("r", "generic", &recorder.url()).index("all", "r", "/").start();
    for key in ["", "%2F", "/"] {
        let answer = gateway.ask(&Raw::new(&format!("GET /.well-known/pytp?discover={key}")));
        assert_eq!(answer.status, 200, "{answer}");
    }
}

#[test]
fn what_a_client_does_not_accept_is_not_answered() {
    let scene = Scene::set();
    let target = "/.well-known/pytp?discover=%2Froot%2Fprod%2F";
    let ask = |path: &str, accept: &str| {
        scene.gateway.ask(&Raw::new(&format!("GET {path}")).header("Accept", accept))
    };
    assert_eq!(scene.get(target).header("content-type"), Some(MEDIA_TYPE), "the draft's own without Accept");
    assert_eq!(ask(target, "*/*").header("content-type"), Some(MEDIA_TYPE));
    assert_eq!(ask(target, "application/json").header("content-type"), Some("application/json"));
    for path in [target, "/_/indexgate/prod/audience"] {
        for accept in ["text/html", "application/vnd.pypi.pytp.v2+json"] {
            let words = check_refused(&ask(path, accept), 406, PROBLEM, "not-acceptable");
            assert!(words.contains(MEDIA_TYPE), "{words}");
        }
    }
    // PyPI's own paths promise nothing about Accept.
    assert_eq!(ask("/_/oidc/audience", "text/html").status, 200);
}

#[test]
fn without_an_issuer_there_is_no_trusted_publishing() {
    let (authority, recorder) = (Authority::new(), Recorder::start());
    let setup = Setup::new(&authority).upstream("r", "generic", &recorder.url());
    let gateway = setup.index("prod", "r", "/root/prod/").start();
    let get = |target: &str| gateway.ask(&Raw::new(&format!("GET {target}")).header("Accept", "text/html"));
    check_refused(&get("/.well-known/pytp?discover=%2Froot%2Fprod%2F"), 404, PROBLEM, "not-enabled");
    check_refused(&get("/_/indexgate/prod/audience"), 404, PROBLEM, "not-enabled");
    let post = |path: &str| gateway.ask(&Raw::new(&format!("POST {path}")).json(&json!({"token": "x"})));
    check_refused(&post("/_/indexgate/prod/mint-token"), 404, PROBLEM, "not-enabled");
    check_refused(&post("/_/indexgate/check"), 404, "application/json", "not-enabled");
    assert!(recorder.requests().is_empty());
}

#[test]
fn a_path_that_only_looks_like_one_of_ours_is_not_served() {
    let scene = Scene::set();
    for path in [
        "/_/indexgate/",
        "/_/indexgate/other/audience",
        "/_/indexgate/PROD/audience",
        "/_/indexgate/%70rod/audience",
        "/_/indexgate//prod/audience",
        "/_/indexgate/prod/audience/",
        "/_/indexgate/../indexgate/prod/audience",
        "/x/../_/indexgate/prod/audience",
        "//.well-known/pytp?discover=%2Froot%2Fprod%2F",
        "/.well-known/%70ytp?discover=%2Froot%2Fprod%2F",
    ] {
        check_refused(&scene.get(path), 404, "application/json", "not-found");
    }
    assert!(scene.recorder.requests().is_empty());
}

#[test]
fn refusals_of_the_draft_s_endpoints_are_problems() {
    let scene = Scene::set();
    let mint = |body: &Value| scene.post("/_/indexgate/prod/mint-token", body);
    check_refused(&mint(&json!({})), 422, PROBLEM, "invalid-payload");
    check_refused(&mint(&json!({"token": "x"})), 422, PROBLEM, "invalid-payload");
    let stranger = scene.github.token(&Claims::github().repository("evil/widget", "1", "2"), AUDIENCE);
    let words = check_refused(&mint(&json!({"token": stranger})), 422, PROBLEM, "invalid-publisher");
    assert!(words.contains("evil/widget") && !words.contains("acme/widget"), "{words}");
    check_refused(&scene.get("/_/indexgate/prod/mint-token"), 405, PROBLEM, "method-not-allowed");
    // At PyPI's own paths clients expect what PyPI sends.
    let classic = scene.post("/_/oidc/mint-token", &json!({"token": stranger}));
    check_refused(&classic, 422, "application/json", "invalid-publisher");
}

#[test]
fn a_token_of_one_index_is_for_no_other() {
    let scene = Scene::set();
    let token = scene.minted("/_/indexgate/prod/mint-token", &[]);
    let refused = scene.upload("/root/dev/", &token);
    assert!(refused.status == 403 && refused.reason.contains("for index `prod` alone"), "{refused}");
    assert!(scene.recorder.requests().is_empty());
    assert_eq!(scene.upload("/root/prod/", &token).status, 200);

    let everywhere = scene.minted("/_/oidc/mint-token", &[]);
    assert_eq!(scene.upload("/root/dev/", &everywhere).status, 200);
    assert_eq!(scene.upload("/root/prod/", &everywhere).status, 200);

    let job = scene.job();
    let nothing = scene.post("/_/indexgate/closed/mint-token", &json!({"token": job}));
    let words = check_refused(&nothing, 422, PROBLEM, "invalid-publisher");
    assert!(words.contains("`closed`") && words.contains("`dev` or `prod`"), "{words}");
    // Refused where it gives nothing, it is still good where it does.
    assert_eq!(scene.post("/_/indexgate/dev/mint-token", &json!({"token": job})).status, 200);
}

#[test]
fn with_minimal_detail_no_other_index_is_named() {
    let scene = Scene::with("[errors]\ndetail = \"minimal\"");
    let answer = scene.post("/_/indexgate/closed/mint-token", &json!({"token": scene.job()}));
    let words = check_refused(&answer, 422, PROBLEM, "invalid-publisher");
    assert!(!words.contains("prod") && !words.contains("widget"), "{words}");
}

#[test]
fn a_single_use_token_dies_with_the_first_upload_that_the_index_takes() {
    let scene = Scene::set();
    for path in ["/_/indexgate/prod/mint-token", "/_/oidc/mint-token"] {
        let before = scene.recorder.requests().len();
        let token = scene.minted(path, &["single-use-token"]);
        assert_eq!(scene.upload("/root/prod/", &token).status, 200);
        let again = scene.upload("/root/prod/", &token);
        assert!(again.status == 403 && again.reason.contains("for one upload"), "{again}");
        assert_eq!(scene.recorder.requests().len(), before + 1);
    }
}

#[test]
fn an_upload_that_did_not_reach_the_index_uses_nothing_up() {
    let scene = Scene::set();
    let token = scene.minted("/_/indexgate/prod/mint-token", &["single-use-token"]);
    // Refused by the gateway: for another index, and a file that is no archive.
    assert_eq!(scene.upload("/root/dev/", &token).status, 403);
    let broken = Form::twine(&Package::wheel("acme-widget", "1.2.0")).replace("version", "1.3.0");
    let request = Raw::new("POST /root/prod/").header("Authorization", basic("__token__", &token));
    assert_eq!(scene.gateway.ask(&request.form(&broken)).status, 400);
    // Refused by the index, in every way it has.
    for status in ["500 Oops", "409 Conflict", "403 Forbidden", "302 Found\r\nLocation: /x", "400 Bad"] {
        scene.recorder.answer(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        let refused = scene.upload("/root/prod/", &token);
        assert!(![200, 403].contains(&refused.status), "{refused}");
    }
    scene.recorder.answer("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(scene.upload("/root/prod/", &token).status, 201);
    assert_eq!(scene.upload("/root/prod/", &token).status, 403);
}

#[test]
fn a_token_stays_used_if_nobody_knows_whether_the_index_took_the_file() {
    let scene = Scene::set();
    let token = scene.minted("/_/indexgate/prod/mint-token", &["single-use-token"]);
    scene.recorder.answer_with(|_, _| Err(std::io::Error::other("gone without a word")));
    assert_eq!(scene.upload("/root/prod/", &token).status, 502);
    scene.recorder.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(scene.upload("/root/prod/", &token).status, 403);
}

#[test]
fn of_two_uploads_at_once_one_wins() {
    let scene = Scene::set();
    // The index answers the first only when the second has had its answer.
    let both = Arc::new(Barrier::new(2));
    let second_is_over = both.clone();
    scene.recorder.answer_with(move |_, socket| {
        second_is_over.wait();
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let token = scene.minted("/_/indexgate/prod/mint-token", &["single-use-token"]);
    let statuses = thread::scope(|scope| {
        let racers = [0, 1].map(|_| {
            scope.spawn(|| {
                let status = upload(&scene.gateway, "/root/prod/", &token).status;
                if status == 403 {
                    both.wait();
                }
                status
            })
        });
        let mut statuses = racers.map(|racer| racer.join().unwrap());
        statuses.sort_unstable();
        statuses
    });
    assert_eq!(statuses, [200, 403]);
    scene.recorder.only_request();
}

#[test]
fn a_feature_that_is_not_known_is_refused_before_the_token_is_used() {
    let scene = Scene::set();
    let job = scene.job();
    for features in
        [json!(["forever"]), json!(["single-use-token", "multi-use-token"]), json!("x"), json!([1])]
    {
        for path in ["/_/indexgate/prod/mint-token", "/_/oidc/mint-token"] {
            let answer = scene.post(path, &json!({"token": job, "features": features}));
            assert_eq!(
                (answer.status, &answer.json()["errors"][0]["code"]),
                (422, &json!("invalid-payload"))
            );
        }
    }
    let answer = scene.post("/_/oidc/mint-token", &json!({"token": job, "features": ["multi-use-token"]}));
    assert_eq!(answer.status, 200, "{answer}");
}

#[test]
fn check_says_what_an_exchange_would_give_and_uses_nothing_up() {
    let scene = Scene::set();
    let job = scene.job();
    let verdict = scene.check(&json!({"token": job}));
    assert_eq!(verdict["allowed"], true);
    assert_eq!(verdict["errors"], json!([]));
    let mut grants = verdict["grants"].as_array().unwrap().clone();
    grants.sort_by_key(|grant| grant["publisher"].to_string());
    let (dev, prod) = (
        json!({"publisher": "widget-dev", "index": "dev", "projects": [{"glob": "acme-*"}]}),
        json!({"publisher": "widget-prod", "index": "prod", "projects": ["acme-widget"]}),
    );
    assert_eq!(grants, [dev.clone(), prod]);
    let reference = verdict["reference"].as_str().unwrap();
    let line = &scene.gateway.audit_about(reference)[0];
    assert_eq!((&line["event"], &line["decision"]), (&json!("check"), &json!("allow")), "{line}");

    let here = scene.post("/_/indexgate/dev/check", &json!({"token": job})).json();
    assert_eq!((&here["allowed"], &here["grants"]), (&json!(true), &json!([dev])));
    let closed = scene.post("/_/indexgate/closed/check", &json!({"token": job})).json();
    assert_eq!((&closed["allowed"], &closed["grants"]), (&json!(false), &json!([])));

    assert_eq!(scene.gateway.mint(&job).status, 200, "the same identity token can still be exchanged");
    assert_eq!(scene.gateway.mint(&job).json()["errors"][0]["code"], "invalid-reuse-token");
}

#[test]
fn check_refuses_in_the_words_of_the_exchange() {
    let scene = Scene::set();
    let nightly = scene.github.token(&Claims::github().github_workflow("nightly.yml"), AUDIENCE);
    let verdict = scene.check(&json!({"token": nightly}));
    assert_eq!((&verdict["allowed"], &verdict["grants"]), (&json!(false), &json!([])));
    let minted = scene.gateway.mint(&nightly).json();
    let words = |answer: &Value| {
        let error = &answer["errors"][0];
        let description =
            error["description"].as_str().unwrap().split(" (reference").next().unwrap().to_owned();
        (error["code"].as_str().unwrap().to_owned(), description)
    };
    assert_eq!(words(&verdict), words(&minted));
    assert!(words(&verdict).1.contains("nightly.yml"), "{verdict}");
    let line = &scene.gateway.audit_about(verdict["reference"].as_str().unwrap())[0];
    assert_eq!((&line["event"], &line["decision"]), (&json!("check"), &json!("refuse")), "{line}");
}

#[test]
fn check_answers_about_one_upload() {
    let scene = Scene::set();
    let job = scene.job();
    let ask = |index: &str, project: &str, version: &str| {
        let upload = json!({"index": index, "project": project, "version": version});
        scene.check(&json!({"token": job, "upload": upload}))
    };
    assert_eq!(ask("prod", "Acme_Widget", "1.2")["allowed"], true, "names and versions mean what they mean");
    assert_eq!(ask("dev", "acme-other", "7")["allowed"], true);
    for (index, project, version, said) in [
        ("prod", "acme-other", "1.2.0", "add \"acme-other\" to `projects` of the publisher"),
        ("prod", "acme-widget", "1.3.0", "the version of tag `v1.2.0`"),
        ("closed", "acme-widget", "1.2.0", "index is `closed`, expected"),
        ("nowhere", "acme-widget", "1.2.0", "index is `nowhere`, expected"),
    ] {
        let verdict = ask(index, project, version);
        assert_eq!(verdict["allowed"], false, "{verdict}");
        assert_eq!(verdict["errors"][0]["code"], "invalid-publisher");
        let description = verdict["errors"][0]["description"].as_str().unwrap();
        assert!(description.contains(said), "{description}");
    }
    // At the path of an index, that one is meant, and no other can be.
    let here = |upload: Value| {
        scene.post("/_/indexgate/dev/check", &json!({"token": job, "upload": upload})).json()["allowed"]
            .clone()
    };
    assert_eq!(here(json!({"project": "acme-other", "version": "7"})), true);
    assert_eq!(here(json!({"index": "prod", "project": "acme-widget", "version": "1.2.0"})), false);
}

#[test]
fn check_refuses_what_it_cannot_read_as_the_exchange_does() {
    let scene = Scene::with("[limits]\nmint_per_minute = 8");
    let check = |body: &Value| scene.post("/_/indexgate/check", body);
    check_refused(&check(&json!({})), 422, "application/json", "invalid-payload");
    check_refused(&check(&json!({"token": "x"})), 422, "application/json", "invalid-payload");
    let foreign = scene.github.token(&Claims::github(), "elsewhere");
    check_refused(&check(&json!({"token": foreign})), 422, "application/json", "invalid-token");
    for upload in [
        json!("prod"),
        json!({"project": "acme-widget", "version": "1.2.0"}),
        json!({"index": "prod", "project": "acme widget", "version": "1.2.0"}),
        json!({"index": "prod", "project": "acme-widget", "version": 1}),
    ] {
        let answer = check(&json!({"token": scene.job(), "upload": upload}));
        check_refused(&answer, 422, "application/json", "invalid-payload");
    }
    let get = scene.get("/_/indexgate/check");
    check_refused(&get, 405, "application/json", "method-not-allowed");
    // Seven were counted, and one exchange makes eight: both count together.
    assert_eq!(scene.gateway.mint(&scene.job()).status, 200);
    let limited = check(&json!({"token": scene.job()}));
    check_refused(&limited, 429, "application/json", "rate-limited");
    assert!(limited.header("retry-after").is_some());
}
