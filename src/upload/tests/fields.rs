use crate::upload::testing::*;

/// The upload of `own 1.0` with some fields replaced; `None` leaves one out.
fn with(changes: &[(&str, Option<&str>)]) -> FormBuilder {
    let usual = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("name", "own"),
        ("version", "1.0"),
        ("filetype", "sdist"),
    ];
    let mut builder = form();
    for (field, value) in usual {
        match changes.iter().find(|(changed, _)| *changed == field) {
            Some((_, Some(changed))) => builder = builder.field(field, changed),
            Some((_, None)) => {}
            None => builder = builder.field(field, value),
        }
    }
    builder
}

const FILE: &str = "own-1.0.tar.gz";

#[test]
fn c007_c008_c045_c046_a_field_that_decides_stands_once() {
    for field in [
        ":action",
        "protocol_version",
        "name",
        "version",
        "filetype",
        "metadata_version",
        "pyversion",
        "summary",
        "description",
        "sha256_digest",
        "md5_digest",
        "blake2_256_digest",
        "requires_python",
        "attestations",
    ] {
        let why = format!("`{field}` is sent more than once");
        form().field(field, "1").field(field, "1").refused(&why);
        form().field(field, "").sdist(FILE).field(field, "victim").refused(&why);
    }
    form().field("name", "victim").raw(&own().unfinished()).refused("`name` is sent more than once");
    own().field("name", "victim").refused("`name` is sent more than once");
    own().field("name", "own").refused("`name` is sent more than once");
}

#[test]
fn c042_c043_a_field_is_a_field_and_the_file_is_a_file() {
    own_fields().file("name", "x", b"victim").refused("`name` is sent as a file");
    own().file("name", "x", b"victim").refused("`name` is sent as a file");
    own().file("foo", "x", b"y").refused("`foo` is sent as a file");
    own().file("attestations", "x", b"y").refused("`attestations` is sent as a file");
    own_fields().field("content", "x").refused("`content` has no file name");
    own().field("content", "x").refused("`content` has no file name");
    for (field, why) in [
        (":action", "`:action` is missing"),
        ("name", "`name` is missing"),
        ("version", "`version` is missing"),
    ] {
        with(&[(field, None)]).sdist(FILE).refused(why);
    }
    own_fields().refused("`content` is missing");
    with(&[("filetype", None), ("protocol_version", None)]).sdist(FILE).accepted();
}

#[test]
fn c044_only_uploading_is_possible() {
    for action in [
        "submit",
        "doc_upload",
        "remove_pkg",
        "verify",
        "docs",
        "user",
        "password_reset",
        "FILE_UPLOAD",
        " file_upload",
        "file_upload ",
        "",
    ] {
        with(&[(":action", Some(action))]).sdist(FILE).refused("send file_upload");
    }
    for protocol in ["2", "", "01", "1 "] {
        with(&[("protocol_version", Some(protocol))]).sdist(FILE).refused("send 1");
    }
}

#[test]
fn c047_spellings_of_one_project_are_one_project() {
    let fields = |name| form().field(":action", "file_upload").field("version", "1.0").field("name", name);
    for name in ["Own.Pkg", "own__pkg", "OWN-_.-PKG"] {
        for file in ["own_pkg-1.0.tar.gz", "Own.Pkg-1.0.tar.gz", "own-pkg-1.0.0.tar.gz"] {
            let upload = fields(name).file("content", file, &sdist("own_pkg", "1.0")).accepted();
            assert_eq!(upload.project().as_str(), "own-pkg");
        }
    }
}

#[test]
fn c048_a_name_outside_the_grammar_is_refused() {
    let long = "o".repeat(10_000);
    for name in [
        "-own",
        "own-",
        "own-pkg ",
        " own-pkg",
        "own/pkg",
        "own~pkg",
        "ｏｗｎ",
        "o\u{200b}wn",
        "ﬁle",
        "ſown",
        "",
        &long,
    ] {
        with(&[("name", Some(name))]).sdist(FILE).refused("is not a project name");
    }
    with(&[("name", Some("own-pkg\n"))]).sdist(FILE).refused("control character");
    with(&[("name", Some("own\u{85}"))]).sdist(FILE).refused("control character");
    with(&[("name", Some("own\0pkg"))]).sdist(FILE).refused("without NUL");
}

#[test]
fn fields_are_utf8_text_without_nul() {
    let part = "Content-Disposition: form-data; name=";
    for field in ["description", "foo", "attestations", "gpg_signature"] {
        own().part(&format!("{part}\"{field}\""), b"\xff\xfe").refused("is not UTF-8 text without NUL");
        own().field(field, "a\0b").refused("is not UTF-8 text without NUL");
    }
    own().field("description", "caf\u{e9}\r\n\u{1}\t\r\n--XB").accepted();
    for field in ["pyversion", "sha256_digest"] {
        own().field(field, "py3\r\nx").refused("control character");
    }
}

#[test]
fn c049_c050_the_file_name_tells_the_same_story() {
    for file in [
        "victim-1.0.tar.gz",
        "own_other-1.0.tar.gz",
        "own-other-1.0.tar.gz",
        "ownx-1.0.tar.gz",
        "own-2.0.tar.gz",
    ] {
        own_fields().sdist(file).refused("the form says own 1.0 but the file name says");
    }
    let wheels = |file| own_wheel_fields().file("content", file, &wheel("own", "1.0"));
    wheels("own_other-1.0-py3-none-any.whl").refused("but the file name says own-other 1.0");
    wheels("own-bar-1.0-py3-none-any.whl").refused("is not name-version[-build]-python-abi-platform.whl");
}

