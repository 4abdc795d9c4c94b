//! Real clients publish to real indexes through the gateway, and read from them.

use std::fs;
use std::path::PathBuf;

use crate::support::claims::Claims;
use crate::support::clients::Workshop;
use crate::support::devpi::{self, Devpi};
use crate::support::gateway::AUDIENCE;
use crate::support::package::Package;
use crate::support::pypiserver;
use crate::support::python::Python;
use crate::support::recorder::Recorder;
use crate::support::stage::{PROJECT, Stage, wheel_and_sdist};
use crate::support::tls::Authority;

fn written(workshop: &Workshop, packages: &[Package]) -> Vec<PathBuf> {
    let dist = workshop.directory("dist");
    packages.iter().map(|package| package.write_to(&dist)).collect()
}

#[test]
fn uv_publishes_to_devpi_with_the_identity_of_its_job() {
    let ((stage, index), packages) = (Stage::devpi(), wheel_and_sdist());
    let workshop = stage.workshop();
    let files = written(&workshop, &packages);
    stage.uv_publish(&workshop, &Claims::github(), &files).run().expect_success();

    let stored = index.files();
    assert_eq!(stored.len(), 2);
    for package in &packages {
        assert_eq!(stored[&package.file_name].sha256, package.sha256());
        assert_eq!(stored[&package.file_name].who, devpi::UPLOADER);
        let audit = stage.gateway.audit_about(&package.sha256());
        assert!(audit.iter().any(|line| line.to_string().contains("acme/widget")), "{audit:?}");
    }

    // devpi takes an identical file again; another one of the same name it does not, and says so itself.
    stage.uv_publish(&workshop, &Claims::github(), &files).run().expect_success();
    let other = Package::wheel_with(PROJECT.0, PROJECT.1, &metadata_with("Keywords: changed\n"), b"");
    let changed = written(&workshop, &[other]);
    let twice = stage.uv_publish(&workshop, &Claims::github(), &changed).run();
    twice.expect_failure(&["409", "already exists in non-volatile index"]);
    assert_eq!(index.files(), stored);
}

#[test]
fn uv_publishes_to_pypiserver_with_the_identity_of_its_job() {
    let ((stage, pypiserver), packages) = (Stage::pypiserver(), wheel_and_sdist());
    let workshop = stage.workshop();
    let files = written(&workshop, &packages);
    stage.uv_publish(&workshop, &Claims::github(), &files).run().expect_success();

    let stored = pypiserver.files();
    assert_eq!(stored.len(), 2);
    for package in &packages {
        assert_eq!(stored[&package.file_name], package.sha256());
    }
}

#[test]
fn uv_publishes_from_a_gitlab_job() {
    let ((stage, index), packages) = (Stage::devpi(), wheel_and_sdist());
    let workshop = stage.workshop();
    let token = stage.gitlab.token(&Claims::gitlab(stage.gitlab.url()), AUDIENCE);
    let publish = workshop.uv_publish(&stage.upload_url(), &written(&workshop, &packages));
    publish.gitlab(AUDIENCE, &token).run().expect_success();
    assert_eq!(index.files().len(), 2);
}

#[test]
fn uv_is_told_why_the_exchange_is_refused() {
    let ((stage, index), packages) = (Stage::devpi(), wheel_and_sdist());
    let workshop = stage.workshop();
    let files = written(&workshop, &packages);
    let refused = |claims: Claims, words: &[&str]| {
        stage.uv_publish(&workshop, &claims, &files).run().expect_failure(words);
        assert!(index.files().is_empty());
    };
    // A look-alike is a stranger: it sees its own claims, and nothing of the rules.
    refused(Claims::github().repository("acme-evil/widget", "99001", "6666"), &["422", "acme-evil/widget"]);
    refused(Claims::github().github_workflow("nightly.yml"), &["422", "nightly.yml", "release.yml"]);
    refused(Claims::github().github_environment("staging"), &["422", "staging", "pypi"]);
    refused(Claims::github().github_ref("refs/heads/main"), &["422", "refs/heads/main"]);
}

