//! The relay lane: what arrives at an index is what the client sent, and what comes back is what the index answered,
//! but for the fields that belong to one connection and those that only a proxy may say.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::bare::{Bare, read_head, read_to_end, reset};
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Answer, Raw, basic};
use crate::support::recorder::Recorder;
use crate::support::tls::Authority;

/// In front of anything. There is no issuer: this lane needs none.
fn in_front_of(url: &str) -> Gateway {
    set(|setup| setup.upstream("index", "generic", url))
}

fn set(declare: impl FnOnce(Setup) -> Setup) -> Gateway {
    let setup = declare(Setup::new(&Authority::new()).top("[limits]\nupstream_timeout = \"1s\""));
    setup.index("prod", "index", "/root/prod/").start()
}

fn recorded() -> (Gateway, Recorder) {
    let recorder = Recorder::start();
    (in_front_of(&recorder.url()), recorder)
}

/// Waits for something that happens in its own time.
#[track_caller]
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !happened() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The value that `counter` stands at once it stands still.
fn at_rest(counter: &AtomicUsize) -> usize {
    let mut last = (counter.load(Ordering::SeqCst), Instant::now());
    until("the flow stops", || {
        let now = counter.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        now > 0 && last.1.elapsed() > Duration::from_millis(300)
    });
    last.0
}

#[test]
fn targets_arrive_byte_for_byte() {
    let (gateway, recorder) = recorded();
    let long = format!("/{}", "x".repeat(8000));
    let targets = [
        "/",
        "/a%2Fb/c",
        "/alice/prod/+f/abc/x-1.0.tar.gz",
        "/alice/prod/%2Bf/abc/x-1.0.tar.gz",
        "/alice/prod/%2bsimple/x/",
        "/a//b///",
        "//a/b",
        "/?",
        "/a?",
        "/a?b?c=/%2F&d=a+b#",
        "/a;b=c:d@e!$&'()*,=~",
        "/%e4%zz%",
        "/caf\u{e9}",
        "/a%00%0d%0a%20",
        "/x/./y/../z",
        "/%255F/oidc/audience",
        "/_",
        "/a/_/oidc/audience",
        &long,
    ];
    for target in targets {
        assert_eq!(gateway.ask(&Raw::new(&format!("GET {target}"))).status, 200, "{target}");
        let line = recorder.requests().pop().unwrap().line();
        // A fragment is no part of a target; nobody sends it, and it ends here.
        assert_eq!(line, format!("GET {} HTTP/1.1", target.trim_end_matches('#')));
    }
    assert_eq!(recorder.requests().len(), targets.len());
}

#[test]
fn every_method_passes_with_its_body_but_those_that_make_tunnels() {
    let (gateway, recorder) = recorded();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PUSH", "PROPFIND"] {
        let answer = gateway.ask(
            &Raw::new(&format!("{method} /root/prod/"))
                .header("Authorization", basic("bob", "bob"))
                .body("{\"a\":1}"),
        );
        assert_eq!(answer.status, 200, "{method}");
        let request = recorder.requests().pop().unwrap();
        assert_eq!(request.line(), format!("{method} /root/prod/ HTTP/1.1"));
        assert_eq!(
            (request.body.as_slice(), request.headers("content-length").len()),
            (&b"{\"a\":1}"[..], 1)
        );
        assert_eq!(request.header("authorization").unwrap(), basic("bob", "bob"));
    }
    let passed = recorder.requests().len();
    for method in ["CONNECT", "TRACE", "TRACK", "get", "post", "Push", "PO$T", "M-SEARCH"] {
        for target in ["/root/prod/", "evil.test:80"] {
            let answer = gateway.ask(&Raw::new(&format!("{method} {target}")));
            assert!(matches!(answer.status, 400 | 405), "{method} {target}: {answer}");
        }
    }
    assert_eq!(recorder.requests().len(), passed);
    let answer = gateway.ask(&Raw::new("HEAD /x"));
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, Some("3"), 0));
}

#[test]
fn targets_that_name_nothing_here_reach_nobody() {
    let (gateway, recorder) = recorded();
    for target in [
        "*",
        "x",
        "evil.test:80",
        "http://evil.test/",
        "http://u@evil.test/",
        "ftp://evil.test/",
        "/..",
        "/%2e%2e/x",
        "/a/../../b",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = gateway.ask(&Raw::new(&format!("{method} {target}")));
            assert!(matches!(answer.status, 400 | 404), "{method} {target}: {answer}");
        }
    }
    let answer = gateway.ask(&Raw::new(&format!("GET /{}", "x".repeat(8200))));
    assert_eq!(answer.status, 414);
    assert!(recorder.connections().is_empty());

    // Some clients say the whole URL to any proxy.
    let answer = gateway.ask(&Raw::new(&format!("GET {}/a?b", gateway.url())));
    assert_eq!((answer.status, recorder.only_request().line()), (200, "GET /a?b HTTP/1.1".to_owned()));
}

