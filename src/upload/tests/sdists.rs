use tar::EntryType;

use super::wheels::own_metadata;
use crate::upload::testing::*;

#[test]
fn sdists_as_build_tools_write_them_are_read() {
    own_sdist(&sdist("own", "1.0")).accepted();
    let info = own_metadata();
    let long = format!("own-1.0/{}/x.py", "deep/".repeat(60));
    let mut gnu = tar::Builder::new(Vec::new());
    append(&mut gnu, EntryType::XGlobalHeader, "pax_global_header", b"12 comment=\n");
    append(&mut gnu, EntryType::Directory, "own-1.0/", b"");
    append(&mut gnu, EntryType::GNULongName, "././@LongLink", format!("{long}\0").as_bytes());
    append(&mut gnu, EntryType::Regular, "own-1.0/cut", b"x");
    append(&mut gnu, EntryType::Symlink, "own-1.0/link", b"");
    append(&mut gnu, EntryType::XHeader, "PaxHeaders/PKG-INFO", b"22 mtime=1700000000.5\n");
    append(&mut gnu, EntryType::Regular, "./own-1.0//PKG-INFO", info.as_bytes());
    own_sdist(&gzip(&gnu.into_inner().unwrap())).accepted();
    let pax = pax_path("own-1.0/PKG-INFO");
    let mut named = tar::Builder::new(Vec::new());
    append(&mut named, EntryType::XHeader, "x", &pax);
    append(&mut named, EntryType::Regular, "own-1.0/cut", info.as_bytes());
    own_sdist(&gzip(&named.into_inner().unwrap())).accepted();
}

fn pax_path(path: &str) -> Vec<u8> {
    let length = path.len() + " path=\n".len() + 2;
    format!("{length} path={path}\n").into_bytes()
}

#[track_caller]
fn refused_with(entries: &[(EntryType, &str, &[u8])], why: &str) {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, EntryType::Regular, "own-1.0/PKG-INFO", own_metadata().as_bytes());
    for (kind, path, data) in entries {
        append(&mut tar, *kind, path, data);
    }
    own_sdist(&gzip(&tar.into_inner().unwrap())).refused(why);
}

#[test]
fn a_second_pkg_info_is_refused_however_it_is_spelled() {
    let victim = metadata("victim", "1.0");
    for path in [
        "own-1.0/PKG-INFO",
        "./own-1.0/PKG-INFO",
        "own-1.0//PKG-INFO",
        "own-1.0/./PKG-INFO",
        "own-1.0/pkg-info",
    ] {
        refused_with(&[(EntryType::Regular, path, victim.as_bytes())], "PKG-INFO stands in it twice");
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Directory] {
        refused_with(&[(kind, "own-1.0/PKG-INFO", b"")], "PKG-INFO stands in it twice");
    }
    let (pax, long) = (pax_path("own-1.0/PKG-INFO"), b"own-1.0/PKG-INFO\0");
    refused_with(&[(EntryType::XHeader, "x", &pax), (EntryType::Regular, "own-1.0/a", b"")], "twice");
    refused_with(&[(EntryType::GNULongName, "x", long), (EntryType::Regular, "own-1.0/a", b"")], "twice");
    own_sdist(&tar_gz(&[("own-1.0/PKG-INFO/x", b"")])).refused("not a plain file");
    let mut linked = tar::Builder::new(Vec::new());
    append(&mut linked, EntryType::Symlink, "own-1.0/PKG-INFO", b"");
    own_sdist(&gzip(&linked.into_inner().unwrap())).refused("not a plain file");
    own_sdist(&tar_gz(&[("own-1.0/pkg-info", own_metadata().as_bytes())])).refused("not a plain file");
    own_sdist(&tar_gz(&[("own-1.0/src/PKG-INFO", own_metadata().as_bytes())])).refused("has no PKG-INFO");
    own_sdist(&gzip(b"")).refused("has no PKG-INFO");
}

