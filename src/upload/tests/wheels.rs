use std::io::Write;

use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::upload::testing::*;

pub(super) const METADATA: &str = "own-1.0.dist-info/METADATA";

pub(super) fn own_metadata() -> String {
    metadata("own", "1.0")
}

#[test]
fn wheels_as_build_tools_write_them_are_read() {
    own_wheel(&wheel("own", "1.0")).accepted();
    let info = own_metadata();
    let files: &[(&str, &[u8])] = &[("own/x.py", b"x"), ("own/empty", b""), (METADATA, info.as_bytes())];
    own_wheel(&zip_with(SimpleFileOptions::default().large_file(true), files)).accepted();
    own_wheel(&zip_with(SimpleFileOptions::default().compression_method(CompressionMethod::Stored), files))
        .accepted();
    own_wheel(&streamed(files)).accepted();
    own_wheel(&zip_of(&[("Own-1.0.0.dist-info/METADATA", info.as_bytes())])).accepted();
}

/// A zip written without seeking: sizes follow the data.
fn streamed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new_stream(Vec::new());
    for (path, data) in files {
        zip.start_file(*path, SimpleFileOptions::default()).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn c062_a_wheel_has_one_dist_info_and_it_is_its_own() {
    let info = own_metadata();
    let info = info.as_bytes();
    own_wheel(&zip_of(&[("victim-1.0.dist-info/METADATA", info)])).refused("that of another release");
    own_wheel(&zip_of(&[("own-2.0.dist-info/METADATA", info)])).refused("that of another release");
    for second in [
        "victim-1.0.dist-info/METADATA",
        "own-1.0.0.dist-info/x",
        "OWN-1.0.DIST-INFO/METADATA",
        "x.dist-info",
    ] {
        own_wheel(&zip_of(&[(METADATA, info), (second, info)])).refused("two .dist-info directories");
    }
    own_wheel(&zip_of(&[(METADATA, info), ("own-1.0.dist-info/metadata", info)])).refused("capitals");
    own_wheel(&zip_of(&[("own-1.0.dist-info/metadata", info)])).refused("capitals");
    own_wheel(&zip_of(&[("own-1.0.dist-info/WHEEL", info)])).refused("has no METADATA");
    own_wheel(&zip_of(&[("own/own-1.0.dist-info/METADATA", info)])).refused("has no .dist-info directory");
    own_wheel(&zip_of(&[])).refused("");
}

#[test]
fn c057_paths_in_a_wheel_are_plain() {
    for path in ["../x", "/etc/x", "own//x", "./own", "own/../x", "a\\b", "own\0x", "own\n"] {
        own_wheel(&crafted(&[(path, b""), (METADATA, own_metadata().as_bytes())]))
            .refused("not a plain relative path");
    }
    own_wheel(&crafted(&[("own/", b""), (METADATA, own_metadata().as_bytes())])).accepted();
    own_wheel(&crafted(&[("own/x", b""), ("own/x", b""), (METADATA, own_metadata().as_bytes())]))
        .refused("twice");
    own_wheel(&crafted(&[("own", b""), ("own/", b""), (METADATA, own_metadata().as_bytes())]))
        .refused("twice");
}

/// A zip of stored files with any names, without the library's checks.
pub(super) fn crafted(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut data, mut table) = (Vec::new(), Vec::new());
    for (path, bytes) in files {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let size = (bytes.len() as u32).to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend([size, size].concat());
        common.extend((path.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        table.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10]].concat());
        table.extend((data.len() as u32).to_le_bytes());
        table.extend(path.as_bytes());
        data.extend([b"PK\x03\x04", &common[..], path.as_bytes(), bytes].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let end = [
        b"PK\x05\x06\0\0\0\0",
        &count[..],
        &count,
        &(table.len() as u32).to_le_bytes(),
        &(data.len() as u32).to_le_bytes(),
        &[0, 0],
    ];
    [data, table, end.concat()].concat()
}

fn own_crafted() -> Vec<u8> {
    crafted(&[("own/x", b"xyz"), (METADATA, own_metadata().as_bytes())])
}

/// Where the `n`th `what` stands.
pub(super) fn find(bytes: &[u8], what: &[u8], n: usize) -> usize {
    memchr::memmem::find_iter(bytes, what).nth(n).unwrap()
}

#[test]
fn c063_a_zip_that_tools_read_differently_is_refused() {
    let good = own_crafted();
    own_wheel(&good).accepted();
    let end = good.len() - 22;
    let central = find(&good, b"PK\x01\x02", 0);
    let local = find(&good, b"PK\x03\x04", 1);

    own_wheel(&[b"#!/bin/sh\n", &good[..]].concat()).refused("is not a wheel");
    own_wheel(&[b"PK\x03\x04", &good[..]].concat()).refused("");
    own_wheel(&[&good[..], b"x"].concat()).refused("no end record");
    own_wheel(&[&good[..], &good[end..]].concat()).refused("not where it belongs");
    own_wheel(&[&good[..], &good[..]].concat()).refused("not where it belongs");
    own_wheel(&good[..good.len() - 1]).refused("no end record");
    own_wheel(&[&good[..central], b"gap", &good[central..]].concat()).refused("not where it belongs");

    // An end record with a comment that holds the real one.
    let mut commented = [&good[..end], &good[end..end + 20], &[22, 0], &good[end..]].concat();
    own_wheel(&commented).refused("a comment or a second end record");
    commented.truncate(end);
    own_wheel(&[&commented[..], &good[end..end + 20], &[3, 0], b"abc"].concat())
        .refused("a comment or a second");

    let spoil = |at: usize, byte: u8, why: &str| {
        let mut bytes = good.clone();
        assert_ne!(bytes[at], byte);
        bytes[at] = byte;
        own_wheel(&bytes).refused(why);
    };
    spoil(local, b'X', "tables of contents differ");
    spoil(local + 6, 2, "tables of contents differ"); // flags
    spoil(local + 8, 8, "tables of contents differ"); // method
    spoil(local + 14, 1, "tables of contents differ"); // checksum
    spoil(local + 18, 1, "tables of contents differ"); // packed size
    spoil(local + 22, 1, "tables of contents differ"); // size
    spoil(local + 30, b'X', "tables of contents differ"); // name
    spoil(central + 8, 1, "encrypted");
    spoil(central + 8, 64, "encrypted");
    spoil(central + 10, 14, "something else than deflate"); // LZMA
    spoil(central + 20, 2, "two sizes");
    spoil(central + 34, 1, "malformed"); // another disk
    spoil(central + 42, 1, "data between its files"); // offset
    spoil(end + 4, 1, "several disks");
    spoil(end + 8, 1, "several disks");
    spoil(end + 12, 1, "not where it belongs");
    let mut fewer = good.clone();
    (fewer[end + 8], fewer[end + 10]) = (1, 1);
    own_wheel(&fewer).refused("number of files is wrong");
    let checksum = find(&good, b"made by a test", 0);
    spoil(checksum, b'M', "size or checksum");
}

#[test]
fn c063_a_gap_between_files_is_refused() {
    let (one, two) = (crafted(&[("own/x", b"xyz")]), own_crafted());
    let start = find(&two, b"PK\x03\x04", 1);
    let (first, gap) = (&one[..start], b"PK\x03\x04 hidden");
    let end = two.len() - 22;
    let central = find(&two, b"PK\x01\x02", 0);
    let mut gapped = [first, gap, &two[start..]].concat();
    let second_central = find(&gapped, b"PK\x01\x02", 1);
    gapped[second_central + 42] += gap.len() as u8;
    let at = end + gap.len() + 16;
    let moved = (central + gap.len()) as u32;
    gapped[at..at + 4].copy_from_slice(&moved.to_le_bytes());
    own_wheel(&gapped).refused("data between its files");
}

/// The same zip with something before its central directory, which the end record knows of.
fn before_directory(good: &[u8], hidden: &[u8]) -> Vec<u8> {
    let central = find(good, b"PK\x01\x02", 0);
    let mut bytes = [&good[..central], hidden, &good[central..]].concat();
    let at = bytes.len() - 6;
    bytes[at..at + 4].copy_from_slice(&((central + hidden.len()) as u32).to_le_bytes());
    bytes
}

#[test]
fn c063_a_file_that_only_streaming_readers_see_is_refused() {
    own_wheel(&before_directory(&own_crafted(), b"")).accepted();
    own_wheel(&before_directory(&own_crafted(), b"PK\x03\x04 hidden")).refused("data behind its files");
}

#[test]
fn c063_a_file_ends_where_its_compressed_data_does() {
    let good = zip_of(&[(METADATA, own_metadata().as_bytes())]);
    let mut longer = before_directory(&good, b"x");
    longer[18] += 1;
    let central = find(&longer, b"PK\x01\x02", 0);
    longer[central + 20] += 1;
    own_wheel(&longer).refused("data behind its end");
}

#[test]
fn c063_a_zip64_record_that_disagrees_is_refused() {
    let good = own_crafted();
    let end = good.len() - 22;
    let central = find(&good, b"PK\x01\x02", 0) as u64;
    let record = |at: u64, entries: u64| {
        let fields = [entries, entries, end as u64 - central, at].map(u64::to_le_bytes).concat();
        [b"PK\x06\x06", &44u64.to_le_bytes()[..], &[45, 0, 45, 0], &[0; 8], &fields].concat()
    };
    let locator = [b"PK\x06\x07", &[0; 4][..], &(end as u64).to_le_bytes(), &[1, 0, 0, 0]].concat();
    let wheel = |record: &[u8]| [&good[..end], record, &locator, &good[end..]].concat();
    own_wheel(&wheel(&record(central, 2))).accepted();
    own_wheel(&wheel(&record(central - 1, 2))).refused("two end records differ");
    own_wheel(&wheel(&record(central, 3))).refused("two end records differ");
    let spoiled = |at: usize| {
        let mut bytes = wheel(&record(central, 2));
        bytes[end + at] ^= 1;
        own_wheel(&bytes).refused("zip64 end record is not where it belongs");
    };
    [0, 4, 16, 20, 24, 56 + 4, 56 + 8].into_iter().for_each(spoiled);
    own_wheel(&wheel(&[record(central, 2), vec![0; 4]].concat()))
        .refused("zip64 end record is not where it belongs");
}

/// The record of the last file in both tables, with an extra field added.
fn with_extra(good: &[u8], extra: &[u8]) -> Vec<u8> {
    let (local, central, end) = (find(good, b"PK\x03\x04", 1), find(good, b"PK\x01\x02", 1), good.len() - 22);
    let name = METADATA.len();
    let (local_extra, central_extra) = (local + 30 + name, central + 46 + name);
    let mut bytes =
        [&good[..local_extra], extra, &good[local_extra..central_extra], extra, &good[central_extra..]]
            .concat();
    let grown = extra.len() as u8;
    bytes[local + 28] = grown;
    bytes[central + extra.len() + 30] = grown;
    let (size, at) = (end + 2 * extra.len() + 12, end + 2 * extra.len() + 16);
    bytes[size] += grown;
    let moved = (find(good, b"PK\x01\x02", 0) + extra.len()) as u32;
    bytes[at..at + 4].copy_from_slice(&moved.to_le_bytes());
    bytes
}

#[test]
fn c063_extra_fields_cannot_change_a_file() {
    let good = own_crafted();
    own_wheel(&with_extra(&good, b"UT\x01\0x")).accepted();
    for bad in [
        &b"\x75\x70\x01\0x"[..],           // a second name
        b"UT\x02\0x",                      // longer than it is
        b"UT\x01",                         //
        b"\x01\0\x08\0\x01\0\0\0\0\0\0\0", // a size that nothing asks for
        b"\x01\0\0\0\x01\0\x01\0x",        // two of the same
    ] {
        own_wheel(&with_extra(&good, bad)).refused("central directory is malformed");
    }
}

#[test]
fn c063_deflated_metadata_ends_where_its_record_says() {
    let good = wheel("own", "1.0");
    own_wheel(&good).accepted();
    let mut short = good.clone();
    let central = find(&short, b"PK\x01\x02", 2);
    let local = find(&short, b"PK\x03\x04", 2);
    // A size smaller than what it inflates to, in both tables.
    (short[central + 24], short[local + 22]) = (5, 5);
    own_wheel(&short).refused("");
}
