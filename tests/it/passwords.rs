//! Where the rules restrict passwords: what still passes, what is refused, and that no other way of writing is left.

use std::path::PathBuf;

use crate::support::claims::Claims;
use crate::support::clients::Workshop;
use crate::support::devpi::{self, Devpi, Index};
use crate::support::gateway::Setup;
use crate::support::package::Package;
use crate::support::pypiserver::{self, Pypiserver};
use crate::support::python::Python;
use crate::support::raw::{Form, Raw, basic};
use crate::support::stage::{PROJECT, Stage};

const CLOSED_PROJECT: &str = "[[project]]\nindex = \"prod\"\nname = \"acme-widget\"\npasswords = \"refuse\"";
const REFUSED: &[&str] = &["403", "trusted publishing only"];

/// A gateway in front of an index of devpi, with more in its configuration.
fn devpi_with(toml: &str) -> (Stage, Index) {
    let devpi = Devpi::shared();
    let index = devpi.fresh_index();
    let declare = |setup: Setup| setup.devpi(devpi).index("prod", "devpi", &index.path).also(toml);
    (Stage::set(declare, &index.path), index)
}

fn twine(stage: &Stage, workshop: &Workshop, package: &Package) -> crate::support::clients::Outcome {
    let files: [PathBuf; 1] = [package.write_to(&workshop.directory("dist"))];
    workshop.twine_upload(&stage.upload_url(), devpi::BOB, devpi::BOB, &files).run()
}

#[test]
fn a_closed_project_takes_no_password_and_its_neighbours_do() {
    let (stage, index) = devpi_with(CLOSED_PROJECT);
    let workshop = stage.workshop();
    twine(&stage, &workshop, &Package::wheel(PROJECT.0, "1.0")).expect_failure(REFUSED);
    twine(&stage, &workshop, &Package::wheel("Acme.Widget", "1.0")).expect_failure(REFUSED);
    assert!(index.files().is_empty());

    let neighbour = Package::wheel("acme-gadget", "1.0");
    twine(&stage, &workshop, &neighbour).expect_success();
    let stored = index.files();
    assert_eq!(stored[&neighbour.file_name].sha256, neighbour.sha256());
    assert_eq!(stored[&neighbour.file_name].who, devpi::BOB, "the index sees the user's own credential");

    let own = Package::wheel(PROJECT.0, PROJECT.1);
    let files = [own.write_to(&workshop.directory("dist"))];
    stage.uv_publish(&workshop, &Claims::github(), &files).run().expect_success();
    assert_eq!(index.files()[&own.file_name].who, devpi::UPLOADER);
}

#[test]
fn no_other_way_of_writing_leads_into_a_closed_project() {
    let (stage, index) = devpi_with(CLOSED_PROJECT);
    let workshop = stage.workshop();
    let elsewhere = Devpi::shared().fresh_index();
    let package = Package::wheel(PROJECT.0, "6.6.6");
    let staged = [package.write_to(&workshop.directory("dist"))];
    let staging = format!("{}{}", stage.gateway.url(), elsewhere.path);
    workshop.twine_upload(&staging, devpi::BOB, devpi::BOB, &staged).run().expect_success();

    let bob = basic(devpi::BOB, devpi::BOB);
    let ask = |request: Raw| stage.gateway.ask(&request.header("Authorization", &bob));
    let refused = |request: Raw| {
        let answer = ask(request);
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("trusted publishing only"), "{}", answer.text());
    };
    let (own, other) = (index.path.trim_end_matches('/'), elsewhere.path.trim_end_matches('/'));
    let push = serde_json::json!({"name": PROJECT.0, "version": "6.6.6", "targetindex": own.trim_start_matches('/')});
    for target in [other.to_owned(), format!("{other}/"), other.replacen('/', "/%2f", 2).replace("/%2f", "/")]
    {
        refused(Raw::new(&format!("PUSH {target}")).json(&push));
        refused(Raw::new(&format!("POST {target}")).json(&push));
    }
    let disguised =
        Raw::new(&format!("POST {other}/")).header("Content-Type", "multipart/form-data ; boundary=B");
    refused(disguised.body(push.to_string()));
    let wide: Vec<u8> = push.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let charset =
        Raw::new(&format!("POST {other}/")).header("Content-Type", "application/json; charset=utf-16-le");
    refused(charset.body(wide));
    let own_push = ask(Raw::new(&format!("POST {own}/")).json(&push));
    assert_eq!(own_push.status, 415, "only forms are taken here: {}", own_push.text());
    refused(Raw::new(&format!("DELETE {own}/{}/1.0", PROJECT.0)));
    refused(Raw::new(&format!("DELETE {own}")));
    refused(Raw::new(&format!("PATCH {own}")).json(&serde_json::json!(["volatile=True"])));
    refused(Raw::new(&format!("PUT {own}/{}", PROJECT.0)));
    let user = own.split('/').nth(1).unwrap();
    refused(Raw::new(&format!("DELETE /{user}")));
    refused(
        Raw::new(&format!("PATCH /%{:02x}{}", user.as_bytes()[0], &user[1..])).json(&serde_json::json!({})),
    );
    assert!(index.files().is_empty(), "{:?}", index.files());
}

