//! Sizes, times and faults: what a client or an index does wrong costs little, ends soon, and is told in words.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::bare::{Bare, read_head, read_to_end};
use crate::support::claims::Claims;
use crate::support::gateway::{Gateway, Setup};
use crate::support::package::{Package, metadata};
use crate::support::process::free_port;
use crate::support::raw::{Answer, Form, Raw, Wire, basic};
use crate::support::recorder::Recorder;
use crate::support::stage::{PROJECT, Stage};

/// A gateway with these limits, and a token that may upload `acme-widget` 1.2.0 through it.
struct Scene {
    stage: Stage,
    token: String,
}

impl Scene {
    fn new(limits: &str, declare: impl FnOnce(Setup) -> Setup) -> Self {
        let limits = format!("[limits]\n{limits}");
        let declare = |setup: Setup| declare(setup.also(&limits)).index("prod", "index", "/root/prod/");
        let stage = Stage::set(declare, "/root/prod/");
        let token = stage.gateway.upload_token(&stage.github, &Claims::github());
        Self { stage, token }
    }

    /// In front of a server that does anything.
    fn before(url: &str, limits: &str) -> Self {
        Self::new(limits, |setup| setup.upstream("index", "generic", url))
    }

    fn recorded(limits: &str) -> (Self, Recorder) {
        let recorder = Recorder::start();
        (Self::before(&recorder.url(), limits), recorder)
    }

    fn gateway(&self) -> &Gateway {
        &self.stage.gateway
    }

    /// The head of an upload, without a length.
    fn upload(&self, form: &Form) -> Raw {
        upload_with(&self.token, form)
    }

    /// A whole upload.
    fn publish(&self, package: &Package) -> Answer {
        let form = Form::uv(package);
        self.gateway().ask(&self.upload(&form).body(form.bytes()))
    }

    /// Waits until nothing of an upload is left: no file, no descriptor more than `before`.
    #[track_caller]
    fn nothing_is_left(&self, before: usize) {
        until("all is given back", || self.descriptors() <= before);
        let spooled = fs::read_dir(self.gateway().directory().join("state/spool")).unwrap().count();
        assert_eq!(spooled, 0);
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// Whether an upload lies in a file at this moment.
    fn spools(&self) -> bool {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap();
        let links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.into_iter().any(|link| link.to_string_lossy().contains("/spool/"))
    }

    /// The most memory that the gateway ever held, in KiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn id(&self) -> u32 {
        self.stage.gateway.id()
    }
}

fn upload_with(token: &str, form: &Form) -> Raw {
    let head =
        Raw::new("POST /root/prod/").header("Host", "h").header("Authorization", basic("__token__", token));
    head.header("Content-Type", form.content_type())
}

/// Waits for something that happens in its own time.
#[track_caller]
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !happened() {
        assert!(Instant::now() < deadline, "{what}: it does not happen");
        thread::sleep(Duration::from_millis(10));
    }
}

fn small() -> Package {
    Package::sdist(PROJECT.0, PROJECT.1)
}

/// A wheel of this many megabytes that do not compress.
fn large(megabytes: usize) -> Package {
    let payload = crate::hostile::noise(megabytes << 20);
    Package::wheel_with(PROJECT.0, PROJECT.1, &metadata(PROJECT.0, PROJECT.1), &payload)
}

/// A token that was never minted.
const FORGED: &str = "indexgate-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";

#[test]
fn a_refused_client_that_sends_everything_first_reads_why() {
    let (scene, recorder) = Scene::recorded("upload_size = \"30MiB\"");
    let form = Form::twine(&large(20));
    let mut wire = scene.gateway().wire();
    wire.send(upload_with(FORGED, &form).body(form.bytes()).bytes()).unwrap();
    let answer = wire.answer().unwrap();
    assert_eq!(answer.status, 403, "{answer}");
    assert!(answer.reason.contains("upload token"), "{answer}");
    // And the connection is as good as new.
    assert_eq!(wire.ask(Raw::new("GET /x").header("Host", "h").bytes()).status, 200);

    // The same for what is refused in the middle: by the size, or by the first part.
    let (limited, _) = Scene::recorded("upload_size = \"2MiB\"");
    let mut wire = limited.gateway().wire();
    wire.send(limited.upload(&form).body(form.bytes()).bytes()).unwrap();
    assert_eq!(wire.answer().unwrap().status, 413);
    let mut wire = scene.gateway().wire();
    let broken = [b"junk".to_vec(), form.bytes()].concat();
    wire.send(scene.upload(&form).body(broken).bytes()).unwrap();
    assert_eq!(wire.answer().unwrap().status, 400);
    assert!(!recorder.saw("POST"));
}

