//! Whose credential the index sees: the client's own as it was written, the gateway's own for what it permitted, or none;
//! and nobody's on the way back.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{OTHER_INDEX, Scene, scene, upload, wheel};
use crate::exchange::{BUSY, WIDGET};
use crate::support::claims::Claims;
use crate::support::gateway::{AUDIENCE, Setup};
use crate::support::issuer::Issuer;
use crate::support::package::Package;
use crate::support::raw::{Form, Raw, basic};
use crate::support::recorder::Recorder;
use crate::support::tls::Authority;

/// The bytes of the value of `Authorization` as they reached the upstream.
fn authorization(head: &[u8]) -> Vec<Vec<u8>> {
    let lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let value = |line: &[u8]| {
        let (name, value) = line.split_at_checked(b"authorization:".len())?;
        name.eq_ignore_ascii_case(b"authorization:").then(|| value.trim_ascii().to_vec())
    };
    lines.filter_map(value).collect()
}

#[test]
fn a_classic_credential_is_carried_byte_for_byte() {
    let scene = scene();
    let coded = |bytes: &[u8]| format!("Basic {}", STANDARD.encode(bytes)).into_bytes();
    let foreign = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2Vsc2V3aGVyZSJ9.c2ln";
    let long = [&b"bob:"[..], &[b'x'; 1024]].concat();
    for value in [
        coded("bob:p\u{e4}:ss".as_bytes()),
        coded(b"bob:p\xe4:ss"),
        coded(b"bob:"),
        coded(b":"),
        coded(b"bob"),
        coded(b"bob:a\0b"),
        coded(&long),
        coded(b"__token__:pypi-AgEIcHlwaS5vcmc"),
        coded(b"bob:index-gate"),
        b"Basic".to_vec(),
        b"Basic !!!".to_vec(),
        b"basic  Ym9iOnB3".to_vec(),
        b"Basic\tYm9iOnB3".to_vec(),
        b"Basic Ym9iOnB3====".to_vec(),
        b"Basic Ym9iOnB3, Basic cm9vdDpwdw==".to_vec(),
        b"Basic b\xf6b".to_vec(),
        b"Bearer opaque".to_vec(),
        foreign.as_bytes().to_vec(),
        b"Negotiate YII=".to_vec(),
        b"AWS4-HMAC-SHA256 Credential=AKIA/20260101, SignedHeaders=host, Signature=fe5f".to_vec(),
    ] {
        for request in
            [Raw::new("GET /root/prod/"), upload(&wheel()), Raw::new("PUSH /root/prod/").body("{}")]
        {
            let (answer, arrived) = scene.send(&request.header("Authorization", &value));
            let shown = String::from_utf8_lossy(&value);
            assert_eq!((answer.status, arrived.len()), (200, 1), "{shown}: {answer}");
            assert_eq!(authorization(&arrived[0].head), std::slice::from_ref(&value), "{shown}");
        }
    }
    let twice = upload(&wheel()).header("Authorization", basic("bob", "pw"));
    scene.refuses("two passwords", &twice.header("Authorization", basic("root", "pw")), 400);
    let own = upload(&wheel()).header("X-Devpi-Auth", "Ym9iOnDk").header("Cookie", "a=b; c=d");
    let (_, arrived) = scene.send(&own);
    assert_eq!(arrived[0].headers("x-devpi-auth"), ["Ym9iOnDk"]);
    assert_eq!(arrived[0].headers("cookie"), ["a=b; c=d"]);
    assert!(arrived[0].headers("authorization").is_empty());
}

#[test]
fn a_classic_upload_travels_as_it_is() {
    let scene = scene();
    let form = Form::twine(&Package::wheel("anything", "9.9"));
    let request = Raw::new("POST /root/prod/").form(&form).header("Authorization", basic("bob", "pw"));
    let (_, arrived) = scene.send(&request);
    assert_eq!(arrived[0].body, form.bytes());
    assert_eq!(arrived[0].header("content-type"), Some(form.content_type()));
}