fn own_wheel_fields() -> FormBuilder {
    form().field(":action", "file_upload").field("name", "own").field("version", "1.0")
}

#[test]
fn c052_versions_are_equal_as_pep_440_has_it() {
    for version in ["1.0", "1.0.0", "v1.0", "1"] {
        with(&[("version", Some(version))]).sdist(FILE).accepted();
    }
    for version in ["2.0", "1.0+local", "1!1.0", "1.0.post1"] {
        with(&[("version", Some(version))]).sdist(FILE).refused("but the file name says own 1.0");
    }
    for version in ["", "one", "1.0 ", "1.0/../2"] {
        with(&[("version", Some(version))]).sdist(FILE).refused("is not a version");
    }
}

#[test]
fn c053_a_signature_is_named_after_the_file_and_stays_here() {
    let signed = |name| own().file("gpg_signature", name, b"-----BEGIN PGP SIGNATURE-----");
    signed("own-1.0.tar.gz.asc").accepted();
    own_fields().file("gpg_signature", "own-1.0.tar.gz.asc", b"x").sdist(FILE).accepted();
    own().field("gpg_signature", "own-1.0.tar.gz.asc").field("gpg_signature", "-----BEGIN").accepted();
    for name in ["victim-1.0.tar.gz.asc", "own-1.0.tar.gz", "own-1.0.tar.gz.asc.asc", ""] {
        signed(name).refused("name it like the package file");
    }
    signed("own-1.0.tar.gz.asc").file("gpg_signature", "own-1.0.tar.gz.asc", b"x").refused("more than once");
}

#[test]
fn c054_there_is_one_package_file() {
    own().sdist("victim-1.0.tar.gz").refused("`content` is sent more than once");
    own().sdist(FILE).refused("`content` is sent more than once");
}

#[test]
fn c055_a_declared_digest_is_that_of_the_file() {
    let upload = own().accepted();
    let sha256 = upload.sha256().to_owned();
    own().field("sha256_digest", &sha256).accepted();
    own().field("sha256_digest", &sha256.to_uppercase()).accepted();
    own().field("sha256_digest", "").field("md5_digest", "").accepted();
    own()
        .field("sha256_digest", &"0".repeat(64))
        .refused("sha256_digest of the form is not the digest of the file");
    own_fields().field("sha256_digest", &"0".repeat(64)).sdist(FILE).refused("sha256_digest of the form");
    for field in ["sha256_digest", "md5_digest", "blake2_256_digest"] {
        for bad in ["xyz", "0", &"0".repeat(63), &"g".repeat(64), &"g".repeat(32), &"0".repeat(65)] {
            own().field(field, bad).refused("send a digest in hexadecimal");
        }
    }
}

#[test]
fn c055_the_older_digests_count_where_sha256_is_missing() {
    use blake2::digest::Digest;
    let hex = crate::upload::digests::hex;
    let file = sdist("own", "1.0");
    let md5 = hex(&md5::Md5::digest(&file));
    let blake2 = hex(&blake2::Blake2b::<blake2::digest::consts::U32>::digest(&file));
    own().field("md5_digest", &md5).field("blake2_256_digest", &blake2).accepted();
    own().field("md5_digest", &"0".repeat(32)).refused("md5_digest of the form");
    own()
        .field("md5_digest", &md5)
        .field("blake2_256_digest", &"0".repeat(64))
        .refused("blake2_256_digest of the form");
    let sha256 = own().accepted().sha256().to_owned();
    own().field("sha256_digest", &sha256).field("md5_digest", &"0".repeat(32)).accepted();
}

#[test]
fn filetype_is_that_of_the_file() {
    with(&[("filetype", Some("bdist_wheel"))]).sdist(FILE).refused("send `filetype=sdist`");
    for other in ["bdist_egg", "", "SDIST"] {
        with(&[("filetype", Some(other))]).sdist(FILE).refused("send `filetype=sdist`");
    }
}

#[test]
fn messages_read_well() {
    let text = |builder: FormBuilder| builder.receive().unwrap_err().to_string();
    insta::assert_snapshot!(text(own().field("name", "own")), @"the form field `name` is sent more than once; send it once");
    insta::assert_snapshot!(text(own_fields().sdist("victim-1.0.tar.gz")), @"the form says own 1.0 but the file name says victim 1.0; upload each file with its own name and version");
    insta::assert_snapshot!(text(own_fields().sdist("own-1.0.zip")), @"the file `own-1.0.zip` is neither a wheel (.whl) nor a .tar.gz source distribution; upload one of these");
    insta::assert_snapshot!(text(own_sdist(&sdist("victim", "1.0"))), @"the form says own 1.0 but PKG-INFO in the sdist says victim 1.0; upload each file with its own name and version");
    insta::assert_snapshot!(text(own_sdist(b"PK")), @"the file is not a .tar.gz, although its name says so; build and upload it again");
    insta::assert_snapshot!(text(with(&[("name", Some("o\r\n"))]).sdist(FILE)), @"the form field `name` contains a control character; send one plain line");
}
