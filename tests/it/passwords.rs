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
use crate::support::recorder::Recorder;
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
    for target in
        [other.to_owned(), format!("{other}/"), other.replacen("/prod", "/%70rod", 1), format!("{other}//")]
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
    // What a closed index shows depends on its bases, and those on theirs.
    refused(Raw::new(&format!("PATCH {other}")).json(&serde_json::json!(["bases=root/pypi"])));
    refused(Raw::new(&format!("PUT /{}/new", devpi::BOB)).json(&serde_json::json!({"bases": []})));
    refused(Raw::new(&format!("DELETE {other}/{}/6.6.6", PROJECT.0)));
    refused(Raw::new(&format!("POST {other}/+f/aa/bb/{}", package.file_name)).json(&serde_json::json!({})));
    refused(Raw::new(&format!("POST /{}/+token-create", devpi::BOB)).json(&serde_json::json!({})));
    refused(Raw::new(&format!("MOVE {other}/")));
    let user = own.split('/').nth(1).unwrap();
    refused(Raw::new(&format!("DELETE /{user}")));
    refused(
        Raw::new(&format!("PATCH /%{:02x}{}", user.as_bytes()[0], &user[1..])).json(&serde_json::json!({})),
    );
    assert!(index.files().is_empty(), "{:?}", index.files());
}

#[test]
fn an_open_index_is_no_way_into_a_closed_one() {
    let devpi = Devpi::shared();
    let (index, staging, archive) = (devpi.fresh_index(), devpi.fresh_index(), devpi.fresh_index());
    let declare = |setup: Setup| {
        let setup = setup.devpi(devpi).index("staging", "devpi", &staging.path);
        setup.index("prod", "devpi", &index.path).also("passwords = \"refuse\"")
    };
    let stage = Stage::set(declare, &index.path);
    let workshop = stage.workshop();
    let package = Package::wheel(PROJECT.0, "6.6.6");
    let staged = [package.write_to(&workshop.directory("dist"))];
    let upload = format!("{}{}", stage.gateway.url(), staging.path);
    workshop.twine_upload(&upload, devpi::BOB, devpi::BOB, &staged).run().expect_success();
    assert_eq!(staging.files()[&package.file_name].who, devpi::BOB);

    let bob = basic(devpi::BOB, devpi::BOB);
    let ask = |request: Raw| stage.gateway.ask(&request.header("Authorization", &bob));
    let release = |target: &str| format!("\"name\":\"{}\",\"version\":\"6.6.6\",{target}", PROJECT.0);
    let into = |index: &Index| format!("{{{}}}", release(&format!("\"targetindex\":\"{}\"", index.name)));
    let own_url = format!("{}{}", stage.gateway.url(), index.path);
    let external = format!("\"posturl\":\"{own_url}\",\"username\":\"{0}\",\"password\":\"{0}\"", devpi::BOB);
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let utf_7 = into(&index).replace("\"targetindex", "\"+AHQ-argetindex");
    let both = format!(
        "{{{},\"+AHQ-argetindex\":\"{}\"}}",
        release(&format!("\"targetindex\":\"{}\"", archive.name)),
        index.name
    );
    let urlencoded = format!(":action=file_upload&name={}&version=6.6.6", PROJECT.0);
    for (content_type, body) in [
        ("application/json", into(&index).into_bytes()),
        ("application/json; charset=utf-7", utf_7.into_bytes()),
        ("application/json; charset=utf-7", both.into_bytes()),
        ("application/json; charset=utf-16-le", wide(&into(&index))),
        ("multipart/form-data ; boundary=B", into(&index).into_bytes()),
        ("application/x-www-form-urlencoded", into(&index).into_bytes()),
        ("application/json", format!("{{{}}}", release(&external)).into_bytes()),
        ("application/x-www-form-urlencoded", urlencoded.into_bytes()),
        ("multipart/form-data; boundary=B", format!("{}\r\n--B--\r\n", into(&index)).into_bytes()),
        ("application/json", Vec::new()),
    ] {
        for line in [format!("POST {}", staging.path), format!("PUSH {}", staging.path)] {
            let request = Raw::new(&line).header("Content-Type", content_type);
            let shown = String::from_utf8_lossy(&body).into_owned();
            let answer = ask(request.body(body.clone()));
            assert_eq!(answer.status, 403, "{line} {content_type} {shown}: {}", answer.text());
            assert!(answer.text().contains("trusted publishing only"), "{}", answer.text());
        }
    }
    let form = Form::twine(&Package::wheel("acme-gadget", "1.0"));
    let typed = |line: &str| Raw::new(line).header("Content-Type", form.content_type());
    let pushed = ask(typed(&format!("PUSH {}", staging.path)).body(form.bytes()));
    assert_eq!(pushed.status, 403, "PUSH takes commands only");
    for own in [format!("PUSH {}", index.path), format!("POST {}?x", index.path)] {
        let answer = ask(Raw::new(&own).header("Content-Type", "application/json").body(into(&archive)));
        assert!(matches!(answer.status, 400 | 403), "{answer}");
    }
    assert!(index.files().is_empty() && archive.files().is_empty());

    // A form is seen to be one however small the pieces are that it comes in.
    let sliced = ask(typed(&format!("POST {}", staging.path)).chunked(&form.bytes(), 1));
    assert_eq!(sliced.status, 200, "{sliced}");
    assert_eq!(staging.files().len(), 2);
    // What devpi gets is what was understood, whatever the client says about it.
    let request = Raw::new(&format!("POST {}", staging.path));
    let charset =
        request.header("Content-Type", "text/plain; charset=utf-7").header("Content-Encoding", "gzip");
    let answer = ask(charset.body(into(&archive)));
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(archive.files().len(), 1);
    assert!(index.files().is_empty());
}