#[test]
fn a_client_that_asks_first_is_refused_before_it_sends() {
    let (scene, recorder) = Scene::recorded("upload_size = \"1MiB\"");
    let form = Form::twine(&small());
    let ask = |token: &str, length: usize| {
        let head = upload_with(token, &form).header("Expect", "100-continue");
        let mut wire = scene.gateway().wire();
        wire.send(head.header("Content-Length", length.to_string()).bytes()).unwrap();
        (wire.answer().unwrap(), wire)
    };
    for (token, length, status) in [(FORGED, form.bytes().len(), 403), (&scene.token, 5_000_000_000, 413)] {
        let (answer, mut wire) = ask(token, length);
        assert_eq!((answer.status, answer.interim), (status, vec![]));
        // It cannot be told apart whether the body comes now or never: the connection ends.
        assert_eq!(wire.rest().unwrap(), b"");
    }
    assert!(recorder.connections().is_empty());

    let mut wire = scene.gateway().wire();
    let whole = scene.upload(&form).header("Expect", "100-continue").body(form.bytes()).bytes();
    let answer = wire.ask(whole);
    assert_eq!((answer.status, answer.interim), (200, vec![100]));
    assert_eq!(recorder.only_request().header("expect"), None);
}

#[test]
fn an_upload_over_the_limit_is_refused() {
    let (scene, recorder) = Scene::recorded("upload_size = \"1MiB\"\nspool_memory = \"64KiB\"");
    let form = Form::twine(&large(3));
    let before = scene.descriptors();
    let mut wire = scene.gateway().wire();
    wire.send(scene.upload(&form).header("Content-Length", "5000000000").bytes()).unwrap();
    let answer = wire.answer().unwrap();
    assert_eq!(answer.status, 413, "{answer}");
    drop(wire);

    let mut wire = scene.gateway().wire();
    let answer = wire.ask(scene.upload(&form).chunked(&form.bytes(), 10_000).bytes());
    assert_eq!(answer.status, 413, "{answer}");
    assert!(answer.text().contains("1048576 bytes"), "{answer}");
    drop(wire);
    assert!(recorder.connections().is_empty());
    scene.nothing_is_left(before);
    assert_eq!(scene.publish(&small()).status, 200);
}

#[test]
fn nothing_is_left_of_an_upload_that_breaks_off() {
    let (scene, recorder) = Scene::recorded("spool_memory = \"64KiB\"");
    let form = Form::twine(&large(3));
    let head = scene.upload(&form);
    let plain = head.clone().body(form.bytes()).bytes();
    let chunked = head.chunked(&form.bytes(), 50_000).bytes();
    let before = scene.descriptors();
    for bytes in [&plain, &chunked] {
        for percent in [10, 50, 99] {
            let part = &bytes[..bytes.len() * percent / 100];
            for end in [Wire::reset, drop, |mut wire: Wire| {
                let _ = wire.finish();
                let _ = wire.rest();
            }] {
                let mut wire = scene.gateway().wire();
                wire.send(part).unwrap();
                end(wire);
            }
        }
    }
    scene.nothing_is_left(before);
    assert!(recorder.connections().is_empty());
    assert!(
        scene
            .gateway()
            .audit_lines()
            .iter()
            .filter(|line| line["event"] == "upload")
            .all(|line| line["decision"] == "refuse")
    );
    assert_eq!(scene.publish(&large(1)).status, 200);
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let (scene, recorder) = Scene::recorded("header_timeout = \"1s\"");
    let address = scene.gateway().url().trim_start_matches("https://").to_owned();
    let begun = Instant::now();
    // Not even a handshake, half of one, and a head that never ends.
    let mut silent = TcpStream::connect(&address).unwrap();
    let mut half = TcpStream::connect(&address).unwrap();
    half.write_all(b"\x16\x03\x01\x02").unwrap();
    let mut slow = scene.gateway().wire();
    slow.send("GET / HTTP/1.1\r\nHost: h\r\n").unwrap();
    let trickle = thread::spawn(move || {
        while slow.send("X-A: b\r\n").is_ok() && begun.elapsed() < Duration::from_secs(8) {
            thread::sleep(Duration::from_millis(50));
        }
        let _ = slow.rest();
    });
    for socket in [&mut silent, &mut half] {
        socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        // Nothing, or a word of TLS.
        assert!(rest.len() < 10, "{rest:?}");
    }
    trickle.join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(recorder.connections().is_empty());
}

