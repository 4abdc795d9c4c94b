//! The support itself works, without the gateway: a failing test elsewhere is then the gateway's fault.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::claims::{COMMIT, Claims};
use crate::support::clients::Workshop;
use crate::support::devpi::{self, Devpi};
use crate::support::issuer::{Endpoint, Fault, Issuer};
use crate::support::package::{self, Package};
use crate::support::pypiserver::{self, Pypiserver};
use crate::support::python::Python;
use crate::support::raw::{Form, Raw, Wire, basic};
use crate::support::recorder::Recorder;
use crate::support::tls::Authority;

#[test]
fn the_issuer_publishes_the_keys_that_its_tokens_are_signed_with() {
    let authority = Authority::new();
    let issuer = Issuer::start(&authority);
    let get = |path: &str| Raw::new(&format!("GET {path}")).send_to(issuer.url(), Some(&authority)).json();

    let discovery = get("/.well-known/openid-configuration");
    assert_eq!(discovery["issuer"], issuer.url());
    assert_eq!(discovery["jwks_uri"], format!("{}/jwks", issuer.url()));
    let key = &get("/jwks")["keys"][0];
    assert_eq!(key["kid"], issuer.key_id());

    let token = issuer.token(&Claims::github(), "somewhere");
    let claims = verified(&token, key, "somewhere").unwrap();
    assert_eq!(claims["repository"], "acme/widget");
    assert_eq!(claims["iss"], issuer.url());
    assert_ne!(
        claims["jti"],
        verified(&issuer.token(&Claims::github(), "somewhere"), key, "somewhere").unwrap()["jti"]
    );
    assert_eq!([issuer.asked(Endpoint::Discovery), issuer.asked(Endpoint::Keys)], [1, 1]);

    issuer.rotate();
    assert!(verified(&issuer.token(&Claims::github(), "somewhere"), key, "somewhere").is_err());
    assert_eq!(get("/jwks")["keys"].as_array().unwrap().len(), 1);
}

#[test]
fn a_github_job_gets_its_token_only_with_its_request_token() {
    let authority = Authority::new();
    let issuer = Issuer::start(&authority);
    let job = issuer.job(&Claims::github());
    let path = job.request_url.strip_prefix(issuer.url()).unwrap();
    let ask = |authorization: &str| {
        let request = Raw::new(&format!("GET {path}&audience=a%2Fb")).header("Authorization", authorization);
        request.send_to(issuer.url(), Some(&authority))
    };
    assert_eq!(ask("bearer wrong").status, 401);
    let answer = ask(&format!("bearer {}", job.request_token));
    let token = answer.json()["value"].as_str().unwrap().to_owned();
    assert_eq!(verified(&token, &issuer.key_set()["keys"][0], "a/b").unwrap()["sha"], COMMIT);
}