#[test]
fn who_shows_nothing_stays_nobody() {
    let scene = scene();
    for request in [
        Raw::new("GET /root/prod/"),
        Raw::new("HEAD /"),
        upload(&wheel()),
        Raw::new("DELETE /root/prod/x"),
        Raw::new("POST /+login").body("{}"),
    ] {
        let (answer, arrived) = scene.send(&request);
        assert_eq!((answer.status, arrived.len()), (200, 1), "{answer}");
        for name in ["authorization", "x-devpi-auth", "cookie", "proxy-authorization"] {
            assert!(arrived[0].headers(name).is_empty(), "{}: {name}", arrived[0].line());
        }
    }
}

#[test]
fn on_one_connection_each_request_is_its_own_callers() {
    let scene = scene();
    let ours = basic("indexgate", "upstream-password");
    let bob = basic("bob", "secret");
    let token = basic("__token__", &scene.token);
    let requests: Vec<(Raw, u16, Option<Vec<String>>)> = vec![
        (upload(&wheel()).header("Authorization", &token), 200, Some(vec![ours])),
        (Raw::new("GET /bob").header("Authorization", &bob), 200, Some(vec![bob])),
        (Raw::new("GET /nobody"), 200, Some(vec![])),
        (upload(&Package::wheel("victim", "1.2.0")).header("Authorization", &token), 403, None),
        (Raw::new("GET /read").header("Authorization", &token), 200, Some(vec![])),
        (Raw::new("DELETE /root/prod/x").header("Authorization", &token), 403, None),
        (upload(&wheel()), 200, Some(vec![])),
    ];
    let mut wire = scene.gateway.wire();
    let mut answered = Vec::new();
    // Bursts of three, which move through the seven kinds: each kind follows each other one.
    for burst in 0..35 {
        let kinds = (0..3).map(|n| (burst * 3 + n * (burst % 3 + 1)) % requests.len());
        let mut bytes = Vec::new();
        let mut sent = Vec::new();
        for (n, kind) in kinds.enumerate() {
            let probe = format!("cycle-{burst}-{n}");
            let request = requests[kind].0.clone().header("Host", "gateway").header("User-Agent", &probe);
            bytes.extend(request.bytes());
            sent.push((kind, probe));
        }
        wire.send(&bytes).unwrap();
        for (kind, probe) in sent {
            let answer = wire.answer().unwrap();
            assert_eq!(answer.status, requests[kind].1, "{probe}: {answer}");
            answered.push((kind, probe));
        }
    }
    let arrived = scene.upstream.requests();
    for (kind, probe) in answered {
        let of_this: Vec<_> = arrived
            .iter()
            .filter(|request| request.header("user-agent").as_deref() == Some(&probe))
            .collect();
        match &requests[kind].2 {
            Some(expected) => {
                assert_eq!(of_this.len(), 1, "{probe}");
                assert_eq!(of_this[0].headers("authorization"), *expected, "{probe}, kind {kind}");
            }
            None => assert!(of_this.is_empty(), "{probe}, kind {kind}"),
        }
    }
}

