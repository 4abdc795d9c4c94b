//! Crafted uploads with a valid upload token, sent to a real devpi, a real pypiserver and a recorder: whatever a
//! client writes, no index stores or loses anything but what the token covers, and what reaches an index is what the
//! audit says. The numbers are those of the security catalogue.

mod crafted;

use std::collections::BTreeMap;

use memchr::memmem;
use pep440_rs::Version;
use serde_json::Value;

use crate::support::claims::Claims;
use crate::support::devpi::{self, Devpi};
use crate::support::gateway::{Gateway, Setup};
use crate::support::package::Package;
use crate::support::pypiserver::{self, Pypiserver};
use crate::support::python::Python;
use crate::support::raw::{Answer, Form, Raw, basic};
use crate::support::recorder::{Recorded, Recorder};
use crate::support::sha256;
use crate::support::stage::Stage;
pub use crafted::noise;
use crafted::{Crafted, End, Framing, accepted, own, refused, up};

/// What the token of these tests covers: two projects, any version.
const OWN: &str = r#"
[[publisher]]
name = "own"
issuer = "github"
index = "prod"
projects = ["own", "own-pkg"]
repository = "acme/widget"
repository_id = 887766
repository_owner_id = 4411
workflow = "release.yml"
"#;

/// A gateway in front of one index in which another project, `victim`, has a release already.
struct Scene {
    stage: Stage,
    token: String,
    stored: Box<dyn Fn() -> Stored>,
}

/// What an index holds: the digest of each file, and the projects without files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stored {
    files: BTreeMap<String, String>,
    projects: Vec<String>,
}

impl Scene {
    fn devpi() -> Self {
        let devpi = Devpi::shared();
        let index = devpi.fresh_index();
        let declare = |setup: Setup| setup.also(OWN).devpi(devpi).index("prod", "devpi", &index.path);
        let stage = Stage::set(declare, &index.path);
        let stored = move || {
            let files = index.files().into_iter().map(|(name, file)| (name, file.sha256)).collect();
            Stored { files, projects: index.projects() }
        };
        Self::with(stage, Box::new(stored), basic(devpi::BOB, devpi::BOB))
    }

    fn pypiserver() -> Self {
        let index = Pypiserver::start(Python::shared());
        let stage = Stage::set(
            |setup: Setup| setup.also(OWN).pypiserver(&index).index("prod", "pypiserver", "/"),
            "/",
        );
        let stored = move || Stored { files: index.files(), projects: Vec::new() };
        Self::with(stage, Box::new(stored), basic(pypiserver::BOB, pypiserver::BOB))
    }

    /// The recorder stores nothing; that it heard something is what would show.
    fn recorder() -> (Self, Recorder) {
        let recorder = Recorder::start();
        let declare = |setup: Setup| {
            setup.also(OWN).upstream("recorder", "generic", &recorder.url()).index(
                "prod",
                "recorder",
                "/root/prod/",
            )
        };
        let stage = Stage::set(declare, "/root/prod/");
        let token = stage.gateway.upload_token(&stage.github, &Claims::github());
        (Self { stage, token, stored: Box::new(Stored::default) }, recorder)
    }

    fn with(stage: Stage, stored: Box<dyn Fn() -> Stored>, bob: String) -> Self {
        let token = stage.gateway.upload_token(&stage.github, &Claims::github());
        let scene = Self { stage, token, stored };
        let there = Raw::new(&format!("POST {}", scene.stage.upload_path())).header("Authorization", bob);
        let answer = scene.stage.gateway.ask(&there.form(&Form::twine(&victims())));
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!((scene.stored)().files.len(), 1);
        scene
    }

    /// Sends a crafted upload with the token. No answer is an answer, too: a body without its end gets none.
    fn send(&self, crafted: &Crafted) -> Option<Answer> {
        let mut request = Raw::new(&format!("POST {}", self.stage.upload_path()))
            .header("Host", self.stage.gateway.url().trim_start_matches("https://"))
            .header("Authorization", basic("__token__", &self.token));
        for (name, value) in &crafted.headers {
            request = request.header(name, value);
        }
        let mut wire = self.stage.gateway.wire();
        let (bytes, end) = crafted.framed(request);
        // What is refused early may be closed early.
        let _ = wire.send(bytes);
        match end {
            End::Whole => wire.answer().ok(),
            End::Fin => {
                let _ = wire.finish();
                wire.answer().ok()
            }
            End::Reset => {
                wire.reset();
                None
            }
        }
    }
}

/// The release of the other project, as it is in the index.
fn victims() -> Package {
    Package::sdist("victim", "1.0")
}