#[test]
fn entries_that_tools_read_differently_are_refused() {
    let pax = pax_path("own-1.0/x");
    for (entries, why) in [
        (&[(EntryType::Regular, "victim-1.0/x", &b""[..])][..], "more than one top-level directory"),
        (&[(EntryType::Regular, "own-1.0", b"")], "a file beside its top-level directory"),
        (&[(EntryType::Symlink, "own-1.0", b"")], "a file beside its top-level directory"),
        (&[(EntryType::Regular, "./", b"")], "named like a directory"),
        (&[(EntryType::Symlink, ".", b"")], "a file has no name"),
        (&[(EntryType::Regular, "own-1.0/../x", b"")], "plain relative path"),
        (&[(EntryType::Regular, "/own-1.0/x", b"")], "plain relative path"),
        (&[(EntryType::Regular, "own-1.0/a\\b", b"")], "plain relative path"),
        (&[(EntryType::GNUSparse, "own-1.0/x", b"")], "something other than files"),
        (&[(EntryType::Fifo, "own-1.0/x", b"")], "something other than files"),
        (&[(EntryType::Char, "own-1.0/x", b"")], "something other than files"),
        (&[(EntryType::Continuous, "own-1.0/x", b"")], "something other than files"),
        (&[(EntryType::new(b'?'), "own-1.0/x", b"")], "something other than files"),
        (&[(EntryType::Directory, "own-1.0/x/", b"data")], "has a size"),
        (&[(EntryType::Symlink, "own-1.0/x", b"data")], "has a size"),
        (
            &[(EntryType::XHeader, "x", b"10 size=5\n"), (EntryType::Regular, "own-1.0/x", b"")],
            "changes how a file is read",
        ),
        (&[(EntryType::XHeader, "x", b"21 hdrcharset=BINARY\n")], "changes how a file is read"),
        (&[(EntryType::XHeader, "x", b"26 GNU.sparse.name=own-1.0\n")], ""),
        (&[(EntryType::XHeader, "x", b"25 GNU.sparse.name=own-1\n")], "sparse"),
        (&[(EntryType::XHeader, "x", b"99 path=own-1.0/x\n")], "malformed"),
        (&[(EntryType::XHeader, "x", b"nonsense")], "malformed"),
        (&[(EntryType::XHeader, "x", b"9 path=\0\n")], "malformed"),
        (&[(EntryType::XHeader, "x", b"07 a=b\n")], "malformed"),
        (&[(EntryType::XHeader, "x", b"+7 a=b\n")], "malformed"),
        (&[(EntryType::XGlobalHeader, "g", &pax)], "many files one path"),
        (&[(EntryType::XHeader, "x", &pax), (EntryType::XHeader, "x", &pax)], "two paths"),
        (&[(EntryType::XHeader, "x", &[&pax[..], &pax].concat())], "two paths"),
        (&[(EntryType::XHeader, "x", &pax), (EntryType::GNULongName, "l", b"own-1.0/y\0")], "two paths"),
        (
            &[(EntryType::XHeader, "x", &pax), (EntryType::XGlobalHeader, "g", b"6 a=b\n")],
            "many files one path",
        ),
        (&[(EntryType::XHeader, "x", &pax)], "ends within an entry"),
        (&[(EntryType::GNULongName, "l", b"own-1.0/y\0z\0")], "long file name is malformed"),
        (&[(EntryType::GNULongName, "l", b"")], "long file name is malformed"),
    ] {
        refused_with(entries, why);
    }
}

#[test]
fn header_fields_that_tools_read_differently_are_refused() {
    let spoiled = |change: &dyn Fn(&mut [u8; 512])| {
        let mut header = tar::Header::new_gnu();
        header.set_path("own-1.0/PKG-INFO").unwrap();
        header.set_size(own_metadata().len() as u64);
        change(header.as_mut_bytes());
        header.set_cksum();
        let mut tar = tar::Builder::new(Vec::new());
        tar.append(&header, own_metadata().as_bytes()).unwrap();
        own_sdist(&gzip(&tar.into_inner().unwrap()))
    };
    spoiled(&|_| {}).accepted();
    spoiled(&|block| block[345] = b'v').refused("mixes two tar formats");
    spoiled(&|block| block[124..136].copy_from_slice(b"0x000000100\0")).refused("");
    spoiled(&|block| block[124] = b'+').refused("not an octal number");
    spoiled(&|block| {
        block[124..136].fill(0);
        block[124] = 0x80;
    })
    .refused("not an octal number");
}

#[test]
fn c063_nothing_follows_the_end_of_an_sdist() {
    let inner = tar(&[("own-1.0/PKG-INFO", own_metadata().as_bytes())]);
    let good = gzip(&inner);
    own_sdist(&[&good[..], b"x"].concat()).refused("data behind its end");
    own_sdist(&[&good[..], &good].concat()).refused("data behind its end");
    own_sdist(&gzip(&[&inner[..], &[0; 10_240]].concat())).accepted();
    own_sdist(&gzip(&[&inner[..], &[0; 512], b"x"].concat())).refused("data behind its end");
    own_sdist(&gzip(&[&inner[..], &inner].concat())).refused("data behind its end");
    own_sdist(&good[..good.len() - 1]).refused("is damaged");
    own_sdist(&gzip(&inner[..700])).refused("is damaged");
    own_sdist(&gzip(&[b'x'; 2000])).refused("is damaged");
    let mut wrong_checksum = good.clone();
    let at = good.len() - 8;
    wrong_checksum[at] ^= 1;
    own_sdist(&wrong_checksum).refused("is damaged");
    own_sdist(&gzip(&good)).refused("");
}