#[test]
fn the_issuer_can_be_broken_and_mended() {
    let authority = Authority::new();
    let issuer = Issuer::start(&authority);
    let keys = Raw::new("GET /jwks").header("Host", "issuer");
    let ask = || {
        let mut wire = Wire::open(issuer.url(), Some(&authority));
        wire.send(keys.bytes()).and_then(|()| wire.answer())
    };
    issuer.break_with(Endpoint::Keys, Fault::Down);
    assert!(ask().is_err());
    issuer.break_with(Endpoint::Keys, Fault::Status(500));
    assert_eq!(ask().unwrap().status, 500);
    issuer.break_with(Endpoint::Keys, Fault::Slow(Duration::from_millis(200)));
    let begun = Instant::now();
    assert_eq!(ask().unwrap().status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    issuer.mend();
    assert_eq!(ask().unwrap().status, 200);
    assert_eq!(issuer.asked(Endpoint::Keys), 4);
}

#[test]
fn claims_that_restate_each_other_agree() {
    let github = Claims::github()
        .repository("evil/widget", "1", "2")
        .github_workflow("nightly.yml")
        .github_ref("v2.0.0");
    let payload = github.without("jti").payload(json!({"jti": "1", "iss": "i"}));
    assert_eq!(payload["repository_owner"], "evil");
    assert_eq!(payload["workflow_ref"], "evil/widget/.github/workflows/nightly.yml@refs/tags/v2.0.0");
    assert_eq!(payload["job_workflow_ref"], payload["workflow_ref"]);
    assert_eq!(payload["sub"], "repo:evil@2/widget@1:environment:pypi");
    assert_eq!((payload.get("jti"), &payload["iss"]), (None, &json!("i")));

    let gitlab =
        Claims::gitlab("https://127.0.0.1:1").project("evil/widget", "1", "2").gitlab_ref("refs/heads/a/b");
    assert_eq!(gitlab.text("ci_config_ref_uri"), "127.0.0.1:1/evil/widget//.gitlab-ci.yml@refs/heads/a/b");
    assert_eq!(gitlab.text("sub"), "project_path:evil/widget:ref_type:branch:ref:a/b");
    assert_eq!(
        gitlab.gitlab_workflow("x.yml").text("ci_config_ref_uri"),
        "127.0.0.1:1/evil/widget//x.yml@refs/heads/a/b"
    );
}

#[test]
fn devpi_takes_a_real_and_a_hand_made_upload() {
    let (authority, devpi) = (Authority::new(), Devpi::shared());
    let index = devpi.fresh_index();
    let workshop = Workshop::new(Python::shared(), &authority);
    let (wheel, sdist) = (Package::wheel("Acme.Widget", "1.0"), Package::sdist("Acme.Widget", "1.0"));

    let upload_url = format!("{}{}", devpi.url(), index.path);
    let dist = workshop.directory("dist");
    workshop
        .twine_upload(&upload_url, devpi::BOB, devpi::BOB, &[wheel.write_to(&dist)])
        .run()
        .expect_success();
    let upload = Raw::new(&format!("POST {}", index.path)).form(&Form::twine(&sdist));
    let answer = upload.clone().header("Authorization", basic(devpi::UPLOADER, devpi.uploader_password()));
    assert_eq!(answer.send_to(devpi.url(), None).status, 200);
    assert_eq!(
        upload.header("Authorization", basic(devpi::BOB, "wrong")).send_to(devpi.url(), None).status,
        401
    );

    let files = index.files();
    assert_eq!(files.len(), 2);
    assert_eq!(files[&wheel.file_name].sha256, wheel.sha256());
    assert_eq!(files[&wheel.file_name].who, devpi::BOB);
    assert_eq!(files[&sdist.file_name].sha256, sdist.sha256());
    assert_eq!(files[&sdist.file_name].who, devpi::UPLOADER);
    assert!(devpi.fresh_index().files().is_empty());
}

#[test]
fn pypiserver_takes_a_real_and_a_hand_made_upload() {
    let (authority, pypiserver) = (Authority::new(), Pypiserver::start(Python::shared()));
    let workshop = Workshop::new(Python::shared(), &authority);
    let (wheel, sdist) = (Package::wheel("acme-widget", "1.0"), Package::sdist("acme-widget", "1.0"));

    let dist = workshop.directory("dist");
    let url = format!("{}/", pypiserver.url());
    workshop
        .twine_upload(&url, pypiserver::BOB, pypiserver::BOB, &[wheel.write_to(&dist)])
        .run()
        .expect_success();
    let upload = Raw::new("POST /").form(&Form::uv(&sdist));
    let answer =
        upload.clone().header("Authorization", basic(pypiserver::UPLOADER, pypiserver.uploader_password()));
    assert_eq!(answer.send_to(pypiserver.url(), None).status, 200);
    assert_eq!(
        upload
            .header("Authorization", basic(pypiserver::BOB, "wrong"))
            .send_to(pypiserver.url(), None)
            .status,
        403
    );

    let stored = pypiserver.files();
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[&wheel.file_name], wheel.sha256());
    assert_eq!(stored[&sdist.file_name], sdist.sha256());
}

#[test]
fn the_build_tools_build_and_pip_installs_what_tests_make() {
    let workshop = Workshop::new(Python::shared(), &Authority::new());
    let project = workshop.directory("project");
    package::write_project(&project, "acme-widget", "1.2.0");
    workshop
        .uv()
        .args(["build", "--offline", "--no-build-isolation"])
        .inside(&project)
        .run()
        .expect_success();
    let mut built: Vec<_> =
        fs::read_dir(project.join("dist")).unwrap().map(|entry| entry.unwrap().path()).collect();
    built.retain(|path| path.extension().is_some_and(|extension| extension == "whl" || extension == "gz"));
    assert_eq!(built.len(), 2, "{built:?}");
    assert_eq!(Package::read(&built[0]).version, "1.2.0");

    let wheel = Package::wheel("Acme.Widget", "1.0").write_to(&workshop.directory("dist"));
    let site = workshop.directory("site");
    workshop
        .pip()
        .args(["install", "--no-deps", "--no-index", "--target"])
        .paths(&[site.clone(), wheel])
        .run()
        .expect_success();
    assert!(site.join("acme_widget/__init__.py").exists());
}

#[test]
fn the_recorder_remembers_every_byte() {
    let recorder = Recorder::start();
    let mut wire = Wire::open(&recorder.url(), None);
    let first = Raw::new("POST /a?b").header("X-One", b"caf\xe9").header("x-one", "2").body("hello");
    assert_eq!(wire.ask(first.bytes()).text(), "ok\n");
    let second = b"PUSH /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    recorder.answer_with(|_, socket| {
        socket.write_all(b"HTTP/1.1 409 no, not again\r\nContent-Length: 0\r\n\r\n")
    });
    assert_eq!(wire.ask(second).reason, "no, not again");

    let requests = recorder.requests();
    assert_eq!(requests[0].line(), "POST /a?b HTTP/1.1");
    assert_eq!((requests[0].headers("x-one").len(), requests[0].body.as_slice()), (2, b"hello".as_slice()));
    assert_eq!(requests[1].body, b"3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(recorder.connections(), [[first.bytes(), second.to_vec()].concat()]);
    assert!(recorder.saw(b"caf\xe9") && !recorder.saw("secret"));
}

fn verified(token: &str, key: &Value, audience: &str) -> Result<Value, jsonwebtoken::errors::Error> {
    let key = DecodingKey::from_rsa_components(key["n"].as_str().unwrap(), key["e"].as_str().unwrap())?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[audience]);
    jsonwebtoken::decode(token, &key, &validation).map(|data| data.claims)
}