#[test]
fn crafted_uploads_do_nothing_to_devpi() {
    change_nothing(&Scene::devpi());
}

#[test]
fn crafted_uploads_do_nothing_to_pypiserver() {
    change_nothing(&Scene::pypiserver());
}

/// Sends everything that must be refused to a real index.
#[track_caller]
fn change_nothing(scene: &Scene) {
    let before = (scene.stored)();
    let problems = refused().into_iter().filter_map(|(id, crafted)| {
        let answer = scene.send(&crafted);
        problem(&crafted, answer.as_ref()).map(|problem| format!("{id}: {problem}"))
    });
    none_of(&problems.collect::<Vec<_>>());
    assert_eq!((scene.stored)(), before);
    // The token was good all the time.
    let answer = scene.send(&Crafted::form(&up(&own()))).unwrap();
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!((scene.stored)().files[&own().file_name], own().sha256());
}

#[test]
fn no_byte_of_a_crafted_upload_reaches_the_index() {
    let (scene, recorder) = Scene::recorder();
    let mut heard = 0;
    let problems = refused().into_iter().filter_map(|(id, crafted)| {
        let answer = scene.send(&crafted);
        let silent = recorder.connections().len() == heard;
        heard = recorder.connections().len();
        let reached = (!silent).then(|| format!("it reached the index\n{}", shown(&crafted)));
        reached.or_else(|| problem(&crafted, answer.as_ref())).map(|problem| format!("{id}: {problem}"))
    });
    none_of(&problems.collect::<Vec<_>>());
    let answer = scene.send(&Crafted::form(&up(&own()))).unwrap();
    assert_eq!((answer.status, recorder.requests().len()), (200, 1), "{answer}");
}

#[test]
fn devpi_stores_what_it_should_and_nothing_else() {
    store_exactly(&Scene::devpi());
}

#[test]
fn pypiserver_stores_what_it_should_and_nothing_else() {
    store_exactly(&Scene::pypiserver());
}

/// Sends everything that must be stored to a real index.
#[track_caller]
fn store_exactly(scene: &Scene) {
    let mut expected = (scene.stored)();
    for (id, package, crafted) in accepted() {
        let answer = scene.send(&crafted).unwrap();
        assert_eq!(answer.status, 200, "{id}: {answer}\n{}", shown(&crafted));
        expected.files.insert(package.file_name.clone(), package.sha256());
    }
    let stored = (scene.stored)();
    assert_eq!(stored.files, expected.files);
    assert!(
        stored.projects.iter().all(|project| ["own", "own-pkg", "victim"].contains(&project.as_str())),
        "{stored:?}"
    );
}

#[test]
fn what_reaches_the_index_is_what_the_audit_says() {
    let (scene, recorder) = Scene::recorder();
    for (nth, (id, package, crafted)) in accepted().into_iter().enumerate() {
        let answer = scene.send(&crafted).unwrap();
        assert_eq!(answer.status, 200, "{id}: {answer}\n{}", shown(&crafted));
        let requests = recorder.requests();
        assert_eq!(requests.len(), nth + 1, "{id}");
        let arrived = Arrived::read(&requests[nth]);
        assert_eq!(
            (arrived.file_name.as_str(), arrived.bytes == package.bytes),
            (package.file_name.as_str(), true),
            "{id}"
        );
        assert_eq!(arrived.only("name"), Some(package.project.as_str()), "{id}");
        arrived.check_against_audit(&scene.stage.gateway, nth);
    }
}

#[test]
fn what_is_damaged_at_random_is_refused_or_still_the_same_upload() {
    let (scene, recorder) = Scene::recorder();
    let mut arrived = 0;
    for seed in 0..400 {
        let crafted = damaged(seed);
        let answer = scene.send(&crafted);
        let requests = recorder.requests();
        if requests.len() == arrived {
            none_of(problem(&crafted, answer.as_ref()).as_slice());
            continue;
        }
        let upload = Arrived::read(&requests[arrived]);
        assert_eq!(requests.len(), arrived + 1, "seed {seed}");
        assert_eq!(
            (upload.only("name"), upload.file_name.as_str()),
            (Some("own"), "own-1.0.tar.gz"),
            "seed {seed}"
        );
        assert_eq!(upload.only("version"), Some("1.0"), "seed {seed}");
        assert!(upload.bytes == own().bytes, "seed {seed}");
        upload.check_against_audit(&scene.stage.gateway, arrived);
        arrived += 1;
    }
    assert!((10..300).contains(&arrived), "{arrived} of them arrived: the damage is too small or too large");
}

