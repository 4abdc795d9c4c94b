use proptest::prelude::*;

use crate::upload::testing::*;
use crate::upload::{Receiver, UploadError, UploadLimits};

fn replaced(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = memchr::memmem::find(body, from.as_bytes()).unwrap();
    [&body[..at], to.as_bytes(), &body[at + from.len()..]].concat()
}

fn victim() -> FormBuilder {
    form().field("name", "victim")
}

#[test]
fn a_correct_upload_is_understood() {
    let upload = own().accepted();
    assert_eq!(upload.project().as_str(), "own");
    assert_eq!(upload.version().to_string(), "1.0");
    assert_eq!(upload.file_name(), "own-1.0.tar.gz");
    assert_eq!(upload.size(), sdist("own", "1.0").len() as u64);
    assert_eq!(upload.sha256().len(), 64);
    assert!(!upload.had_attestations());
}

#[test]
fn c004_one_leading_crlf_and_a_missing_last_one_are_fine() {
    receive(&form().raw(b"\r\n").raw(&own().end()).unfinished()).unwrap();
    receive(own().end().strip_suffix(b"\r\n").unwrap()).unwrap();
}

#[test]
fn c009_c011_a_delimiter_with_other_line_ends_is_part_of_the_value() {
    let hidden = "--XBX\nContent-Disposition: form-data; name=\"name\"\n\nvictim";
    let fields = || form().field(":action", "file_upload").field("version", "1.0").sdist("own-1.0.tar.gz");
    fields().field("name", &format!("own\n{hidden}")).refused("`name` contains a control character");
    fields().field("name", "own\r--XBX\r\rvictim").refused("`name` contains a control character");
    let upload = fields().field("name", "own").field("description", &format!("x\n{hidden}")).accepted();
    assert_eq!(upload.project().as_str(), "own");
}

#[test]
fn c010_a_body_with_lf_only_is_refused() {
    let body = own_fields().file("content", "own-1.0.tar.gz", b"x").end();
    let lf: Vec<u8> = body.into_iter().filter(|b| *b != b'\r').collect();
    refused(&lf, "not followed by CRLF");
}

#[test]
fn c012_c013_nothing_stands_before_or_after_the_form() {
    let body = own().end();
    for preamble in ["junk\r\n", "\r\n\r\n", "\n", "\r", " ", "-", "--XBX2\r\n", "--XB", "\r\r\n"] {
        refused(&[preamble.as_bytes(), &body].concat(), "");
        assert!(receive(&[preamble.as_bytes(), &body].concat()).is_err(), "{preamble:?}");
    }
    refused(&[&[b'x'; 1 << 20][..], &body].concat(), "does not begin with the boundary");
    for epilogue in [&b"x"[..], b"\r\n", b"\r", b" ", b"\0", &victim().end()] {
        refused(&[&body, epilogue].concat(), "goes on after the closing boundary");
    }
    let bare_cr = [body.strip_suffix(b"\r\n").unwrap(), b"\r"].concat();
    refused(&bare_cr, "goes on after the closing boundary");
}

#[test]
fn c014_c026_a_body_that_was_cut_off_is_refused_at_every_byte() {
    let body = own().end();
    for length in 0..body.len() - 3 {
        assert!(matches!(receive(&body[..length]), Err(UploadError::Unfinished)), "{length}");
    }
    refused(&own().unfinished(), "cut off");
}

#[test]
fn c015_c016_c017_a_boundary_line_ends_with_crlf_or_two_dashes() {
    let rest = |line: &str| {
        let name = "Content-Disposition: form-data; name=\"name\"\r\n\r\nvictim\r\n";
        own_fields().raw(format!("{line}\r\n{name}").as_bytes()).sdist("own-1.0.tar.gz").end()
    };
    for line in ["--XBX \t", "--XBX ", "--XBXY", "--XBX-", "--XBX--junk", "--XBX -- ", "--XBX\r"] {
        assert!(receive(&rest(line)).is_err(), "{line:?}");
    }
    refused(&rest("--XBXY"), "not followed by CRLF");
    refused(&rest("--XBX \t"), "not followed by CRLF");
    refused(&rest("--XBX--junk"), "goes on after the closing boundary");
}

#[test]
fn c019_a_boundary_in_single_quotes_has_them() {
    let mut receiver = Receiver::new(
        b"multipart/form-data; boundary='XBX'",
        &UploadLimits::default(),
        &std::env::temp_dir(),
    )
    .unwrap();
    assert!(matches!(receiver.push(&own().end()), Err(UploadError::Preamble)));
    assert!(matches!(receiver.push(b"more"), Err(UploadError::Unfinished)));
    assert!(matches!(receiver.finish(), Err(UploadError::Unfinished)));
}

#[test]
fn c023_c027_c041_part_headers_are_checked_in_the_body_too() {
    for head in [
        "Content-Disposition: form-data; name=\"x\"\r\nContent-Type: multipart/mixed; boundary=IN",
        "Content-Disposition: form-data; NAME=\"name\"",
        "Content-Disposition: form-data;\r\n name=\"name\"",
        "Content-Disposition : form-data; name=\"name\"",
        "Content-Disposition: form-data; name=\"name\"\rX: y",
    ] {
        assert!(own().part(head, b"victim").receive().is_err(), "{head}");
    }
    let headless = form().raw(&own().unfinished()).raw(b"--XBX\r\n\r\nvictim\r\n").end();
    refused(&headless, "");
}

