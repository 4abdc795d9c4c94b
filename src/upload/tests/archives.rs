use std::io::Write;

use super::wheels::{METADATA, crafted, find, own_metadata};
use crate::upload::UploadLimits;
use crate::upload::testing::*;

#[test]
fn c061_the_metadata_inside_tells_the_same_story() {
    for (name, version) in [("victim", "1.0"), ("own", "2.0"), ("own-other", "1.0")] {
        let inside = metadata(name, version);
        own_wheel(&zip_of(&[(METADATA, inside.as_bytes())])).refused("METADATA in the wheel says");
        own_sdist(&tar_gz(&[("own-1.0/PKG-INFO", inside.as_bytes())])).refused("PKG-INFO in the sdist says");
    }
    own_wheel(&zip_of(&[(METADATA, b"Name: own\nName: victim\nVersion: 1.0\n")]))
        .refused("stands there twice");
    own_sdist(&tar_gz(&[("own-1.0/PKG-INFO", b"Name: own\n\n")])).refused("is missing");
}

#[test]
fn c064_a_file_that_is_zip_and_tar_at_once_is_refused() {
    // A gzip whose last stored block is an end record of a zip.
    let hidden = crafted(&[(METADATA, own_metadata().as_bytes())]);
    let mut stored =
        flate2::GzBuilder::new().extra(hidden_end()).write(Vec::new(), flate2::Compression::default());
    stored.write_all(&tar(&[("own-1.0/PKG-INFO", own_metadata().as_bytes())])).unwrap();
    let mut polyglot = stored.finish().unwrap();
    let at = find(&polyglot, b"PK\x05\x06", 0);
    let comment = (polyglot.len() - at - 22) as u16;
    polyglot[at + 20..at + 22].copy_from_slice(&comment.to_le_bytes());
    own_sdist(&polyglot).refused("it is a zip file as well");
    own_sdist(&hidden).refused("is not a .tar.gz");
    own_wheel(&sdist("own", "1.0")).refused("is not a wheel");
    own_wheel(&tar_and_zip()).refused("it is a tar file as well");
}

fn hidden_end() -> Vec<u8> {
    [b"PK\x05\x06", &[0u8; 18][..]].concat()
}

/// A wheel whose first 512 bytes are a valid tar header.
fn tar_and_zip() -> Vec<u8> {
    // The name of the first file covers the rest of the block; the checksum field lies in it.
    let name = |sum: &str| format!("{}{sum}{}", "n".repeat(148 - 30), "n".repeat(512 - 156));
    let build = |sum: &str| crafted(&[(&name(sum), b""), (METADATA, own_metadata().as_bytes())]);
    let block = build("        ");
    let sum: u32 = block[..512].iter().map(|b| u32::from(*b)).sum();
    build(&format!("{sum:08o}"))
}

fn limited(body: &[u8], limits: &UploadLimits, why: &str) {
    check_message(&receive_in(body, 1 << 16, limits).unwrap_err(), why);
}

#[test]
fn c065_a_bomb_stops_at_the_limits() {
    let limits = UploadLimits::default;
    let zeros = vec![0; 80 << 20];
    let bomb = tar_gz(&[("own-1.0/PKG-INFO", own_metadata().as_bytes()), ("own-1.0/zeros", &zeros)]);
    assert!(bomb.len() < 200_000);
    own_sdist(&bomb).refused("out of proportion");
    own_sdist(&gzip(&zeros)).refused("out of proportion");
    limited(&own().end(), &UploadLimits { inflated: 2048, ..limits() }, "out of proportion");
    limited(&own().end(), &UploadLimits { archive_entries: 2, ..limits() }, "2 files");
    limited(&own().end(), &UploadLimits { metadata: 20, ..limits() }, "20 bytes of PKG-INFO");

    let wheels = || own_wheel(&wheel("own", "1.0")).end();
    limited(&wheels(), &UploadLimits { archive_entries: 3, ..limits() }, "3 files");
    limited(&wheels(), &UploadLimits { archive_directory: 100, ..limits() }, "100 bytes of file names");
    limited(&wheels(), &UploadLimits { metadata: 20, ..limits() }, "20 bytes of METADATA");
    let huge = [own_metadata().as_bytes(), &zeros[..5 << 20]].concat();
    own_wheel(&zip_of(&[(METADATA, &huge)])).refused("bytes of METADATA");
}