#[test]
fn headers_of_a_guarded_upload_do_not_travel() {
    let (scene, recorder) = Scene::recorder();
    let mut crafted = Crafted::form(&up(&own()));
    for (name, value) in [
        ("X-Outside-Url", "http://evil.test/x"),
        ("X-Remote-User", "root"),
        ("X_Remote_User", "root"),
        ("Remote-User", "root"),
        ("X-Forwarded-User", "root"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Prefix", "/x"),
        ("Forwarded", "for=1.2.3.4;host=evil.test"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Original-Url", "/root/other/"),
        ("X-WEBAUTH-USER", "root"),
        ("Content_Length", "0"),
        ("Transfer_Encoding", "chunked"),
        ("Cookie", "auth_tkt=x"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Range", "bytes=0-1"),
        ("Content-Range", "bytes 0-1/2"),
        ("If-Match", "x"),
        ("X-Anything", "y"),
        ("Upgrade", "h2c"),
        ("TE", "trailers"),
        ("Via", "1.1 evil"),
    ] {
        crafted = crafted.header(name, value);
    }
    let answer = scene.send(&crafted).unwrap();
    assert_eq!(answer.status, 200, "{answer}");
    Arrived::read(&recorder.only_request());
}

#[test]
fn a_token_opens_nothing_but_the_upload_on_devpi() {
    let scene = Scene::devpi();
    open_nothing(&scene, &elsewhere(scene.stage.upload_path()));
}

#[test]
fn a_token_opens_nothing_but_the_upload_on_pypiserver() {
    let scene = Scene::pypiserver();
    open_nothing(&scene, &elsewhere(scene.stage.upload_path()));
}

#[test]
fn no_byte_of_another_request_with_a_token_reaches_the_index() {
    let (scene, recorder) = Scene::recorder();
    open_nothing(&scene, &elsewhere("/root/prod/"));
    assert!(recorder.connections().is_empty());
}

#[track_caller]
fn open_nothing(scene: &Scene, requests: &[(String, Crafted)]) {
    let before = (scene.stored)();
    let gateway = &scene.stage.gateway;
    let problems = requests.iter().filter_map(|(line, crafted)| {
        let mut request = Raw::new(line)
            .header("Host", gateway.url().trim_start_matches("https://"))
            .header("Authorization", basic("__token__", &scene.token));
        for (name, value) in &crafted.headers {
            request = request.header(name, value);
        }
        let answer = gateway.ask(&request.body(crafted.body.as_slice()));
        let refused = (400..500).contains(&answer.status) && answer.status != 409;
        (!refused).then(|| format!("{line}: {answer}"))
    });
    none_of(&problems.collect::<Vec<_>>());
    assert_eq!((scene.stored)(), before);
}

/// Requests that are not the upload, although some index takes them for one, or for something worse.
fn elsewhere(path: &str) -> Vec<(String, Crafted)> {
    let form = Crafted::form(&up(&own()));
    let victim = Crafted::form(&up(&Package::sdist("victim", "6.6")));
    let json =
        Crafted::new("application/json", r#"{"name":"victim","version":"1.0","targetindex":"alice/prod-1"}"#);
    let bare = path.trim_end_matches('/');
    let mut requests = Vec::new();
    for method in
        ["PUSH", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "post", "Post", "PO$T", "TRACE", "TRACK"]
    {
        requests.push((format!("{method} {path}"), form.clone()));
        requests.push((format!("{method} {path}"), json.clone()));
    }
    for target in [
        format!("{bare}/?x=1"),
        format!("{bare}/?"),
        format!("{bare}/?name=victim"),
        format!("{bare}/?:action=remove_pkg"),
        format!("{bare}//"),
        format!("/{bare}//"),
        format!("//{}", path.trim_start_matches('/')) + "/",
        format!("{bare}/."),
        format!("{bare}/./"),
        format!("{bare}/x/.."),
        format!("{bare}/%2e/"),
        format!("{bare}%2F%2F"),
        format!("{bare}/;x"),
        format!("{bare}/%20"),
        format!("{bare}/%00"),
        format!("{bare}/%0d%0a"),
        format!("{bare}/%23"),
        format!("{bare}/%3f"),
        format!("{bare}/%zz"),
        format!("{bare}/\\"),
        format!("{bare}/victim"),
        format!("{bare}/victim/1.0"),
        format!("{bare}/+simple/victim/refresh"),
        format!("{bare}/+f/abc/def/victim-1.0.tar.gz"),
        "/../".to_owned(),
        "/%2e%2e/".to_owned(),
        "/RPC2".to_owned(),
        "/+login".to_owned(),
        "/packages/victim-1.0.tar.gz".to_owned(),
        "/_/x".to_owned(),
        "/_/oidc/".to_owned(),
        "http:/".to_owned(),
        "*".to_owned(),
        "x".to_owned(),
        "evil.test:80".to_owned(),
        format!("http://evil.test{path}"),
        format!("https://user@evil.test{path}"),
        format!("ftp://evil.test{path}"),
    ] {
        requests.push((format!("POST {target}"), victim.clone()));
        requests.push((format!("POST {target}"), form.clone()));
    }
    if path != "/" {
        for target in [
            bare.replacen("/", "//", 1),
            bare.replacen("/", "/%2e/", 1),
            bare.to_uppercase(),
            bare.replace('r', "%72"),
            bare[1..].replacen('/', "%2F", 1),
        ] {
            let target = format!("/{}/", target.trim_start_matches('/'));
            let target = if target == path { format!("/{target}") } else { target };
            requests.push((format!("POST {target}"), form.clone()));
        }
    }
    for target in [
        format!("{bare}/victim"),
        format!("{bare}/victim/1.0"),
        format!("{bare}/own"),
        "/alice".to_owned(),
        "/root".to_owned(),
        "/bob".to_owned(),
        "/newuser".to_owned(),
    ] {
        for method in ["DELETE", "PUT", "PATCH"] {
            requests.push((format!("{method} {target}"), json.clone()));
        }
    }
    requests
}

/// An ordinary upload with a few bytes inserted, removed or changed outside the file, always the same for a seed.
fn damaged(seed: u64) -> Crafted {
    const WORDS: [&str; 26] = [
        "\r\n",
        "\n",
        "\r",
        "--XBX",
        "\r\n--XBX\r\n",
        "\n--XBX\n",
        "--XBX--",
        "\"",
        "\\",
        ";",
        "=",
        ":",
        " ",
        "\t",
        "\0",
        "\u{212a}",
        "victim",
        "name",
        "filename",
        "*=UTF-8''",
        "Content-Disposition: form-data; name=\"name\"\r\n\r\nvictim",
        "; filename=\"victim-6.6.tar.gz\"",
        "Content-Transfer-Encoding: base64\r\n",
        "remove_pkg",
        "1.0",
        "-",
    ];
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % limit
    };
    let own = own();
    let form = if below(2) == 0 {
        up(&own)
    } else {
        Form { boundary: "XBX".to_owned(), ..Form::uv(&own).field("attestations", "[]") }
    };
    let mut crafted = Crafted::form(&form);
    let file_at = memmem::find(&crafted.body, &own.bytes).unwrap();
    let after = file_at + own.bytes.len();
    for _ in 0..=below(3) {
        let word = WORDS[below(WORDS.len())];
        let at = below(file_at - 200);
        match below(8) {
            0..3 => drop(crafted.body.splice(at..at, word.bytes())),
            3..5 => drop(crafted.body.splice(at..at + word.len().min(20), word.bytes())),
            5 => drop(crafted.body.drain(at..at + 1 + below(8))),
            6 => {
                let tail = after.min(crafted.body.len() - 4);
                let end = crafted.body.len() - below(crafted.body.len() - tail);
                drop(crafted.body.splice(end..end, word.bytes()));
            }
            _ => {
                let content_type = &mut crafted.headers[0].1;
                let at = below(content_type.len());
                drop(content_type.splice(at..at, word.bytes().filter(|b| !matches!(b, b'\r' | b'\n' | 0))));
            }
        }
    }
    crafted
}

/// What an index would understand of a guarded upload.
struct Arrived {
    fields: Vec<(String, String)>,
    file_name: String,
    bytes: Vec<u8>,
}

impl Arrived {
    /// Reads a request that must be the gateway's own work, from its line to its last byte.
    #[track_caller]
    fn read(request: &Recorded) -> Self {
        assert_eq!(request.line(), "POST /root/prod/ HTTP/1.1");
        let mut names = request.header_names();
        names.sort();
        let optional = ["accept", "user-agent"];
        names.retain(|name| !optional.contains(&name.as_str()));
        let expected = [
            "authorization",
            "content-length",
            "content-type",
            "host",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
        ];
        assert_eq!(names, expected);
        assert_eq!(request.header("authorization").unwrap(), basic("indexgate", "upstream-password"));
        assert_eq!(request.header("content-length").unwrap(), request.body.len().to_string());
        let content_type = request.header("content-type").unwrap();
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        assert!(boundary.len() >= 32 && boundary.bytes().all(|b| b.is_ascii_hexdigit()), "{boundary}");

        let body = &request.body;
        let delimiter = format!("\r\n--{boundary}");
        let body = [b"\r\n", body.as_slice()].concat();
        let body = body.strip_suffix(format!("{delimiter}--\r\n").as_bytes()).unwrap();
        // The most lenient parser sees no more parts than the strictest.
        assert_eq!(
            memmem::find_iter(body, boundary).count(),
            memmem::find_iter(body, &format!("{delimiter}\r\nContent-Disposition: form-data; name=\""))
                .count()
        );
        let starts: Vec<_> = memmem::find_iter(body, &delimiter).collect();
        let ends = starts[1..].iter().copied().chain([body.len()]);
        let mut parts: Vec<_> =
            starts.iter().zip(ends).map(|(start, end)| &body[start + delimiter.len() + 2..end]).collect();
        let (head, bytes) = divided(parts.pop().unwrap());
        let file_name = head.strip_prefix("Content-Disposition: form-data; name=\"content\"; filename=\"");
        let file_name =
            file_name.and_then(|rest| rest.strip_suffix("\"\r\nContent-Type: application/octet-stream"));
        let fields = parts.into_iter().map(|part| {
            let (head, value) = divided(part);
            let name = head
                .strip_prefix("Content-Disposition: form-data; name=\"")
                .and_then(|rest| rest.strip_suffix('"'));
            (name.unwrap().to_owned(), String::from_utf8(value.to_vec()).unwrap())
        });
        Self { fields: fields.collect(), file_name: file_name.unwrap().to_owned(), bytes: bytes.to_vec() }
    }

    /// The value of a field that stands once.
    fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(found, _)| found == name);
        let value = values.next().map(|(_, value)| value.as_str());
        value.filter(|_| values.next().is_none())
    }

    /// Project, version, file name and digest are those of the audit's line about the `nth` upload that was allowed.
    #[track_caller]
    fn check_against_audit(&self, gateway: &Gateway, nth: usize) {
        let digest = sha256(&self.bytes);
        let allowed = |line: &Value| line["event"] == "upload" && line["decision"] == "allow";
        let lines: Vec<_> = gateway.audit_lines().into_iter().filter(allowed).collect();
        assert_eq!(lines.len(), nth + 1, "{lines:?}");
        let line = &lines[nth];
        assert_eq!(line["sha256"], digest);
        let normalised = self.only("name").unwrap().to_ascii_lowercase().replace(['.', '_'], "-");
        let normalised: Vec<_> = normalised.split('-').filter(|word| !word.is_empty()).collect();
        assert_eq!(line["project"], normalised.join("-"));
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(version(line["version"].as_str().unwrap()), version(self.only("version").unwrap()));
        assert_eq!(line["file_name"], self.file_name);
        assert_eq!(self.only("sha256_digest"), Some(digest.as_str()));
        assert_eq!(self.only(":action"), Some("file_upload"));
        assert_eq!(line["claims"]["repository"], "acme/widget");
    }
}

/// The header lines of a part, and its value.
#[track_caller]
fn divided(part: &[u8]) -> (String, &[u8]) {
    let at = memmem::find(part, b"\r\n\r\n").unwrap();
    (String::from_utf8(part[..at].to_vec()).unwrap(), &part[at + 4..])
}

/// What is wrong with the answer to an upload that must be refused: 4xx, in words that no client takes for success or
/// for a reason to try again. A body without its end may get no answer.
fn problem(crafted: &Crafted, answer: Option<&Answer>) -> Option<String> {
    let Some(answer) = answer else {
        let whole = matches!(crafted.framing, Framing::Length | Framing::Chunks(_));
        return whole.then(|| format!("no answer to {}", shown(crafted)));
    };
    let words = format!("{} {}", answer.reason, answer.text()).to_lowercase();
    let refusal = matches!(answer.status, 400 | 403 | 413 | 415)
        && !words.contains("already exist")
        && answer.body.len() <= 2048;
    (!refusal).then(|| format!("{answer}\n{}", shown(crafted)))
}

#[track_caller]
fn none_of(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n\n{}", problems.len(), problems.join("\n\n"));
}

fn shown(crafted: &Crafted) -> String {
    let headers: String =
        crafted.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.escape_ascii())).collect();
    let length = crafted.body.len();
    format!("{headers}\n{} ({length} bytes)", crafted.body[..length.min(3000)].escape_ascii())
}
