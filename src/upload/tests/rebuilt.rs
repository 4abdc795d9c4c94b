use proptest::prelude::*;

use crate::upload::testing::*;
use crate::upload::{RebuiltBody, Receiver, UploadLimits};

/// The rebuilt body with its boundary made recognisable and the file left out.
fn text_of(body: &RebuiltBody) -> String {
    let all = all_bytes(body, 1000);
    let boundary = body.content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
    let at = memchr::memmem::find(&all, b"octet-stream\r\n\r\n").unwrap() + 16;
    let head = String::from_utf8(all[..at].to_vec()).unwrap();
    assert_eq!(boundary.len(), 32);
    assert!(all.ends_with(format!("\r\n--{boundary}--\r\n").as_bytes()));
    assert_eq!(body.content_length, all.len() as u64);
    head.replace(boundary, "B")
}

#[test]
fn the_body_is_ours_from_the_first_byte_to_the_last() {
    let upload = form()
        .raw(b"\r\n")
        .field("description", "long\r\ntext")
        .field("classifiers", "b")
        .field("foo", "bar")
        .field("overwrite", "1")
        .part("content-disposition:form-data;name=version\r\nContent-Type: text/plain", b"1.0.0")
        .field("classifiers", "a")
        .field("_charset_", "utf-16")
        .field("md5_digest", "")
        .field("requires_python", "")
        .sdist("own-1.0.tar.gz")
        .field("attestations", "[]")
        .field("name", "OWN")
        .field("gpg_signature", "x")
        .field(":action", "file_upload")
        .accepted();
    assert!(upload.had_attestations());
    let sha256 = upload.sha256().to_owned();
    let text = text_of(&upload.rebuild()).replace(&sha256, "SHA256").replace('\r', "");
    insta::assert_snapshot!(text, @r#"
    --B
    Content-Disposition: form-data; name=":action"

    file_upload
    --B
    Content-Disposition: form-data; name="protocol_version"

    1
    --B
    Content-Disposition: form-data; name="name"

    OWN
    --B
    Content-Disposition: form-data; name="version"

    1.0.0
    --B
    Content-Disposition: form-data; name="filetype"

    sdist
    --B
    Content-Disposition: form-data; name="requires_python"


    --B
    Content-Disposition: form-data; name="classifiers"

    b
    --B
    Content-Disposition: form-data; name="classifiers"

    a
    --B
    Content-Disposition: form-data; name="description"

    long
    text
    --B
    Content-Disposition: form-data; name="sha256_digest"

    SHA256
    --B
    Content-Disposition: form-data; name="content"; filename="own-1.0.tar.gz"
    Content-Type: application/octet-stream
    "#);
}

#[test]
fn two_boundaries_are_never_the_same() {
    let boundary = || own().accepted().rebuild().content_type;
    assert_ne!(boundary(), boundary());
}

#[test]
fn every_reading_of_the_body_gives_the_same_bytes() {
    let limits = UploadLimits { spool_memory: 10, ..UploadLimits::default() };
    for limits in [limits, UploadLimits::default()] {
        let body = receive_in(&own().end(), 50, &limits).unwrap().rebuild();
        let whole = all_bytes(&body, usize::MAX >> 1);
        for piece in [1, 3, 100] {
            assert_eq!(all_bytes(&body, piece), whole);
        }
        for offset in [body.content_length, body.content_length + 1, u64::MAX] {
            assert!(body.read_at(offset, 10).unwrap().is_empty());
        }
    }
}

type Fields<'a> = &'a [(&'a str, &'a str)];

/// What real clients send, in their order. `content` stands for the file.
const CLIENTS: &[(&str, Fields)] = &[
    (
        "twine",
        &[
            ("metadata_version", "2.4"),
            ("name", "Own"),
            ("version", "1.0"),
            ("summary", "s"),
            ("requires_dist", "a"),
            ("requires_dist", "b"),
            ("classifiers", "c"),
            ("classifiers", "d"),
            ("project_urls", "e, f"),
            ("provides_extra", "x"),
            ("license_expression", "MIT"),
            ("license_file", "LICENSE"),
            ("keywords", "k"),
            ("author_email", "a@b"),
            ("maintainer_email", "m"),
            ("requires_python", ">=3"),
            ("dynamic", "x"),
            ("description_content_type", "text/x-rst"),
            ("description", "d\r\n\r\ne"),
            ("pyversion", "source"),
            ("filetype", "sdist"),
            ("comment", "c"),
            ("sha256_digest", "SHA256"),
            ("gpg_signature", "FILE"),
            ("attestations", "[{}]"),
            ("blake2_256_digest", ""),
            (":action", "file_upload"),
            ("protocol_version", "1"),
            ("content", "application/octet-stream"),
        ],
    ),
    (
        "uv",
        &[
            (":action", "file_upload"),
            ("sha256_digest", "SHA256"),
            ("blake2_256_digest", ""),
            ("protocol_version", "1"),
            ("metadata_version", "2.4"),
            ("name", "own"),
            ("version", "1.0"),
            ("filetype", "sdist"),
            ("pyversion", "source"),
            ("author_email", "a"),
            ("description", "d"),
            ("description_content_type", "text/markdown"),
            ("keywords", "k"),
            ("license_expression", "MIT"),
            ("maintainer_email", "m"),
            ("summary", "s"),
            ("requires_python", ""),
            ("classifiers", "c"),
            ("dynamic", "d"),
            ("license_file", "L"),
            ("project_urls", "u"),
            ("provides_extra", "x"),
            ("import_names", "own"),
            ("import_namespaces", "o"),
            ("requires_dist", "r"),
            ("content", ""),
            ("attestations", "[]"),
        ],
    ),
    (
        "pdm",
        &[
            ("name", "own"),
            ("version", "1.0"),
            ("filetype", "sdist"),
            ("pyversion", "source"),
            ("metadata_version", "2.4"),
            ("summary", ""),
            ("home_page", ""),
            ("author", ""),
            ("author_email", ""),
            ("maintainer", ""),
            ("maintainer_email", ""),
            ("license", ""),
            ("description", ""),
            ("keywords", ""),
            ("classifiers", "a"),
            ("download_url", ""),
            ("comment", ""),
            ("project_urls", "u"),
            ("requires_dist", "r"),
            ("requires_python", ""),
            ("provides_extras", "x"),
            ("description_content_type", ""),
            ("license_expression", ""),
            ("sha256_digest", "SHA256"),
            ("md5_digest", ""),
            ("blake2_256_digest", ""),
            ("gpg_signature", "own-1.0.tar.gz.asc"),
            ("gpg_signature", "-----BEGIN"),
            (":action", "file_upload"),
            ("protocol_version", "1"),
            ("content", "application/octet-stream"),
        ],
    ),
    (
        "hatch",
        &[
            ("description", "first"),
            ("metadata_version", "2.4"),
            ("name", "own"),
            ("version", "1.0"),
            ("filetype", "sdist"),
            ("pyversion", "source"),
            (":action", "file_upload"),
            ("protocol_version", "1"),
            ("sha256_digest", "SHA256"),
            ("content", "application/octet-stream"),
        ],
    ),
    (
        "flit",
        &[
            (":action", "file_upload"),
            ("name", "own"),
            ("version", "1.0"),
            ("metadata_version", "2.3"),
            ("summary", "s"),
            ("provides", "own"),
            ("provides_extra", "x"),
            ("protocol_version", "1"),
            ("filetype", "sdist"),
            ("sha256_digest", "SHA256"),
            ("content", ""),
        ],
    ),
    (
        "maturin",
        &[
            (":action", "file_upload"),
            ("sha256_digest", "SHA256"),
            ("protocol_version", "1"),
            ("metadata_version", "2.4"),
            ("name", "own"),
            ("version", "1.0"),
            ("pyversion", "source"),
            ("filetype", "sdist"),
            ("content", "application/gzip"),
        ],
    ),
    (
        "devpi-client",
        &[
            ("metadata_version", "2.1"),
            ("name", "own"),
            ("version", "1.0"),
            ("summary", "s"),
            ("pyversion", "3"),
            ("filetype", "sdist"),
            (":action", "file_upload"),
            ("protocol_version", "1"),
            ("content", ""),
        ],
    ),
    (
        "curl",
        &[
            (":action", "file_upload"),
            ("name", "own"),
            ("version", "1.0"),
            ("content", "application/octet-stream"),
        ],
    ),
];

fn as_sent(fields: Fields, sha256: &str) -> FormBuilder {
    fields.iter().fold(form(), |builder, (name, value)| match (*name, *value) {
        ("content", "") => builder.sdist("own-1.0.tar.gz"),
        ("content", kind) => builder.part(
            &format!("Content-Disposition: form-data; name=\"content\"; filename=\"own-1.0.tar.gz\"\r\nContent-Type: {kind}"),
            &sdist("own", "1.0"),
        ),
        ("gpg_signature", "FILE") => builder.file("gpg_signature", "own-1.0.tar.gz.asc", b"-----BEGIN"),
        (name, "SHA256") => builder.field(name, sha256),
        (name, value) => builder.field(name, value),
    })
}

#[test]
fn c001_c002_c003_what_real_clients_send_arrives() {
    let sha256 = own().accepted().sha256().to_owned();
    for (client, fields) in CLIENTS {
        let upload = as_sent(fields, &sha256).receive().unwrap_or_else(|error| panic!("{client}: {error}"));
        assert_eq!((upload.project().as_str(), upload.sha256()), ("own", &*sha256), "{client}");
        let text = text_of(&upload.rebuild());
        for (name, value) in *fields {
            let kept = !matches!(
                *name,
                "content" | "gpg_signature" | "attestations" | "md5_digest" | "blake2_256_digest"
            );
            let value = value.replace("SHA256", &sha256);
            assert_eq!(
                text.contains(&format!("name=\"{name}\"\r\n\r\n{value}\r\n")),
                kept,
                "{client}: {name}"
            );
        }
    }
}

#[test]
fn c005_repeated_fields_arrive_in_order() {
    let mut builder = own().field("description", &"é".repeat(100_000));
    for i in 0..40 {
        builder =
            builder.field("classifiers", &format!("Topic :: {i}")).field("project_urls", &format!("u{i}, x"));
    }
    let text = text_of(&builder.accepted().rebuild());
    for (name, value) in [("classifiers", "Topic :: "), ("project_urls", "u")] {
        let start = format!("name=\"{name}\"\r\n\r\n{value}");
        let order: Vec<String> =
            text.split(&start).skip(1).map(|rest| rest[..2].replace(['\r', ','], "")).collect();
        assert_eq!(order, (0..40).map(|i| i.to_string()).collect::<Vec<_>>());
    }
    assert!(text.contains(&"é".repeat(100_000)));
}

/// Reads a rebuilt body with our own reader.
fn received_again(body: &RebuiltBody, piece: usize) -> crate::upload::Upload {
    let mut receiver =
        Receiver::new(body.content_type.as_bytes(), &UploadLimits::default(), &std::env::temp_dir()).unwrap();
    all_bytes(body, 777).chunks(piece).for_each(|chunk| receiver.push(chunk).unwrap());
    receiver.finish().unwrap()
}

fn field_name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "classifiers",
        "requires_dist",
        "dynamic",
        "foo",
        "project_urls",
        "license_file",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rebuilding_twice_is_rebuilding_once(
        fields in proptest::collection::vec((field_name(), "[^\0]{0,40}"), 0..12),
        description in "([^\0]|\r\n--XB|\n--XBX\n|\r--XBX){0,20}",
        junk in proptest::collection::vec(proptest::sample::select(b"\r\n-XB".to_vec()), 0..200),
        memory in 0usize..600,
    ) {
        prop_assume!(!description.contains("\r\n--XBX") && !fields.iter().any(|(_, v)| v.contains("\r\n--XBX")));
        let junk = [&junk[..], b""].concat();
        let package = wheel_with(&junk);
        prop_assume!(memchr::memmem::find(&package, b"\r\n--XBX").is_none());
        let mut builder = own_wheel(&package).field("description", &description);
        for (name, value) in &fields {
            builder = builder.field(name, value);
        }
        let limits = UploadLimits { spool_memory: memory, ..UploadLimits::default() };
        let first = receive_in(&builder.end(), 37, &limits).unwrap();
        let (project, version, sha256, kept) =
            (first.project().clone(), first.version().clone(), first.sha256().to_owned(), first.fields.clone());
        let body = first.rebuild();
        let second = received_again(&body, 41);
        prop_assert_eq!(second.project(), &project);
        prop_assert_eq!(second.version(), &version);
        prop_assert_eq!(second.sha256(), sha256);
        prop_assert_eq!(second.file_name(), "own-1.0-py3-none-any.whl");
        let metadata = |fields: &[(&'static str, String)]| -> Vec<_> {
            fields.iter().filter(|(name, _)| !matches!(*name, "protocol_version" | "sha256_digest")).cloned().collect()
        };
        prop_assert_eq!(metadata(&second.fields), metadata(&kept));
    }
}

fn wheel_with(junk: &[u8]) -> Vec<u8> {
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip_with(stored, &[("own/junk", junk), ("own-1.0.dist-info/METADATA", metadata("own", "1.0").as_bytes())])
}