#[test]
fn an_upload_that_stops_arriving_is_refused_and_one_that_is_slow_is_not() {
    let (scene, recorder) = Scene::recorded("body_timeout = \"1s\"");
    let form = Form::twine(&small());
    let bytes = scene.upload(&form).body(form.bytes()).bytes();
    let before = scene.descriptors();
    let mut wire = scene.gateway().wire();
    wire.send(&bytes[..bytes.len() - 100]).unwrap();
    let answer = wire.answer().unwrap();
    assert_eq!(answer.status, 408, "{answer}");
    assert!(recorder.connections().is_empty());
    drop(wire);
    scene.nothing_is_left(before);

    let mut wire = scene.gateway().wire();
    for piece in bytes.chunks(bytes.len() / 4) {
        thread::sleep(Duration::from_millis(400));
        wire.send(piece).unwrap();
    }
    assert_eq!(wire.answer().unwrap().status, 200);
}

#[test]
fn an_index_that_is_down_or_hangs_is_said_to_be() {
    let down = Scene::before(&format!("http://127.0.0.1:{}", free_port()), "upstream_timeout = \"1s\"");
    let hanging = Bare::start(|socket, _| read_to_end(socket).map(drop));
    let slow = Scene::before(hanging.url(), "upstream_timeout = \"1s\"");
    for (scene, status, words) in [(&down, 502, "cannot be reached"), (&slow, 504, "did not answer in time")]
    {
        for answer in [
            scene.publish(&small()),
            scene.gateway().ask(&Raw::new("GET /x")),
            scene
                .gateway()
                .ask(&Raw::new("POST /root/prod/").header("Authorization", basic("bob", "bob")).body("x")),
        ] {
            assert_eq!(answer.status, status, "{answer}");
            assert!(answer.reason.contains(words) && answer.text().contains(words), "{answer}");
            assert!(!answer.to_string().contains("127.0.0.1"), "{answer}");
        }
        let failed = scene.gateway().audit_about("\"fail\"");
        assert_eq!(failed.len(), 1, "{failed:?}");
    }
}

#[test]
fn what_an_index_says_to_the_gateway_is_not_said_to_the_client() {
    let (scene, recorder) = Scene::recorded("");
    for status in [100, 101, 300, 301, 302, 303, 307, 308, 401, 403, 402, 405, 429, 500, 502, 503, 507, 599] {
        recorder.answer_with(move |request, socket| {
            let echo = String::from_utf8_lossy(&request.head).into_owned();
            write!(
                socket,
                "HTTP/1.1 {status} Secret words\r\nLocation: http://evil.test/\r\nWWW-Authenticate: Basic\r\nSet-Cookie: a=b\r\n\
                 Connection: close\r\nContent-Length: {}\r\n\r\n{echo}",
                echo.len()
            )?;
            Err(std::io::ErrorKind::ConnectionAborted.into())
        });
        let answer = scene.publish(&small());
        assert_eq!(answer.status, 502, "{status}: {answer}");
        let all = answer.to_string();
        let secret = basic("indexgate", "upstream-password");
        for leaked in
            ["Secret words", "evil.test", "set-cookie", "authenticate", secret.trim_start_matches("Basic ")]
        {
            assert!(!all.contains(leaked), "{status}: {all}");
        }
    }
    for status in [200, 201, 202, 204, 400, 404, 409, 413, 422] {
        let body = if status == 204 { "" } else { "Content-Length: 5\r\n\r\nwhy\r\n" };
        recorder.answer(format!("HTTP/1.1 {status} It says why\r\nContent-Type: text/x\r\nX-Devpi-Serial: 7\r\nSet-Cookie: a=b\r\nServer: s\r\n{body}\r\n"));
        let answer = scene.publish(&small());
        assert_eq!((answer.status, answer.reason.as_str()), (status, "It says why"));
        assert_eq!(
            (answer.header("x-devpi-serial"), answer.header("set-cookie"), answer.header("server")),
            (Some("7"), None, None)
        );
        assert_eq!(answer.text(), if status == 204 { "" } else { "why\r\n" });
    }
    recorder.answer(b"HTTP/1.1 400 caf\xe9 \x01\t.\r\nContent-Length: 0\r\n\r\n".as_slice());
    let answer = scene.publish(&small());
    assert!(
        answer.status == 502 || answer.reason.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
        "{answer}"
    );
}