#[test]
fn a_closed_index_closes_its_own_server_only() {
    let other = Recorder::start();
    let devpi = Devpi::shared();
    let index = devpi.fresh_index();
    let declare = |setup: Setup| {
        let setup = setup.devpi(devpi).index("prod", "devpi", &index.path).also(CLOSED_PROJECT);
        setup.upstream("other", "devpi", &other.url()).also("path = \"/other\"")
    };
    let stage = Stage::set(declare, &index.path);
    let push = serde_json::json!({"name": PROJECT.0, "version": "1.0", "targetindex": index.name});
    for request in [
        Raw::new("PUSH /other/alice/dev/").json(&push),
        Raw::new("PATCH /other/alice/dev").json(&serde_json::json!([])),
        Raw::new("DELETE /other/alice"),
    ] {
        assert_eq!(stage.gateway.ask(&request).status, 200);
    }
    assert_eq!(other.requests().len(), 3);
    assert_eq!(stage.gateway.ask(&Raw::new("DELETE /alice/other")).status, 403);
}

#[test]
fn what_a_server_of_another_kind_takes_is_an_upload_that_was_read() {
    let (recorder, elsewhere) = (Recorder::start(), Recorder::start());
    let declare = |setup: Setup| {
        let setup = setup.upstream("pulp", "generic", &recorder.url());
        let setup = setup.index("prod", "pulp", "/pypi/base/legacy/").also("passwords = \"refuse\"");
        let setup = setup.index("open", "pulp", "/pypi/open/legacy/");
        setup.upstream("elsewhere", "generic", &elsewhere.url()).also("path = \"/elsewhere\"")
    };
    let stage = Stage::set(declare, "/pypi/base/legacy/");
    let ask = |request: &Raw| stage.gateway.ask(request);
    let form = Form::twine(&Package::wheel(PROJECT.0, PROJECT.1));
    for line in [
        "POST /pypi/base/legacy/",
        "POST /pypi/base/simple/",
        "POST /pypi/other/legacy/",
        "POST /service/rest/v1/components?repository=base",
        "PUT /repository/base/acme-widget/1.2.0/acme_widget-1.2.0-py3-none-any.whl",
        "PATCH /pulp/api/v3/repositories/1/",
        "DELETE /pypi/base/acme-widget",
        "POST /pypi/base/yank/",
        "POST /+login",
        "PROPFIND /",
        "POST /pypi/open/legacy/?repository=base",
    ] {
        let answer = ask(&Raw::new(line).form(&form));
        assert_eq!(answer.status, 403, "{line}: {answer}");
        assert!(answer.text().contains("trusted publishing only"), "{answer}");
    }
    let open = "POST /pypi/open/legacy/";
    assert_eq!(ask(&Raw::new(open).json(&serde_json::json!({"repository": "base"}))).status, 415);
    let two_stories = form.clone().replace("name", "acme-gadget");
    assert_eq!(ask(&Raw::new(open).form(&two_stories)).status, 400);
    assert!(recorder.connections().is_empty(), "nothing of it reaches the server");

    assert_eq!(ask(&Raw::new(open).form(&form)).status, 200);
    assert!(!recorder.saw(&form.boundary), "the form is written anew");
    assert_eq!(ask(&Raw::new("GET /pypi/base/simple/")).status, 200);
    assert_eq!(ask(&Raw::new("OPTIONS /pypi/base/simple/")).status, 200);
    assert_eq!(recorder.requests().len(), 3);
    assert_eq!(ask(&Raw::new("PUT /elsewhere/x").body("x")).status, 200);
    assert_eq!(elsewhere.only_request().line(), "PUT /x HTTP/1.1");
}