#[test]
fn what_does_not_lead_into_a_closed_project_still_passes() {
    let (stage, _index) = devpi_with(CLOSED_PROJECT);
    let workshop = stage.workshop();
    let (from, to) = (Devpi::shared().fresh_index(), Devpi::shared().fresh_index());
    let devpi = |args: &[&str]| workshop.devpi().args(args.iter().copied()).run().expect_success();
    devpi(&["use", &format!("{}{}", stage.gateway.url(), from.path)]);
    devpi(&["login", devpi::BOB, "--password", devpi::BOB]);
    let files = [Package::wheel("acme-gadget", "1.0").write_to(&workshop.directory("dist"))];
    workshop.devpi().args(["upload"]).paths(&files).run().expect_success();
    devpi(&["push", "acme-gadget==1.0", &to.name]);
    assert_eq!(to.files().len(), 1);
}

#[test]
fn a_closed_index_takes_no_password_at_all() {
    let (stage, index) = devpi_with("passwords = \"refuse\"");
    let workshop = stage.workshop();
    twine(&stage, &workshop, &Package::wheel("acme-gadget", "1.0")).expect_failure(REFUSED);
    let form = Form::twine(&Package::wheel("acme-gadget", "1.0"));
    let anonymous = stage.gateway.ask(&Raw::new(&format!("POST {}", index.path)).form(&form));
    assert_eq!(anonymous.status, 403);
    let respelt = format!("POST {}?x=1", index.path);
    assert_eq!(stage.gateway.ask(&Raw::new(&respelt).form(&form)).status, 400);
    assert!(index.files().is_empty());
}

#[test]
fn a_closed_pypiserver_deletes_nothing_by_password() {
    let pypiserver = Pypiserver::start(Python::shared());
    let declare =
        |setup: Setup| setup.pypiserver(&pypiserver).index("prod", "pypiserver", "/").also(CLOSED_PROJECT);
    let stage = Stage::set(declare, "/");
    let workshop = stage.workshop();
    let own = [Package::wheel(PROJECT.0, PROJECT.1).write_to(&workshop.directory("dist"))];
    stage.uv_publish(&workshop, &Claims::github(), &own).run().expect_success();
    let neighbour = [Package::wheel("acme-gadget", "1.0").write_to(&workshop.directory("dist"))];
    let upload = |files: &[PathBuf]| {
        workshop.twine_upload(&stage.upload_url(), pypiserver::BOB, pypiserver::BOB, files).run()
    };
    upload(&neighbour).expect_success();
    upload(&own).expect_failure(REFUSED);

    let remove = format!(":action=remove_pkg&name={}&version={}", PROJECT.0, PROJECT.1);
    for content_type in [None, Some("application/x-www-form-urlencoded")] {
        let request = Raw::new("POST /").header("Authorization", basic(pypiserver::BOB, pypiserver::BOB));
        let request =
            content_type.into_iter().fold(request, |request, kind| request.header("Content-Type", kind));
        let answer = stage.gateway.ask(&request.body(remove.clone()));
        assert!((400..500).contains(&answer.status), "{}", answer.text());
    }
    let fields =
        Form::empty().field(":action", "remove_pkg").field("name", PROJECT.0).field("version", PROJECT.1);
    let request = Raw::new("POST /").header("Authorization", basic(pypiserver::BOB, pypiserver::BOB));
    assert_eq!(stage.gateway.ask(&request.form(&fields)).status, 400);
    assert_eq!(pypiserver.files().len(), 2);
}

#[test]
fn a_warning_lets_the_upload_pass_and_tells_the_audit() {
    let (stage, index) = devpi_with(
        "[[project]]\nindex = \"prod\"\nname = \"acme-widget\"\npasswords = \"refuse\"\npasswords_from = 2099-01-01",
    );
    let workshop = stage.workshop();
    let package = Package::wheel(PROJECT.0, "1.0");
    twine(&stage, &workshop, &package).expect_success();
    assert_eq!(index.files().len(), 1);
    let lines = stage.gateway.audit_about(&package.sha256());
    assert!(lines.iter().any(|line| line["decision"] == "relay" && line["warning"].is_string()), "{lines:?}");
}