#[test]
fn uv_is_told_why_the_upload_is_refused() {
    let (stage, index) = Stage::devpi();
    let workshop = stage.workshop();
    let refused = |package: Package, words: &[&str]| {
        let files = written(&workshop, &[package]);
        stage.uv_publish(&workshop, &Claims::github(), &files).run().expect_failure(words);
        assert!(index.files().is_empty());
    };
    refused(Package::wheel("payroll", PROJECT.1), &["403", "payroll"]);
    refused(Package::sdist("acme-widget-extras", PROJECT.1), &["403", "acme-widget-extras"]);
    // The job was started by the tag v1.2.0.
    refused(Package::wheel(PROJECT.0, "1.3.0"), &["403", "1.3.0"]);
}

#[test]
fn uv_sends_attestations_after_the_file() {
    let recorder = Recorder::start();
    let workshop = Workshop::new(Python::shared(), &Authority::new());
    let files = attested(&workshop, &wheel_and_sdist()[..1]);
    let publish = workshop.uv().args(["publish", "--token", "any", "--publish-url", &recorder.url()]);
    publish.paths(&files).run().expect_success();
    let body = recorder.only_request().body;
    let at = |name: &str| memchr::memmem::find(&body, format!("name=\"{name}\"").as_bytes()).unwrap();
    assert!(at("content") < at("attestations"));

    for (stage, stored) in devpi_and_pypiserver() {
        let workshop = stage.workshop();
        let files = attested(&workshop, &wheel_and_sdist());
        stage.uv_publish(&workshop, &Claims::github(), &files).run().expect_success();
        assert_eq!(stored(), 2);
    }
}