#[test]
fn devpi_under_a_prefix_takes_the_prefix_off_once() {
    for prefix in ["/devpi", "/a"] {
        let devpi = Devpi::shared();
        let (index, open) = (devpi.fresh_index(), devpi.fresh_index());
        let upload_path = format!("{prefix}{}", index.path);
        let declare = |setup: Setup| {
            let setup = setup.devpi(devpi).also(&format!("path = \"{prefix}\""));
            setup.index("prod", "devpi", &upload_path).also("passwords = \"refuse\"")
        };
        let stage = Stage::set(declare, &upload_path);
        let workshop = stage.workshop();
        let own = [Package::wheel(PROJECT.0, PROJECT.1).write_to(&workshop.directory("own"))];
        stage.uv_publish(&workshop, &Claims::github(), &own).run().expect_success();
        assert_eq!(index.files().len(), 1);

        let client = |args: &[&str]| workshop.devpi().args(args.iter().copied()).run().expect_success();
        client(&["use", &format!("{}{prefix}{}", stage.gateway.url(), open.path)]);
        client(&["login", devpi::BOB, "--password", devpi::BOB]);
        let gadget = Package::wheel("acme-gadget", "1.0");
        let files = [gadget.write_to(&workshop.directory("dist"))];
        workshop.devpi().args(["upload"]).paths(&files).run().expect_success();
        assert_eq!(open.files()[&gadget.file_name].who, devpi::BOB);
        let simple = format!("{}{upload_path}+simple/", stage.gateway.url());
        let into = workshop.directory("down");
        let to = into.display().to_string();
        let pip =
            workshop.pip().args(["download", "--no-deps", "--dest", &to, "--index-url", &simple, PROJECT.0]);
        pip.run().expect_success();
        assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1);

        let bob = basic(devpi::BOB, devpi::BOB);
        let ask = |request: Raw| stage.gateway.ask(&request.header("Authorization", &bob));
        let form = Form::twine(&Package::wheel(PROJECT.0, "6.6.6"));
        let push = serde_json::json!({"name": "acme-gadget", "version": "1.0", "targetindex": index.name});
        assert_eq!(ask(Raw::new(&format!("POST {prefix}{upload_path}")).form(&form)).status, 403);
        assert_eq!(ask(Raw::new(&format!("POST {upload_path}")).form(&form)).status, 403);
        assert_eq!(ask(Raw::new(&format!("PUSH {prefix}{}", open.path)).json(&push)).status, 403);
        let doubled =
            ask(Raw::new(&format!("GET {prefix}{upload_path}")).header("Accept", "application/json"));
        assert!((400..500).contains(&doubled.status), "{doubled}");
        assert_eq!(ask(Raw::new(&format!("GET {}", index.path))).status, 404);
        assert_eq!(index.files().len(), 1);
    }
}