#[test]
fn c006_c025_what_looks_like_a_boundary_in_the_file_stays_in_the_file() {
    let hidden =
        b"\n--XBX\nContent-Disposition: form-data; name=\"name\"\n\nvictim\r\n--XB\r\n-\r--XBX\r\n\r\r\n--X";
    let package =
        tar_gz_stored(&[("own-1.0/PKG-INFO", metadata("own", "1.0").as_bytes()), ("own-1.0/x", hidden)]);
    assert!(memchr::memmem::find(&package, hidden).is_some());
    let upload = own_sdist(&package).accepted();
    assert_eq!(upload.size(), package.len() as u64);
    let body = upload.rebuild();
    assert!(memchr::memmem::find(&all_bytes(&body, 1 << 16), &package).is_some());
}

fn tar_gz_stored(files: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(&tar(files)).unwrap();
    gzip.finish().unwrap()
}

#[track_caller]
fn at_limit(body: &[u8], spoil: impl Fn(&mut UploadLimits, usize), exact: usize, why: &str) {
    let mut limits = UploadLimits::default();
    spoil(&mut limits, exact);
    receive_in(body, 1000, &limits).unwrap();
    spoil(&mut limits, exact - 1);
    for piece in [1, 7, body.len()] {
        check_message(&receive_in(body, piece, &limits).unwrap_err(), why);
    }
}

#[test]
fn c024_c069_every_limit_holds_to_the_byte() {
    let body = own().end();
    at_limit(&body, |limits, n| limits.size = n as u64, body.len(), "larger than");
    at_limit(&body, |limits, n| limits.parts = n, 7, "more than 6 parts");
    let longest = "Content-Disposition: form-data; name=\"content\"; filename=\"own-1.0.tar.gz\"";
    at_limit(&body, |limits, n| limits.part_head = n, longest.len(), "header of a form part is longer");
    let fields =
        ":actionfile_uploadprotocol_version1metadata_version2.4nameownversion1.0filetypesdistcontent";
    at_limit(&body, |limits, n| limits.field_bytes = n, fields.len(), "form fields are larger");
    let limits = UploadLimits { size: 10, ..UploadLimits::default() };
    assert!(receive_in(&body, 100, &limits).unwrap_err().is_too_large());
}

#[test]
fn c024_many_parts_are_refused_quickly() {
    let mut body = form();
    for _ in 0..100_000 {
        body = body.field("classifiers", "");
    }
    body.refused("more than 1000 parts");
}

#[test]
fn the_receiver_can_move_to_a_blocking_thread() {
    fn is_send<T: Send>() {}
    is_send::<Receiver>();
    is_send::<crate::upload::Upload>();
    fn is_shared<T: Send + Sync>() {}
    is_shared::<crate::upload::RebuiltBody>();
}

#[test]
fn only_a_foreign_media_type_is_415_and_only_the_disk_is_our_fault() {
    let limits = UploadLimits::default();
    let unsupported = Receiver::new(b"application/json", &limits, &std::env::temp_dir()).err().unwrap();
    assert!(unsupported.is_unsupported_media_type() && !unsupported.is_spool_failure());
    check_message(&unsupported, "multipart/form-data");
    let mut receiver = Receiver::new(
        b"multipart/form-data; boundary=XBX",
        &UploadLimits { spool_memory: 0, ..limits },
        std::path::Path::new("/nonexistent"),
    )
    .unwrap();
    let error = receiver.push(&own().end()).unwrap_err();
    assert!(error.is_spool_failure() && !error.is_too_large());
    check_message(&error, "try again later");
}

/// What an upload came to, for comparison.
fn outcome(body: &[u8], piece: usize, limits: &UploadLimits) -> Result<(String, String, u64), String> {
    receive_in(body, piece, limits)
        .map(|upload| (upload.file_name().to_owned(), upload.sha256().to_owned(), upload.size()))
        .map_err(|error| error.to_string())
}

fn spoiled_bodies() -> Vec<Vec<u8>> {
    let body = own().end();
    vec![
        body.clone(),
        own_wheel(&wheel("own", "1.0")).field("attestations", "[]").end(),
        replaced(&body, "own", "vic"),
        replaced(&body, "\r\n\r\n", "\n\n"),
        replaced(&body, "--XBX--", "--XBX-"),
        own().field("name", "own").end(),
        victim().end(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn c067_the_size_of_the_pieces_does_not_matter(
        which in 0usize..7, piece in 1usize..300, memory in 0usize..400, size in 500u64..5000,
    ) {
        let body = &spoiled_bodies()[which];
        let limits = UploadLimits { spool_memory: memory, size, ..UploadLimits::default() };
        prop_assert_eq!(outcome(body, piece, &limits), outcome(body, body.len(), &limits));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = receive(&bytes);
    }

    #[test]
    fn no_change_of_a_good_upload_panics(
        at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<proptest::sample::Index>(), wheels in any::<bool>(),
    ) {
        let mut body = if wheels { own_wheel(&wheel("own", "1.0")).end() } else { own().end() };
        let at = at.index(body.len());
        body[at] = byte;
        let cut = cut.index(body.len());
        let _ = receive(&body);
        body.remove(cut);
        let _ = receive(&body);
    }

    #[test]
    fn no_change_of_a_good_archive_panics(
        at in any::<proptest::sample::Index>(), byte in any::<u8>(), wheels in any::<bool>(),
    ) {
        let mut package = if wheels { wheel("own", "1.0") } else { tar(&[("own-1.0/PKG-INFO", metadata("own", "1.0").as_bytes())]) };
        let at = at.index(package.len());
        package[at] = byte;
        let _ = if wheels { own_wheel(&package) } else { own_sdist(&gzip(&package)) }.receive();
    }
}