/// The packages and an attestation for each, as far as uv looks at it.
fn attested(workshop: &Workshop, packages: &[Package]) -> Vec<PathBuf> {
    let mut files = written(workshop, packages);
    for package in packages {
        let path = workshop.directory("dist").join(format!("{}.publish.attestation", package.file_name));
        fs::write(&path, r#"{"version": 1, "verification_material": {}, "envelope": {}}"#).unwrap();
        files.push(path);
    }
    files
}

#[test]
fn uv_looks_before_it_publishes() {
    let ((stage, index), packages) = (Stage::devpi(), wheel_and_sdist());
    let workshop = stage.workshop();
    let files = written(&workshop, &packages);
    // After the first upload uv sends the upload token on these reads as well.
    let check_url = format!("{}+simple/", stage.upload_url());
    let publish =
        || stage.uv_publish(&workshop, &Claims::github(), &files).args(["--check-url", &check_url]).run();
    publish().expect_success();
    assert_eq!(index.files().len(), 2);
    let again = publish().expect_success();
    assert!(again.text().contains("already exists"), "{again}");
}

#[test]
fn twine_publishes_with_an_upload_token() {
    for (stage, stored) in devpi_and_pypiserver() {
        let (workshop, packages) = (stage.workshop(), wheel_and_sdist());
        let token = stage.gateway.upload_token(&stage.github, &Claims::github());
        let upload =
            |files: &[PathBuf]| workshop.twine_upload(&stage.upload_url(), "__token__", &token, files).run();
        upload(&written(&workshop, &packages)).expect_success();
        assert_eq!(stored(), 2);
        // twine shows the reason phrase and nothing else.
        let foreign = written(&workshop, &[Package::wheel("payroll", PROJECT.1)]);
        upload(&foreign).expect_failure(&["403", "payroll"]);
        assert_eq!(stored(), 2);
    }
}

#[test]
fn passwords_pass_through_to_devpi() {
    let ((stage, index), packages) = (Stage::devpi(), wheel_and_sdist());
    let workshop = stage.workshop();
    let upload = |password: &str| {
        let files = written(&workshop, &packages);
        workshop.twine_upload(&stage.upload_url(), devpi::BOB, password, &files).run()
    };
    upload("wrong").expect_failure(&["401"]);
    assert!(index.files().is_empty());
    upload(devpi::BOB).expect_success();
    let stored = index.files();
    assert!(stored.len() == 2 && stored.values().all(|file| file.who == devpi::BOB), "{stored:?}");
}

#[test]
fn passwords_pass_through_to_pypiserver() {
    let ((stage, pypiserver), packages) = (Stage::pypiserver(), wheel_and_sdist());
    let workshop = stage.workshop();
    let upload = |password: &str| {
        let files = written(&workshop, &packages);
        workshop.twine_upload(&stage.upload_url(), pypiserver::BOB, password, &files).run()
    };
    upload("wrong").expect_failure(&["403"]);
    assert!(pypiserver.files().is_empty());
    upload(pypiserver::BOB).expect_success();
    assert_eq!(pypiserver.files().len(), 2);
}

#[test]
fn devpi_client_works_as_without_the_gateway() {
    let ((stage, index), packages) = (Stage::devpi(), wheel_and_sdist());
    let released = Devpi::shared().fresh_index();
    let workshop = stage.workshop();
    let devpi = |args: &[&str]| workshop.devpi().args(args.iter().copied()).run().expect_success();

    let used = devpi(&["use", &stage.upload_url()]);
    assert!(
        used.text().contains(&format!("{}{}", stage.gateway.url(), index.path.trim_end_matches('/'))),
        "{used}"
    );
    devpi(&["login", devpi::BOB, "--password", devpi::BOB]);
    let files = written(&workshop, &packages);
    workshop.devpi().args(["upload"]).paths(&files).run().expect_success();
    let stored = index.files();
    assert!(stored.len() == 2 && stored.values().all(|file| file.who == devpi::BOB), "{stored:?}");

    devpi(&["push", &format!("{}=={}", PROJECT.0, PROJECT.1), &released.name]);
    let pushed = released.files();
    assert_eq!(pushed.keys().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>());
    let listed = devpi(&["list", PROJECT.0]);
    assert!(listed.text().contains(&stage.gateway.url().replace("https://", "")), "{listed}");
}

#[test]
fn pip_and_uv_install_through_the_gateway() {
    let ((stage, _), packages) = (Stage::devpi(), wheel_and_sdist());
    let workshop = stage.workshop();
    stage.uv_publish(&workshop, &Claims::github(), &written(&workshop, &packages)).run().expect_success();
    let (index_url, requirement) = (format!("{}+simple/", stage.upload_url()), PROJECT.0);
    let installed = |site: &str| workshop.directory(site).join("acme_widget/__init__.py").exists();

    // The second run of each asks with the validators of the first.
    for site in ["pip-1", "pip-2"] {
        let pip = workshop.pip().args(["install", "--no-deps", "--target", site, "--index-url", &index_url]);
        pip.args([requirement]).run().expect_success();
        assert!(installed(site));
    }
    for site in ["uv-1", "uv-2"] {
        let uv = workshop.uv().args(["pip", "install", "--no-deps", "--target", site, "--refresh"]);
        uv.args(["--index-url", &index_url, requirement]).run().expect_success();
        assert!(installed(site));
    }
    let lazily =
        workshop.pip().args(["install", "--no-cache-dir", "--use-feature=fast-deps", "--target", "pip-3"]);
    lazily.args(["--index-url", &index_url, requirement]).run().expect_success();
    assert!(installed("pip-3"));
}

/// Both real indexes, each behind a gateway of its own, with the number of files that it has stored.
fn devpi_and_pypiserver() -> Vec<(Stage, Box<dyn Fn() -> usize>)> {
    let (behind_devpi, index) = Stage::devpi();
    let (behind_pypiserver, pypiserver) = Stage::pypiserver();
    vec![
        (behind_devpi, Box::new(move || index.files().len())),
        (behind_pypiserver, Box::new(move || pypiserver.files().len())),
    ]
}

fn metadata_with(line: &str) -> String {
    format!("{}{line}", crate::support::package::metadata(PROJECT.0, PROJECT.1))
}