#[test]
fn the_gateways_own_paths_are_never_forwarded_in_any_disguise() {
    let (gateway, recorder) = recorded();
    for path in [
        "/_/",
        "/_/x",
        "/_/oidc/audience",
        "/_/oidc/audience?x",
        "//_/oidc/audience",
        "/%5F/oidc/audience",
        "/%5f%2foidc",
        "/_%2Foidc%2Faudience",
        "/./_/oidc/audience",
        "/a/../_/oidc/audience",
        "/a/%2e%2e/_/x",
        "/_/../_/x",
        "/_//oidc",
        "/.well-known/pytp",
        "/.well-known/./pytp?discover=x",
        "/.well-known%2fpytp",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = gateway.ask(&Raw::new(&format!("{method} {path}")).body("x"));
            assert_eq!(answer.status, 404, "{method} {path}: {answer}");
        }
    }
    assert!(recorder.connections().is_empty());
}

#[test]
fn a_path_prefix_belongs_to_its_upstream_alone() {
    // devpi takes the prefix off by itself.
    for (kind, base) in [("generic", "/base"), ("devpi", "/base/old")] {
        let (main, old) = (Recorder::start(), Recorder::start());
        let gateway = set(|setup| {
            let prefixed = setup.upstream("index", "generic", &main.url()).upstream(
                "old",
                kind,
                &format!("{}/base", old.url()),
            );
            prefixed.also("path = \"/old\"\nhost = \"upstream\"")
        });
        for (target, arrives) in [("/old/a%2Fb?c", "/a%2Fb?c"), ("/old/", "/"), ("/old//x", "//x")] {
            assert_eq!(gateway.ask(&Raw::new(&format!("GET {target}"))).status, 200);
            let request = old.requests().pop().unwrap();
            assert_eq!(request.line(), format!("GET {base}{arrives} HTTP/1.1"));
            let outside = (kind == "devpi").then(|| format!("{}/old", gateway.url()));
            assert_eq!(request.header("x-outside-url"), outside);
            assert_eq!(request.header("host").unwrap(), old.url().trim_start_matches("http://"));
            let public_host = gateway.url().trim_start_matches("https://").to_owned();
            assert_eq!(request.header("x-forwarded-host"), Some(public_host));
        }
        assert_eq!(gateway.ask(&Raw::new("GET /old")).status, 200);
        let before = (main.requests().len(), old.requests().len());
        for target in [
            "/old/../x",
            "/old/%2e%2e/x",
            "/x/../old/y",
            "/old/./../x",
            "/x/%2e%2e%2fold/y",
            "/%6fld/x",
            "/./old/x",
            "//old/x",
        ] {
            assert_eq!(gateway.ask(&Raw::new(&format!("GET {target}"))).status, 400, "{target}");
        }
        assert_eq!((main.requests().len(), old.requests().len()), before);
        assert_eq!(gateway.ask(&Raw::new("GET /older/x")).status, 200);
        assert_eq!(main.only_request().line(), "GET /older/x HTTP/1.1");
    }
}

/// What some index server takes for the truth about the user, the host or the request.
const PROXY_ONLY: [&str; 44] = [
    "Forwarded",
    "Remote-User",
    "Remote-Groups",
    "Remote-Email",
    "Remote-Name",
    "True-Client-IP",
    "X-AMZN-OIDC-Data",
    "X-Auth-Request-Email",
    "X-Auth-Request-User",
    "X-Client-Cert",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Forwarded-By",
    "X-Forwarded-Email",
    "X-Forwarded-For",
    "X-Forwarded-Groups",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Host",
    "X-JFrog-Override-Base-Url",
    "X-Method-Override",
    "X-Original-Host",
    "X-Original-Method",
    "X-Original-URI",
    "X-Original-URL",
    "X-Outside-Url",
    "X-Real-IP",
    "X-Remote-User",
    "X-Rewrite-URL",
    "X-SSO-User",
    "X-Scheme",
    "X-Script-Name",
    "X-Ssl-Client-Verify",
    "X-URL-Scheme",
    "X-WEBAUTH-USER",
];

/// What belongs to one connection.
const HOP_BY_HOP: [(&str, &str); 7] = [
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Authorization", "Basic eDp5"),
    ("Proxy-Authenticate", "Basic"),
    ("Proxy-Connection", "keep-alive"),
    ("TE", "trailers"),
    ("Trailer", "X-T"),
    ("Upgrade", "websocket"),
];