#[test]
fn an_index_that_shows_what_it_got_does_not_show_our_credential() {
    let scene = Scene::set(|setup| setup);
    let ours = basic("indexgate", "upstream-password");
    let secret = ours.trim_start_matches("Basic ").to_owned();
    let request = upload(&wheel()).header("Authorization", basic("__token__", &scene.token));
    for (status, expected) in [
        (200, 200),
        (201, 201),
        (400, 400),
        (404, 404),
        (409, 409),
        (413, 413),
        (422, 422),
        (301, 502),
        (302, 502),
        (307, 502),
        (308, 502),
        (401, 502),
        (403, 502),
        (407, 502),
        (429, 502),
        (500, 502),
        (502, 502),
        (503, 502),
    ] {
        scene.upstream.answer_with(move |request, socket| {
            let shown = request.headers("authorization").join("");
            let body = String::from_utf8_lossy(&request.head).into_owned();
            let head = format!(
                "HTTP/1.1 {status} so {shown}\r\nX-Devpi-Echo: {shown}\r\nX-Echo: {shown}\r\nSet-Cookie: auth={shown}\r\nServer: x\r\n\
                 WWW-Authenticate: Basic realm=\"{shown}\"\r\nLocation: https://{shown}@x/\r\n\
                 X-Accel-Redirect: /{shown}\r\nRefresh: 0; {shown}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(head.as_bytes())
        });
        let (answer, arrived) = scene.send(&request);
        assert_eq!((answer.status, arrived.len()), (expected, 1), "{status}: {answer}");
        assert_eq!(arrived[0].headers("authorization"), [ours.as_str()]);
        let text = answer.to_string();
        assert!(!text.contains(&secret) && !text.contains("upstream-password"), "{status}: {answer}");
        for name in ["set-cookie", "www-authenticate", "location", "x-echo", "x-accel-redirect"] {
            assert_eq!(answer.header(name), None, "{status}: {answer}");
        }
    }
    assert!(!scene.upstream.saw(&scene.token));
}

/// Everything that must not be found where strangers or log readers look, in the forms it may take there.
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, what: &str, secret: &str) {
        let encoded = |text: &str| STANDARD.encode(text).trim_end_matches('=').to_owned();
        self.0.push((what.to_owned(), secret.to_owned()));
        self.0.push((format!("{what} in base64"), encoded(secret)));
        for user in ["__token__", "bob", "indexgate"] {
            self.0.push((format!("{what} of {user} in base64"), encoded(&format!("{user}:{secret}"))));
        }
    }

    #[track_caller]
    fn check_absent(&self, place: &str, text: &str) {
        for (what, secret) in &self.0 {
            if let Some(at) = text.find(secret.as_str()) {
                let line = text[..at].lines().last().unwrap_or_default();
                panic!("{what} stands in {place}, after {line:?}");
            }
        }
    }
}

