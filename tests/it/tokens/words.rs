//! What is said to whoever is refused, where each client looks for it.

use super::{UPLOAD, UV_ACCEPT, scene, upload, wheel};
use crate::support::package::Package;
use crate::support::raw::{Answer, Form, Raw, basic};

const HEAD_OF_PAGE: &str = "<!doctype html><title>";

#[test]
fn each_client_finds_the_reason_where_it_looks() {
    let scene = scene();
    let value = basic("__token__", &scene.token);
    let victim = |accept: Option<&str>| {
        let request = upload(&Package::wheel("victim", "1.2.0")).header("Authorization", &value);
        let request = accept.into_iter().fold(request, |request, accept| request.header("Accept", accept));
        scene.refuses("a foreign project", &request, 403)
    };
    for accept in [UV_ACCEPT, "application/json", "Application/JSON", "application/json, */*;q=0.1"] {
        let answer = victim(Some(accept));
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "uv compares all of it: {answer}"
        );
        let body = answer.json();
        assert_eq!(body["code"], format!("403 {}", answer.reason));
        assert_eq!(body["message"], answer.reason.as_str());
        assert_eq!(body["title"], "Forbidden");
        assert!(answer.reason.contains(body["reference"].as_str().unwrap()));
    }
    for accept in [None, Some("*/*"), Some("text/html"), Some("text/plain"), Some("image/png")] {
        let answer = victim(accept);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{answer}");
        let text = answer.text();
        let title = text.strip_prefix(HEAD_OF_PAGE).and_then(|rest| rest.split("</title>").next());
        assert_eq!(title, Some(answer.reason.as_str()), "maturin shows the title");
    }
    let query =
        Raw::new(&format!("{UPLOAD}?x=1")).form(&Form::twine(&wheel())).header("Authorization", &value);
    let answer = scene.refuses("a query", &query.clone().header("Accept", "*/*"), 400);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8"),
        "flit shows what is no page"
    );
    assert_eq!(answer.text().trim_end(), answer.reason);
    let answer = scene.refuses("a query", &query.header("Accept", UV_ACCEPT), 400);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["code"], format!("400 {}", answer.reason));
}

#[test]
fn the_reference_leads_to_the_line_in_the_audit() {
    let scene = scene();
    let request = upload(&Package::wheel("victim", "1.2.0"));
    let request =
        request.header("Authorization", basic("__token__", &scene.token)).header("Accept", UV_ACCEPT);
    let answer = scene.refuses("a foreign project", &request, 403);
    let reference = answer.json()["reference"].as_str().unwrap().to_owned();
    let lines = scene.gateway.audit_about(&reference);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    for (member, expected) in [
        ("event", "upload"),
        ("decision", "refuse"),
        ("index", "prod"),
        ("project", "victim"),
        ("version", "1.2.0"),
        ("issuer", "github"),
        ("file_name", "victim-1.2.0-py3-none-any.whl"),
    ] {
        assert_eq!(line[member], expected, "{line}");
    }
    assert_eq!(line["claims"]["repository"], "acme/widget");
    assert!(line["reason"].as_str().unwrap().contains("`victim`"));
    assert_eq!(line["sha256"], Package::wheel("victim", "1.2.0").sha256());
}

#[test]
fn nothing_that_a_caller_wrote_can_break_out_of_the_answer() {
    let scene = scene();
    let value = basic("__token__", &scene.token);
    let hostile = ["<script>alert(1)</script>", "caf\u{e9}\u{2028}x", "a\u{1b}[2Jb", "{{7*7}}", "x&amp;\"y"];
    for text in hostile {
        let package = wheel();
        for form in [
            Form::twine(&package).replace("name", text),
            Form::twine(&package).replace("version", text),
            Form::twine(&package).replace("filetype", text),
            Form::twine(&package).replace("sha256_digest", text),
            Form::twine(&package).without("name").field(text, "x").field("name", "acme-widget"),
            Form::uv(&package).without("content").file(text, &package.bytes),
            Form::empty().field(":action", text),
        ] {
            for accept in ["*/*", UV_ACCEPT] {
                let request =
                    Raw::new(UPLOAD).form(&form).header("Authorization", &value).header("Accept", accept);
                let (answer, arrived) = scene.send(&request);
                if answer.status == 200 {
                    // A field that no check concerns is passed on in our own spelling.
                    continue;
                }
                assert!(arrived.is_empty());
                super::check_words(&answer);
                check_harmless(&answer);
            }
        }
    }
    for path in ["/root/prod/<script>", "/root/prod/%0d%0aX:%20y", "/root/prod/{{7*7}}"] {
        let request = Raw::new(&format!("DELETE {path}")).header("Authorization", &value);
        let (answer, arrived) = scene.send(&request);
        assert!(arrived.is_empty() && (400..500).contains(&answer.status), "{answer}");
        check_harmless(&answer);
    }
}

#[track_caller]
fn check_harmless(answer: &Answer) {
    let text = answer.text();
    assert!(answer.reason.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{answer}");
    assert!(text.trim_end().bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{answer}");
    if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
        assert!(!text.contains("<script"), "{answer}");
    }
    assert_eq!(answer.header("x"), None, "{answer}");
}

#[test]
fn a_refused_upload_is_refused_before_it_is_sent() {
    let scene = scene();
    let form = Form::twine(&wheel());
    for (value, status) in [
        (basic("__token__", &format!("{}x", scene.token)), 403),
        (basic("alice", &scene.token), 403),
        (basic("__token__", &scene.github.token(&crate::support::claims::Claims::github(), "x")), 403),
    ] {
        let request = Raw::new(UPLOAD).header("Host", "gateway").header("Authorization", value);
        let request = request.header("Expect", "100-continue").form(&form).bytes();
        let head = memchr::memmem::find(&request, b"\r\n\r\n").unwrap() + 4;
        let answer = scene.gateway.wire().ask(&request[..head]);
        assert_eq!((answer.status, answer.interim.as_slice()), (status, &[][..]), "{answer}");
    }
    // And one that may go on is told so.
    let request = Raw::new(UPLOAD).header("Host", "gateway");
    let request =
        request.header("Authorization", basic("__token__", &scene.token)).header("Expect", "100-continue");
    let request = request.form(&form).bytes();
    let head = memchr::memmem::find(&request, b"\r\n\r\n").unwrap() + 4;
    let mut wire = scene.gateway.wire();
    wire.send(&request[..head]).unwrap();
    let mut first = [0; 12];
    wire.read_some(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100");
}