#[test]
fn a_doubled_prefix_leads_nowhere_where_nothing_is_closed() {
    let devpi = Devpi::shared();
    let index = devpi.fresh_index();
    let stage = Stage::set(
        |setup| {
            let setup = setup.devpi(devpi).also("path = \"/devpi\"");
            setup.index("prod", "devpi", &format!("/devpi{}", index.path))
        },
        "/devpi/",
    );
    let form = Form::twine(&Package::wheel(PROJECT.0, "6.6.6"));
    let ask = |line: String| {
        let request = Raw::new(&line).header("Authorization", basic(devpi::BOB, devpi::BOB));
        stage.gateway.ask(&request.form(&form))
    };
    assert!((400..500).contains(&ask(format!("POST /devpi/devpi{}", index.path)).status));
    assert!(index.files().is_empty());
    assert_eq!(ask(format!("POST /devpi{}", index.path)).status, 200);
    assert_eq!(index.files().len(), 1);
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
    devpi(&["push", "acme-gadget==1.0", "--no-docs", &Devpi::shared().fresh_index().name]);
    devpi(&["list"]);
    let refresh = format!("POST {}+simple/acme-gadget/refresh", from.path);
    assert_eq!(stage.gateway.ask(&Raw::new(&refresh)).status, 302);
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
    let form = Form::twine(&Package::wheel(PROJECT.0, "6.6.6"));
    for line in ["POST /RPC2", "POST /simple/", "POST /acme-widget/", "PUT /", "DELETE /acme-widget"] {
        let request = Raw::new(line).header("Authorization", basic(pypiserver::BOB, pypiserver::BOB));
        assert_eq!(stage.gateway.ask(&request.form(&form)).status, 403, "{line}");
    }
    for line in ["POST //", "POST /?x", "POST /?:action=file_upload"] {
        let request = Raw::new(line).header("Authorization", basic(pypiserver::BOB, pypiserver::BOB));
        assert_eq!(stage.gateway.ask(&request.form(&form)).status, 400, "{line}");
    }
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

#[test]
fn a_warning_for_a_whole_index_names_the_projects_that_still_use_passwords() {
    let (stage, index) = devpi_with("passwords = \"warn\"");
    let workshop = stage.workshop();
    let package = Package::wheel("acme-gadget", "1.0");
    twine(&stage, &workshop, &package).expect_success();
    let client = |args: &[&str]| workshop.devpi().args(args.iter().copied()).run().expect_success();
    client(&["use", &stage.upload_url()]);
    client(&["login", devpi::BOB, "--password", devpi::BOB]);
    let second = Package::wheel("acme-gizmo", "1.0");
    workshop
        .devpi()
        .args(["upload"])
        .paths(&[second.write_to(&workshop.directory("dist"))])
        .run()
        .expect_success();
    assert_eq!(index.files().len(), 2);
    for package in [&package, &second] {
        let lines = stage.gateway.audit_about(&package.sha256());
        let warned = |line: &serde_json::Value| {
            line["warning"].is_string()
                && line["decision"] == "relay"
                && line["project"] == package.project
                && line["file_name"] == package.file_name
        };
        assert!(lines.iter().any(warned), "{lines:?}");
    }
    let bob = basic(devpi::BOB, devpi::BOB);
    let unread = Raw::new(&format!("POST {}", index.path)).header("Authorization", &bob);
    let answer = stage.gateway.ask(&unread.header("Content-Type", "text/plain").body("x"));
    assert_eq!(answer.status, 415);
    assert!(answer.text().contains("uploads are sent as multipart/form-data"), "{answer}");
    let respelt = Raw::new(&format!("POST {}?x", index.path)).header("Authorization", &bob);
    assert_eq!(stage.gateway.ask(&respelt.form(&Form::twine(&package))).status, 400);
}