#[test]
fn what_only_a_proxy_may_say_is_said_by_us_or_by_nobody() {
    for kind in ["generic", "devpi"] {
        let recorder = Recorder::start();
        let gateway = set(|setup| setup.upstream("index", kind, &recorder.url()));
        let host = gateway.url().trim_start_matches("https://").to_owned();
        let mut wire = gateway.wire();
        for name in PROXY_ONLY {
            for spelt in [name.to_owned(), name.to_uppercase(), name.replace('-', "_"), format!("{name}_")] {
                let request = Raw::new("GET /")
                    .header("Host", &host)
                    .header(&spelt, "smuggled")
                    .header(&spelt, "smuggled");
                assert_eq!(wire.ask(request.bytes()).status, 200, "{spelt}");
                let request = recorder.requests().pop().unwrap();
                assert!(!request.header_names().iter().any(|name| name.contains('_')), "{spelt}");
                let mut ours = vec!["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
                ours.extend((kind == "devpi").then_some("x-outside-url"));
                let mut names = request.header_names();
                names.sort();
                assert_eq!(names, ours, "{spelt}");
                assert_eq!(request.header("host").as_deref(), Some(host.as_str()));
                assert_eq!(request.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
                assert_eq!(request.header("x-forwarded-host").as_deref(), Some(host.as_str()));
                assert_eq!(request.header("x-forwarded-proto").as_deref(), Some("https"));
                if kind == "devpi" {
                    assert_eq!(request.header("x-outside-url").as_deref(), Some(gateway.url()));
                }
            }
        }
        assert!(!recorder.saw("smuggled"));
    }
}

#[test]
fn fields_of_the_connection_stay_there() {
    let (gateway, recorder) = recorded();
    for (name, value) in HOP_BY_HOP {
        gateway.ask(&Raw::new("GET /").header(name, value));
        assert_eq!(recorder.requests().pop().unwrap().header(name), None, "{name}");
    }
    let nominated = Raw::new("GET /")
        .header("Connection", "X-One,x-two , close")
        .header("X-One", "1")
        .header("X-Two", "2")
        .header("X-Three", "3");
    gateway.ask(&nominated);
    let request = recorder.requests().pop().unwrap();
    assert_eq!(
        (request.header("x-one"), request.header("x-two"), request.header("x-three").as_deref()),
        (None, None, Some("3"))
    );
    assert_eq!(request.header("connection"), None);

    let passed = recorder.requests().len();
    for name in [
        "Authorization",
        "X-Devpi-Auth",
        "Cookie",
        "Host",
        "Content-Length",
        "X-Forwarded-For",
        "X-Outside-Url",
        "x-remote-user",
    ] {
        let answer = gateway.ask(
            &Raw::new("GET /")
                .header("Connection", format!("close, {name}"))
                .header("Authorization", basic("bob", "bob")),
        );
        assert_eq!(answer.status, 400, "{name}");
    }
    assert_eq!(recorder.requests().len(), passed);

    recorder.answer(
        "HTTP/1.1 200 OK\r\nConnection: X-One, keep-alive\r\nX-One: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
         Upgrade: h2c\r\nX-Two: 2\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = gateway.ask(&Raw::new("GET /"));
    let passed =
        ["x-one", "connection", "keep-alive", "proxy-connection", "upgrade"].map(|name| answer.header(name));
    assert_eq!((passed, answer.header("x-two")), ([None; 5], Some("2")));
}

#[test]
fn everything_else_a_client_says_arrives_unchanged() {
    let (gateway, recorder) = recorded();
    let fields: [(&str, &[u8]); 18] = [
        ("Authorization", b"Basic caf\xe9:\xfc"),
        ("X-Devpi-Auth", b"Ym9iOmJvYg=="),
        ("X-DEVPI-REPLICA-UUID", b"1234"),
        ("Cookie", b"a=b; c=d"),
        ("User-Agent", b"pip/26.3 {\"x\":1}"),
        ("Accept", b"application/vnd.pypi.simple.v1+json, */*;q=0.1"),
        ("Accept-Encoding", b"identity"),
        ("Range", b"bytes=0-9"),
        ("If-Range", b"\"x\""),
        ("If-None-Match", b"\"abc\", W/\"d\""),
        ("If-Modified-Since", b"Mon, 23 Nov 2026 05:03:15 GMT"),
        ("Cache-Control", b"no-cache"),
        ("Content-Type", b"multipart/form-data; boundary=x; boundary=y"),
        ("Content-Encoding", b"gzip"),
        ("X-Requested-With", b"  two  blanks  "),
        ("X-Twice", b"1"),
        ("X-Twice", b"2"),
        ("Origin", b"https://example.org"),
    ];
    let request = fields
        .iter()
        .fold(Raw::new("POST /root/prod/"), |request, (name, value)| request.header(name, value));
    assert_eq!(gateway.ask(&request.body("--x\r\nnot even a form")).status, 200);
    let request = recorder.only_request();
    for (name, value) in fields {
        let sent = [name.to_ascii_lowercase().as_bytes(), b": ", value.trim_ascii()].concat();
        assert!(
            memchr::memmem::find(&request.head, &sent).is_some(),
            "{name} in {}",
            request.head.escape_ascii()
        );
    }
    assert_eq!(
        (request.headers("x-twice"), request.body),
        (vec!["1".to_owned(), "2".to_owned()], b"--x\r\nnot even a form".to_vec())
    );
}

#[test]
fn the_gateways_credential_is_for_uploads_with_a_token_only() {
    let recorder = Recorder::start();
    let gateway = set(|setup| {
        setup.secret("sso", "robot").also(&format!(
            "[[upstream]]\nname = \"index\"\nkind = \"generic\"\nurl = \"{}\"\ncredential = {{ header = \"X-Corp-User\", value_file = \"secrets/sso\" }}\n",
            recorder.url()
        ))
    });
    for line in ["GET /", "POST /root/prod/", "DELETE /root/prod/x", "PUSH /root/prod"] {
        for authorization in [None, Some(basic("bob", "bob"))] {
            let request = Raw::new(line).header("X-Corp-User", "admin").header("Cookie", "a=b").body("x");
            let request = authorization
                .into_iter()
                .fold(request, |request, value| request.header("Authorization", value));
            assert_eq!(gateway.ask(&request).status, 200);
        }
    }
    // Nor does a client choose who it is by the very field in which the index believes the gateway.
    assert!(!recorder.saw("robot") && !recorder.saw("admin"));
}

#[test]
fn a_trusted_proxy_is_believed_and_nobody_else() {
    let ask = |listen: &str, forwarded_for: &str| {
        let recorder = Recorder::start();
        let gateway = set(|setup| setup.upstream("index", "generic", &recorder.url()).listen(listen));
        let request =
            Raw::new("GET /").header("X-Forwarded-For", forwarded_for).header("X-Forwarded-Proto", "http");
        assert_eq!(gateway.ask(&request.header("X-Forwarded-Host", "evil.test")).status, 200);
        let request = recorder.only_request();
        assert_eq!(request.header("x-forwarded-host").unwrap(), gateway.url().trim_start_matches("https://"));
        (request.header("x-forwarded-for").unwrap(), request.header("x-forwarded-proto").unwrap())
    };
    let told = |address: &str, scheme: &str| (address.to_owned(), scheme.to_owned());
    assert_eq!(ask("", "192.0.2.7"), told("127.0.0.1", "https"));
    assert_eq!(ask("trusted_proxies = [\"10.0.0.0/8\"]", "192.0.2.7"), told("127.0.0.1", "https"));
    let trusting = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";
    assert_eq!(ask(trusting, "192.0.2.7"), told("192.0.2.7", "http"));
    assert_eq!(ask(trusting, "203.0.113.9, 192.0.2.7, 10.1.2.3"), told("192.0.2.7", "http"));
    assert_eq!(ask(trusting, "nonsense"), told("127.0.0.1", "http"));
}

#[test]
fn answers_come_back_as_they_are() {
    let (gateway, recorder) = recorded();
    let ask = |line: &str, answer: &str| {
        recorder.answer(answer);
        gateway.ask(&Raw::new(line))
    };
    let answer = ask(
        "POST /root/prod/",
        "HTTP/1.1 409 own-1.0.tar.gz already exists in non-volatile index\r\nContent-Length: 2\r\n\r\nno",
    );
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (409, "own-1.0.tar.gz already exists in non-volatile index")
    );
    assert_eq!((answer.text(), answer.header("content-length")), ("no".to_owned(), Some("2")));
    for status in [201, 202, 204, 206, 301, 302, 307, 400, 401, 403, 404, 405, 418, 500, 503, 599] {
        let answer = ask(
            "GET /",
            &format!(
                "HTTP/1.1 {status} So be it\r\nLocation: http://elsewhere.test/\r\nContent-Range: bytes 0-1/9\r\n{}\r\n",
                if status == 204 { "" } else { "Content-Length: 0\r\n" }
            ),
        );
        assert_eq!((answer.status, answer.reason.as_str()), (status, "So be it"));
        assert_eq!(answer.header("location"), Some("http://elsewhere.test/"));
    }
    let answer = ask(
        "GET /",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nVary: Accept\r\nSet-Cookie: c=d; Path=/\r\nWWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Bearer\r\nServer: waitress\r\nX-DEVPI-API-VERSION: 2\r\nContent-Length: 0\r\n\r\n",
    );
    let all = |name: &str| {
        answer
            .headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!((all("set-cookie"), all("www-authenticate").len()), (vec!["a=b", "c=d; Path=/"], 2));
    assert_eq!(
        (answer.header("server"), answer.header("x-devpi-api-version"), answer.header("via")),
        (Some("waitress"), Some("2"), None)
    );

    let answer = ask("HEAD /", "HTTP/1.1 200 OK\r\nContent-Length: 123456\r\nETag: \"x\"\r\n\r\n");
    assert_eq!((answer.header("content-length"), answer.header("etag")), (Some("123456"), Some("\"x\"")));
    // HTTP/1.0 without a length, as wsgiref answers.
    recorder.answer_with(|_, socket| {
        socket.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")?;
        Err(io::ErrorKind::ConnectionAborted.into())
    });
    assert_eq!(gateway.ask(&Raw::new("GET /")).text(), "until the end");
}

#[test]
fn nothing_is_added_to_a_304() {
    let (gateway, recorder) = recorded();
    let head =
        "ETag: \"x\"\r\nVary: Accept\r\nDate: Mon, 23 Nov 2026 05:03:15 GMT\r\nCache-Control: max-age=600";
    recorder.answer(format!("HTTP/1.1 304 Not Modified\r\n{head}\r\n\r\n"));
    let mut wire = gateway.wire();
    for _ in 0..2 {
        let answer =
            wire.ask(Raw::new("GET /x").header("Host", "h").header("If-None-Match", "\"x\"").bytes());
        let mut headers: Vec<_> =
            answer.headers.iter().map(|(name, value)| format!("{name}: {value}").to_lowercase()).collect();
        headers.sort();
        let mut expected: Vec<_> = head.to_lowercase().split("\r\n").map(str::to_owned).collect();
        expected.sort();
        assert_eq!((answer.status, headers), (304, expected));
    }
}

#[test]
fn interim_answers_protocol_switches_and_trailers_end_here() {
    let (gateway, recorder) = recorded();
    recorder.answer("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let answer = gateway.ask(&Raw::new("POST /x").body("y"));
    assert_eq!(
        (answer.status, answer.interim, answer.headers.iter().any(|(name, _)| name == "link")),
        (200, vec![], false)
    );

    for request in [
        Raw::new("GET /x"),
        Raw::new("GET /x").header("Connection", "Upgrade").header("Upgrade", "websocket"),
    ] {
        recorder
            .answer("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(gateway.ask(&request).status, 502);
    }

    recorder.answer("HTTP/1.1 200 OK\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Late: 1\r\nAuthorization: x\r\n\r\n");
    let mut wire = gateway.wire();
    wire.send(
        Raw::new("GET /x").header("Host", "h").header("Connection", "close").header("TE", "trailers").bytes(),
    )
    .unwrap();
    let all = String::from_utf8(wire.rest().unwrap()).unwrap().to_lowercase();
    assert!(all.contains("abc") && !all.contains("x-late") && !all.contains("authorization"), "{all}");

    recorder.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let trailers = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n3;a=b\r\nabc\r\n0\r\nAuthorization: x\r\nX-Devpi-Auth: y\r\n\r\n";
    assert_eq!(gateway.wire().ask(trailers).status, 200);
    let request = recorder.requests().pop().unwrap();
    assert_eq!(request.body, b"3\r\nabc\r\n0\r\n\r\n");
    assert!(!recorder.saw("uthorization: x") && !recorder.saw("a=b"));
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_read_in_none() {
    let (gateway, recorder) = recorded();
    let inner = "GET /inner HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunked = format!("0\r\n\r\n{inner}");
    let te =
        |value: &str| format!("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {value}\r\n\r\n{chunked}");
    let length =
        |value: &str| format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {value}\r\n\r\nabc{inner}");
    let host = |lines: &str| format!("GET /x HTTP/1.1\r\n{lines}\r\n");
    let mut requests: Vec<String> = Vec::new();
    for value in [
        "gzip, chunked",
        "chunked, chunked",
        "xchunked",
        "identity",
        "chunked, gzip",
        "chunked;q=1",
        "chunked,",
        "",
        "\x0bchunked",
        "chunk",
        ", chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "identity\r\nTransfer-Encoding: chunked",
    ] {
        requests.push(te(value));
    }
    for value in [
        "+3",
        "-0",
        "0x3",
        "3.0",
        "3 3",
        "3, 3",
        "",
        "18446744073709551619",
        "1_0",
        "\u{ff13}",
        "003",
        "3\r\nContent-Length: 4",
    ] {
        requests.push(length(value));
    }
    for lines in [
        "",
        "Host: h\r\nHost: h\r\n",
        "Host: h\r\nHost: evil.test\r\n",
        "Host: \r\n",
        "Host: a, b\r\n",
        "Host: u@h\r\n",
        "Host: h/x\r\n",
        "Host: h x\r\n",
        "Host: h\r\nAuthorization: a\r\nAuthorization: b\r\n",
        "Host: h\r\nExpect: 200-maybe\r\n",
    ] {
        requests.push(host(lines));
    }
    for line in [
        "GET /x HTTP/1.2",
        "GET /x HTTP/2.0",
        "GET /x http/1.1",
        "GET  /x HTTP/1.1",
        "GET\t/x HTTP/1.1",
        "GET /x",
        "GET /x\0 HTTP/1.1",
        "/x HTTP/1.1",
    ] {
        requests.push(format!("{line}\r\nHost: h\r\n\r\n"));
    }
    for field in [
        "A : b",
        " A: b",
        "A: b\r\n c",
        "A",
        ": b",
        "A\0: b",
        "A: b\0",
        "A\u{e9}: b",
        "Transfer-Encoding : chunked",
        "A: b\rC: d",
    ] {
        requests
            .push(format!("POST /x HTTP/1.1\r\nHost: h\r\n{field}\r\nContent-Length: 3\r\n\r\nabc{inner}"));
    }
    requests.push(format!("POST /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"));
    // The gateway's own paths are no exception.
    requests.push(te("chunked, chunked").replace("/x", "/_/oidc/mint-token"));
    for request in requests {
        let mut wire = gateway.wire();
        wire.send(&request).unwrap();
        match wire.answer() {
            Ok(answer) => {
                let refused = matches!(answer.status, 400 | 404 | 417 | 505);
                assert!(refused, "{}: {answer}", request.escape_debug());
            }
            Err(error) => assert!(is_end(&error), "{}: {error}", request.escape_debug()),
        }
        // What follows is no request: the connection has ended.
        if request.contains(inner) {
            let next = wire.answer();
            assert!(next.as_ref().is_err_and(is_end), "{}: {next:?}", request.escape_debug());
        }
    }
    assert!(recorder.connections().is_empty(), "{:?}", recorder.requests());
    // Saying the same length twice is tolerated; it is said once to the index.
    let twice = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(gateway.wire().ask(twice).status, 200);
    assert_eq!(recorder.requests().pop().unwrap().headers("content-length"), ["3"]);
    let before = recorder.requests().len();
    // These have one reading, in whichever order they come: chunked. It is said so to the index, and nothing follows.
    for both in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Transfer-Encoding: CHUNKED",
        "Transfer-Encoding:\tchunked",
    ] {
        let mut wire = gateway.wire();
        wire.send(format!("POST /x HTTP/1.1\r\nHost: h\r\n{both}\r\nConnection: close\r\n\r\n{chunked}"))
            .unwrap();
        let answer = wire.answer().unwrap();
        assert!(matches!(answer.status, 200 | 400), "{both}: {answer}");
        assert!(wire.answer().is_err(), "{both}: a second answer");
    }
    assert!(!recorder.saw("/inner"));
    for request in recorder.requests().split_off(before) {
        assert_eq!(
            (request.headers("content-length").len(), request.headers("transfer-encoding")),
            (0, vec!["chunked".to_owned()])
        );
    }
}

/// Whether the other side ended the connection, with or without a last word.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

#[test]
fn a_broken_chunk_breaks_the_request() {
    let (gateway, recorder) = recorded();
    for chunks in [
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "3_0\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3;\n\r\nabc\r\n0\r\n\r\n",
        "-1\r\n",
        "g\r\n",
    ] {
        let mut wire = gateway.wire();
        wire.send(format!("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"))
            .unwrap();
        wire.wait_at_most(Duration::from_secs(5));
        let answer = wire.answer().map(|answer| answer.status);
        assert!(
            answer.as_ref().map_or(true, |status| matches!(status, 400 | 502)),
            "{}: {answer:?}",
            chunks.escape_debug()
        );
    }
    assert!(recorder.requests().is_empty(), "{:?}", recorder.requests());
}

#[test]
fn a_body_that_spells_a_request_is_a_body() {
    let (gateway, recorder) = recorded();
    let inner = "GET /inner HTTP/1.1\r\nHost: h\r\n\r\n";
    for line in ["POST /_/x", "POST /_/oidc/mint-token", "TRACE /x", "POST /..", "GET /_/oidc/audience"] {
        let mut wire = gateway.wire();
        let answer = wire.ask(Raw::new(line).header("Host", "h").body(inner).bytes());
        assert!((400..500).contains(&answer.status), "{line}: {answer}");
        // The connection goes on with the next request, or it is closed.
        if wire.send(Raw::new("GET /next").header("Host", "h").bytes()).is_ok()
            && let Ok(answer) = wire.answer()
        {
            assert_eq!((answer.status, answer.text()), (200, "ok\n".to_owned()), "{line}");
        }
    }
    assert!(!recorder.saw("/inner"));
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let (gateway, recorder) = recorded();
    recorder.answer_with(|request, socket| {
        let target = request.line();
        // The later a request, the sooner its answer would be there.
        let turn: u64 = target.split(['/', ' ']).nth(2).and_then(|turn| turn.parse().ok()).unwrap_or(0);
        thread::sleep(Duration::from_millis(20 - turn));
        write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len())
    });
    let mut wire = gateway.wire();
    let get = |turn: usize| Raw::new(&format!("GET /{turn}")).header("Host", "h").bytes();
    wire.send((0..20).flat_map(get).collect::<Vec<_>>()).unwrap();
    for turn in 0..20 {
        assert_eq!(wire.answer().unwrap().text(), format!("GET /{turn} HTTP/1.1"));
    }
}

#[test]
fn the_first_bytes_arrive_before_the_last_are_sent() {
    let (arrived, first) = mpsc::channel();
    let arrived = Mutex::new(arrived);
    let upstream = Bare::start(move |socket, _| {
        let (_, mut body) = read_head(socket)?;
        while body.len() < 1000 {
            let mut buffer = [0; 1000];
            let length = socket.read(&mut buffer)?;
            body.extend_from_slice(&buffer[..length]);
        }
        arrived.lock().unwrap().send(()).map_err(io::Error::other)?;
        socket.read_exact(&mut [0; 1000])?;
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = in_front_of(upstream.url());
    let mut wire = gateway.wire();
    wire.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n").unwrap();
    wire.send([b'x'; 1000]).unwrap();
    first.recv_timeout(Duration::from_secs(5)).unwrap();
    wire.send([b'y'; 1000]).unwrap();
    assert_eq!(wire.answer().unwrap().status, 200);
}

#[test]
fn an_index_that_does_not_read_stops_the_client() {
    const SIZE: usize = 64 << 20;
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Bare::start(move |socket, _| {
        let (_, body) = read_head(socket)?;
        told.lock().unwrap().recv().map_err(io::Error::other)?;
        let mut left = (SIZE - body.len()) as u64;
        left -= io::copy(&mut socket.take(left), &mut io::sink())?;
        let status = if left == 0 { "200 All" } else { "400 Less" };
        write!(socket, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
    });
    // Bytes that a client still sends count as a sign of life, those in buffers do not: it waits longer than this test.
    let gateway = Setup::new(&Authority::new()).upstream("index", "generic", upstream.url()).start();
    let mut wire = gateway.wire();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let client = thread::spawn(move || {
        wire.send(format!("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n")).unwrap();
        for _ in 0..SIZE / (64 << 10) {
            wire.send([b'x'; 64 << 10]).unwrap();
            counter.fetch_add(64 << 10, Ordering::SeqCst);
        }
        wire.answer().unwrap()
    });
    let stopped = at_rest(&sent);
    assert!(stopped < SIZE / 2, "{stopped} bytes went where nobody reads");
    go_on.send(()).unwrap();
    let answer = client.join().unwrap();
    assert_eq!((answer.status, answer.reason.as_str()), (200, "All"));
}

#[test]
fn a_client_that_does_not_read_stops_the_index() {
    const SIZE: usize = 64 << 20;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let upstream = Bare::start(move |socket, _| {
        read_head(socket)?;
        write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")?;
        for _ in 0..SIZE / (64 << 10) {
            socket.write_all(&[b'x'; 64 << 10])?;
            counter.fetch_add(64 << 10, Ordering::SeqCst);
        }
        Ok(())
    });
    let gateway = in_front_of(upstream.url());
    let mut wire = gateway.wire();
    wire.send(Raw::new("GET /x").header("Host", "h").bytes()).unwrap();
    let stopped = at_rest(&sent);
    assert!(stopped < SIZE / 2, "{stopped} bytes came where nobody reads");
    // Waiting for the client is no silence of the index, however long it lasts.
    thread::sleep(Duration::from_millis(1300));
    let answer = wire.answer().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, SIZE));
}

#[test]
fn an_answer_streams_and_a_client_that_leaves_ends_it() {
    let (go_on, told) = mpsc::channel::<()>();
    let (gone, noticed) = mpsc::channel();
    let channels = Mutex::new((told, gone));
    let upstream = Bare::start(move |socket, _| {
        read_head(socket)?;
        socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        let (told, gone) = &*channels.lock().unwrap();
        told.recv().map_err(io::Error::other)?;
        while socket
            .write_all(b"1000\r\n")
            .and_then(|()| socket.write_all(&[b'x'; 4096]))
            .and_then(|()| socket.write_all(b"\r\n"))
            .is_ok()
        {}
        gone.send(()).map_err(io::Error::other)
    });
    let gateway = in_front_of(upstream.url());
    let mut wire = gateway.wire();
    wire.send(Raw::new("GET /x").header("Host", "h").bytes()).unwrap();
    let mut seen = Vec::new();
    while !seen.windows(5).any(|window| window == b"first") {
        let mut buffer = [0; 4096];
        let length = wire.read_some(&mut buffer).unwrap();
        assert!(length > 0);
        seen.extend_from_slice(&buffer[..length]);
    }
    go_on.send(()).unwrap();
    drop(wire);
    noticed.recv_timeout(Duration::from_secs(10)).unwrap();
}

#[test]
fn an_answer_that_breaks_off_never_ends_well() {
    let ways: [(&str, &[u8], bool); 5] = [
        ("length, end", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf", false),
        ("length, reset", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf", true),
        ("chunks, end", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", false),
        ("chunks, reset", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", true),
        (
            "a broken chunk",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n",
            false,
        ),
    ];
    for (way, bytes, by_reset) in ways {
        let upstream = Bare::start(move |socket, _| {
            read_head(socket)?;
            socket.write_all(bytes)?;
            if by_reset {
                reset(socket);
            }
            Ok(())
        });
        let gateway = in_front_of(upstream.url());
        let mut wire = gateway.wire();
        wire.send(Raw::new("GET /x").header("Host", "h").bytes()).unwrap();
        // After a reset the head may be lost, too; then the answer says so.
        let answer = wire.answer();
        assert!(answer.as_ref().map_or(true, |answer| answer.status == 502), "{way}: {answer:?}");
    }
}

#[test]
fn an_answer_that_stalls_is_broken_off() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let upstream = Bare::start(move |socket, _| {
            read_head(socket)?;
            socket.write_all(bytes)?;
            read_to_end(socket).map(drop)
        });
        let gateway = in_front_of(upstream.url());
        let mut wire = gateway.wire();
        wire.wait_at_most(Duration::from_secs(10));
        let begun = Instant::now();
        wire.send(Raw::new("GET /x").header("Host", "h").bytes()).unwrap();
        let error = wire.answer().unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(8), "{error}");
    }
}

#[test]
fn a_connection_that_the_index_has_closed_is_not_noticed_by_readers() {
    // Closes each connection after one answer without a word, as servers do with idle connections.
    let upstream = Bare::start(|socket, _| {
        read_head(socket)?;
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = in_front_of(upstream.url());
    let mut wire = gateway.wire();
    for _ in 0..30 {
        assert_eq!(wire.ask(Raw::new("GET /x").header("Host", "h").bytes()).status, 200);
    }
    assert_eq!(upstream.connections(), 30);

    // Reads the second request of a connection, and then closes.
    let recorder = Recorder::start();
    recorder.answer_with(|request, socket| match request.line().contains("/first") {
        true => socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        false if request.header("x-second").is_some() => Err(io::ErrorKind::ConnectionReset.into()),
        false => socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    });
    let gateway = in_front_of(&recorder.url());
    let mut wire = gateway.wire();
    assert_eq!(wire.ask(Raw::new("GET /first").header("Host", "h").bytes()).status, 200);
    assert_eq!(wire.ask(Raw::new("GET /first").header("Host", "h").bytes()).status, 200);
    assert_eq!(recorder.connections().len(), 1, "reads share a connection");
    // What changes something is sent once, whatever becomes of it, and never on a connection that may be dead.
    for method in ["POST", "PUT", "DELETE", "PATCH", "PUSH", "OPTIONS"] {
        let before = recorder.requests().len();
        let answer = wire.ask(
            Raw::new(&format!("{method} /x"))
                .header("Host", "h")
                .header("X-Second", "1")
                .body("once")
                .bytes(),
        );
        assert_eq!(answer.status, 502, "{method}: {answer}");
        let sent = recorder.requests().split_off(before);
        assert_eq!(sent.len(), 1, "{method}");
        assert!(sent[0].connection > 0, "{method}");
    }
}

#[test]
fn reads_share_a_connection_whatever_their_answers_hold() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
    ] {
        let recorder = Recorder::start();
        recorder.answer(answer);
        let gateway = in_front_of(&recorder.url());
        // One connection is one serving thread, and each thread has its own connections to the index.
        let mut wire = gateway.wire();
        for _ in 0..20 {
            wire.ask(Raw::new("GET /x").header("Host", "h").bytes());
        }
        assert_eq!(recorder.requests().len(), 20);
        assert!(
            recorder.connections().len() <= 2,
            "{} connections for {answer:?}",
            recorder.connections().len()
        );
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_is_passed_on() {
    let upstream = Bare::start(|socket, _| {
        read_head(socket)?;
        socket.write_all(b"HTTP/1.1 413 Far too much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")?;
        read_to_end(socket).map(drop)
    });
    let gateway = in_front_of(upstream.url());
    let mut wire = gateway.wire();
    wire.send(format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", 8 << 20)).unwrap();
    // A client that reads only when it has sent everything.
    for _ in 0..128 {
        wire.send([b'x'; 64 << 10]).unwrap();
    }
    let answer: Answer = wire.answer().unwrap();
    assert_eq!((answer.status, answer.reason.as_str(), answer.text().as_str()), (413, "Far too much", "no"));
}