#[test]
fn an_upload_whose_answer_is_lost_is_sent_once() {
    let (scene, recorder) = Scene::recorded("upstream_timeout = \"1s\"");
    for (nth, answer) in [&b""[..], b"HTTP/1.1 200 O", b"nonsense\r\n\r\n"].into_iter().enumerate() {
        recorder.answer_with(move |_, socket| {
            socket.write_all(answer)?;
            Err(std::io::ErrorKind::ConnectionAborted.into())
        });
        let answer = scene.publish(&small());
        assert_eq!((answer.status, recorder.requests().len()), (502, nth + 1), "{answer}");
        assert!(answer.text().contains("look whether the file is there"), "{answer}");
    }
    // An answer without its end is no success either.
    recorder.answer_with(|_, socket| {
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
        Err(std::io::ErrorKind::ConnectionAborted.into())
    });
    let form = Form::uv(&small());
    let mut wire = scene.gateway().wire();
    wire.send(scene.upload(&form).body(form.bytes()).bytes()).unwrap();
    let answer = wire.answer();
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 502), "{answer:?}");
}

#[test]
fn an_upload_whose_client_leaves_is_finished_and_told() {
    let (scene, recorder) = Scene::recorded("");
    let (client_left, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    recorder.answer_with(move |_, socket| {
        wait.lock().unwrap().recv_timeout(Duration::from_secs(10)).map_err(std::io::Error::other)?;
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let package = small();
    let form = Form::uv(&package);
    let mut wire = scene.gateway().wire();
    wire.send(scene.upload(&form).body(form.bytes()).bytes()).unwrap();
    until("the index has the upload", || recorder.requests().len() == 1);
    // hatch does this ten seconds after its last byte. The gateway notices, and the index answers only then.
    drop(wire);
    std::thread::sleep(Duration::from_millis(300));
    client_left.send(()).unwrap();
    let told = || scene.gateway().audit_about(&package.sha256());
    until("the audit tells of it", || !told().is_empty());
    assert_eq!((told()[0]["decision"].as_str(), told()[0]["status"].as_u64()), (Some("allow"), Some(200)));
    assert_eq!(recorder.requests().len(), 1);
}

#[test]
fn an_index_that_answers_before_the_end_is_heard() {
    let upstream = Bare::start(|socket, _| {
        read_head(socket)?;
        socket.write_all(b"HTTP/1.1 413 Far too much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")?;
        read_to_end(socket).map(drop)
    });
    let scene = Scene::before(upstream.url(), "");
    let answer = scene.publish(&large(4));
    assert_eq!((answer.status, answer.reason.as_str()), (413, "Far too much"));
}

/// A devpi that forgets its login tokens: of the `n`th login the first `refused` uploads are refused.
fn forgetful(recorder: &Recorder, refused: usize) {
    let (logins, uploads) = (AtomicUsize::new(0), AtomicUsize::new(0));
    recorder.answer_with(move |request, socket| {
        let (status, body) = if request.line().starts_with("POST /+login ") {
            let nth = logins.fetch_add(1, Ordering::SeqCst) + 1;
            ("200 OK", format!("{{\"type\":\"proxyauth\",\"result\":{{\"password\":\"token-{nth}\",\"expiration\":36000}}}}"))
        } else if uploads.fetch_add(1, Ordering::SeqCst) < refused {
            ("401 Unauthorized", String::new())
        } else {
            ("200 OK", String::new())
        };
        write!(socket, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
}

#[test]
fn devpi_is_logged_in_to_once_and_once_more_when_it_has_forgotten() {
    let recorder = Recorder::start();
    let scene = Scene::new("", |setup| {
        setup.secret("devpi", "robot's password").also(&format!(
            "[[upstream]]\nname = \"index\"\nkind = \"devpi\"\nurl = \"{}\"\n\
             credential = {{ devpi_login = {{ username = \"robot\", password_file = \"secrets/devpi\" }} }}\n",
            recorder.url()
        ))
    });
    let shown = |token: &str| basic("robot", token);
    let asked = || {
        let requests = recorder.requests();
        requests
            .iter()
            .map(|request| request.header("authorization").unwrap_or_else(|| "login".to_owned()))
            .collect::<Vec<_>>()
    };
    forgetful(&recorder, 1);
    assert_eq!(scene.publish(&small()).status, 200);
    assert_eq!(asked(), ["login".to_owned(), shown("token-1"), "login".to_owned(), shown("token-2")]);
    let bodies: Vec<_> = recorder
        .requests()
        .into_iter()
        .filter(|request| request.line().contains("/root/"))
        .map(|request| request.body)
        .collect();
    assert!(bodies.len() == 2 && bodies[0] == bodies[1]);
    assert!(
        !recorder.requests()[0].body.is_empty() && recorder.requests()[0].header("x-outside-url").is_none()
    );
    // The token is kept.
    assert_eq!(scene.publish(&small()).status, 200);
    assert_eq!(asked()[4..], [shown("token-2")]);

    // Twice refused is refused, and the gateway's own fault.
    forgetful(&recorder, 9);
    let answer = scene.publish(&small());
    assert_eq!((answer.status, asked().len()), (502, 8), "{answer}");
    assert!(answer.text().contains("the gateway's credential"), "{answer}");

    for answer in [
        "403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "500 Oh\r\nContent-Length: 0\r\n\r\n",
    ] {
        recorder.answer(format!("HTTP/1.1 {answer}"));
        // The token of the last login is refused first.
        let answer = scene.publish(&small());
        assert!(matches!(answer.status, 200 | 502), "{answer}");
    }
    assert!(!scene.gateway().log().join("\n").contains("robot's password"));
}

#[test]
fn a_gateway_that_is_told_to_stop_finishes_what_it_has_begun() {
    let recorder = Recorder::start();
    let mut scene = Scene::before(&recorder.url(), "spool_memory = \"64KiB\"");
    let form = Form::twine(&large(2));
    let bytes = scene.upload(&form).body(form.bytes()).bytes();
    let mut wire = scene.gateway().wire();
    wire.send(&bytes[..bytes.len() / 2]).unwrap();
    until("the upload begins", || scene.spools());
    let mut idle = scene.gateway().wire();
    assert_eq!(idle.ask(Raw::new("GET /x").header("Host", "h").bytes()).status, 200);

    scene.stage.gateway.server().signal("TERM");
    let address = scene.gateway().url().trim_start_matches("https://").to_owned();
    until("new connections are refused", || TcpStream::connect(&address).is_err());
    assert_eq!(idle.rest().unwrap(), b"");
    wire.send(&bytes[bytes.len() / 2..]).unwrap();
    let answer = wire.answer().unwrap();
    assert_eq!(answer.status, 200, "{answer}");
    let status = scene.stage.gateway.server().wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    assert_eq!(recorder.requests().len(), 2);
}

#[test]
fn an_upload_that_cannot_be_spooled_is_refused_before_the_index_hears_of_it() {
    let (scene, recorder) = Scene::recorded("spool_memory = \"64KiB\"");
    let spool = scene.gateway().directory().join("state/spool");
    fs::remove_dir(&spool).unwrap();
    fs::write(&spool, "not a directory").unwrap();
    let answer = scene.publish(&large(1));
    assert!(matches!(answer.status, 503 | 507), "{answer}");
    assert!(answer.text().contains("cannot keep the upload") && !answer.text().contains("spool"), "{answer}");
    assert!(recorder.connections().is_empty());
    assert_eq!(scene.publish(&small()).status, 200);
    fs::remove_file(&spool).unwrap();
    fs::create_dir(&spool).unwrap();
    assert_eq!(scene.publish(&large(1)).status, 200);
}

#[test]
fn memory_does_not_grow_with_what_passes() {
    const SIZE: usize = 256 << 20;
    let received = Arc::new(AtomicUsize::new(0));
    let counter = received.clone();
    let upstream = Bare::start(move |socket, _| {
        let (head, body) = read_head(socket)?;
        if head.starts_with("GET") {
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")?;
            (0..SIZE >> 16).try_for_each(|_| socket.write_all(&[b'x'; 1 << 16]))
        } else {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let left = length.parse::<u64>().unwrap() - body.len() as u64;
            counter.store(body.len(), Ordering::SeqCst);
            let copied = std::io::copy(&mut socket.take(left), &mut std::io::sink())?;
            counter.fetch_add(usize::try_from(copied).unwrap(), Ordering::SeqCst);
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        }
    });
    let scene = Scene::before(upstream.url(), "");
    let package = large(32);
    assert_eq!(scene.publish(&large(4)).status, 200);
    let before = scene.peak();

    let mut wire = scene.gateway().wire();
    wire.send(Raw::new("GET /x").header("Host", "h").bytes()).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    while total < SIZE {
        let length = wire.read_some(&mut buffer).unwrap();
        assert!(length > 0);
        total += length;
    }
    assert_eq!(scene.publish(&package).status, 200);
    assert!(received.load(Ordering::SeqCst) > package.bytes.len());
    let grown = scene.peak() - before;
    assert!(grown < 16 << 10, "{grown} KiB more for {} MB", (SIZE + package.bytes.len()) >> 20);
}