#[test]
fn no_secret_is_printed_audited_stored_or_answered_even_at_the_most_talkative() {
    let authority = Authority::new();
    let (github, upstream) = (Issuer::start(&authority), Recorder::start());
    let gateway = Setup::new(&authority)
        .environment("INDEXGATE_LOG", "trace")
        .also(BUSY)
        .issuer("github", "github", &github)
        .also(WIDGET)
        .also(OTHER_INDEX)
        .upstream("recorder", "generic", &upstream.url())
        .index("prod", "recorder", "/root/prod/")
        .index("other", "recorder", "/root/other/")
        .start();
    let (mut secrets, mut answers) = (Secrets(Vec::new()), String::new());
    let mut ask = |request: &Raw| {
        let answer = gateway.ask(request);
        answers.push_str(&format!("{answer}\n"));
        answer
    };
    let mint = |jwt: &str| Raw::new("POST /_/oidc/mint-token").json(&serde_json::json!({ "token": jwt }));

    let (jwt, refused, wrong) = (
        github.token(&Claims::github(), AUDIENCE),
        github.token(&Claims::github().github_workflow("other.yml"), AUDIENCE),
        github.token(&Claims::github(), "pypi"),
    );
    let token = gateway.upload_token(&github, &Claims::github());
    let signature = |jwt: &str| jwt.rsplit('.').next().unwrap()[..40].to_owned();
    for (what, jwt) in
        [("a used JWT", &jwt), ("a refused JWT", &refused), ("a wrong JWT", &wrong), ("a token", &token)]
    {
        secrets.add(what, jwt);
        secrets.add(&format!("the signature of {what}"), &signature(jwt));
        secrets.add(&format!("the end of {what}"), &jwt[jwt.len() - 40..]);
    }
    let (password, unlucky) = ("c0rrect-horse-battery", "staple-of-anot3er-sort");
    secrets.add("a classic password", password);
    secrets.add("a wrong classic password", unlucky);
    secrets.add("our password", "upstream-password");
    let key = std::fs::read_to_string(gateway.directory().join("state/token.key")).unwrap();
    secrets.add("the signing key", key.trim_end());

    // The first answer holds a token, as it must.
    assert_eq!(gateway.mint(&jwt).status, 200);
    for request in [
        mint(&jwt),
        mint(&refused),
        mint(&wrong),
        mint(&token),
        mint(&format!("{jwt}x")),
        Raw::new("POST /_/oidc/mint-token").body(format!("{{\"token\":\"{jwt}\"")),
        Raw::new(&format!("GET /_/{token}")),
    ] {
        ask(&request);
    }
    let spoiled = format!("{}AAAA{}", &token[..token.len() - 60], &token[token.len() - 56..]);
    for value in [
        basic("__token__", &token),
        basic("bob", &token),
        basic(&token, ""),
        basic("__token__", &spoiled),
        basic("__token__", &jwt),
        format!("Bearer {jwt}"),
        format!("Digest {token}"),
        basic("bob", password),
    ] {
        for request in [
            upload(&wheel()),
            upload(&Package::wheel("victim", "1.2.0")),
            Raw::new("POST /root/prod/")
                .form(&Form::twine(&wheel()).replace("sha256_digest", "0".repeat(64))),
            Raw::new("POST /root/prod/?x=1").body("x"),
            Raw::new("GET /root/prod/"),
            Raw::new("DELETE /root/prod/x"),
        ] {
            ask(&request.header("Authorization", &value));
        }
    }
    for name in ["X-Devpi-Auth", "Cookie", "Proxy-Authorization", "X-Api-Key", "Referer"] {
        ask(&Raw::new("GET /root/prod/").header(name, &token));
    }
    ask(&Raw::new("GET /root/prod/").header("X-Devpi-Auth", STANDARD.encode(format!("bob:{password}"))));
    ask(&Raw::new(&format!("GET /root/prod/?token={token}")));
    for status in [401, 403, 500] {
        upstream.answer(format!("HTTP/1.1 {status} no\r\nContent-Length: 0\r\n\r\n"));
        ask(&upload(&wheel()).header("Authorization", basic("__token__", &token)));
        ask(&upload(&wheel()).header("Authorization", basic("bob", unlucky)));
    }
    upstream.answer_with(|_, _| Err(std::io::Error::other("gone")));
    ask(&upload(&wheel()).header("Authorization", basic("__token__", &token)));
    ask(&Raw::new("POST /_/oidc/burn-token").json(&serde_json::json!({ "token": token })));
    ask(&upload(&wheel()).header("Authorization", basic("__token__", &token)));

    let audit = std::fs::read_to_string(gateway.directory().join("audit.jsonl")).unwrap();
    assert!(audit.lines().count() > 30, "the audit has the refusals: {audit}");
    let log = gateway.log().join("\n");
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is talkative: {log}");
    secrets.check_absent("the log", &log);
    secrets.check_absent("the audit", &audit);
    secrets.check_absent("the answers", &answers);
    for file in ["indexgate.db", "indexgate.db-wal"] {
        let bytes = std::fs::read(gateway.directory().join("state").join(file)).unwrap_or_default();
        secrets.check_absent(file, &String::from_utf8_lossy(&bytes));
    }
    // Of the index, only passwords are for its eyes.
    let Secrets(all) = secrets;
    let minted = all
        .into_iter()
        .filter(|(what, _)| what.contains("JWT") || what.contains("a token") || what.contains("key"));
    let minted = Secrets(minted.collect());
    for bytes in upstream.connections() {
        minted.check_absent("what the index got", &String::from_utf8_lossy(&bytes));
    }
}
