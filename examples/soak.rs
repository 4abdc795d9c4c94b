//! Does memory stay flat? Sends the same things small and large through the gateway, and compares the most memory that
//! it ever held. Exit 0 only if large costs what small costs.
//!
//! ```sh
//! cargo run --release --example soak             # 2 GB each way; needs 3 GB in the temporary directory
//! cargo run --release --example soak -- 500      # as many megabytes
//! ```
#![expect(clippy::print_stdout, reason = "showing things is what it is for")]
#![expect(clippy::unwrap_used, reason = "whatever goes wrong here ends the measurement")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use support::bare::{Bare, read_head};
use support::claims::Claims;
use support::gateway::{self, Gateway};
use support::package::metadata;
use support::process::scratch_directory;
use support::raw::{Form, Raw, Wire, basic};
use support::stage::{PROJECT, Stage};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

const SMALL: u64 = 10 << 20;
/// How much more memory the large case may take than the small one.
const ALLOWED_KIB: u64 = 64 << 10;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let Some(large) = argument.map_or(Some(2048), |megabytes| megabytes.parse::<u64>().ok()) else {
        println!("the only argument is a number of megabytes");
        return ExitCode::FAILURE;
    };
    if let Err(problem) = gateway::build() {
        println!("{problem}");
        return ExitCode::FAILURE;
    }
    let scratch = scratch_directory();
    let files = [SMALL, large << 20].map(|size| wheel(scratch.path(), size));
    let index = Bare::start(|socket, _| serve(socket));

    println!("{:<28} {:>8} {:>10} {:>12} {:>12} {:>9}", "", "size", "time", "before", "peak", "growth");
    let mut flat = true;
    for (what, transfer) in [
        ("upload with a token", guarded as fn(&Stage, &Path)),
        ("upload with a password", relayed),
        ("download", downloaded),
    ] {
        let peaks = [0, 1].map(|case| measure(what, &index, &files[case], transfer));
        let more = peaks[1].saturating_sub(peaks[0]);
        if more > ALLOWED_KIB {
            println!("{what}: {more} KiB more for the large one, allowed are {ALLOWED_KIB}");
            flat = false;
        }
    }
    if flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Transfers a file through a gateway of its own; gives the growth of its memory in KiB.
fn measure(what: &str, index: &Bare, file: &Path, transfer: fn(&Stage, &Path)) -> u64 {
    let declare = |setup: gateway::Setup| {
        setup.also("[limits]\nupload_size = \"100GiB\"").upstream("index", "generic", index.url())
    };
    let stage = Stage::set(|setup| declare(setup).index("prod", "index", "/root/prod/"), "/root/prod/");
    // Whatever is made once is not what is measured.
    assert_eq!(stage.gateway.ask(&Raw::new("GET /0")).status, 200);
    let before = kib(&stage.gateway, "VmRSS");
    let begun = Instant::now();
    transfer(&stage, file);
    let (seconds, peak) = (begun.elapsed().as_secs_f64(), kib(&stage.gateway, "VmHWM"));
    let (size, growth) = (file.metadata().unwrap().len() >> 20, peak.saturating_sub(before));
    println!("{what:<28} {size:>5} MB {seconds:>8.2} s {before:>8} KiB {peak:>8} KiB {growth:>5} KiB");
    growth
}

/// From /proc: `VmRSS` is what is held now, `VmHWM` the most that ever was.
fn kib(gateway: &Gateway, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

fn guarded(stage: &Stage, file: &Path) {
    let token = stage.gateway.upload_token(&stage.github, &Claims::github());
    upload(stage, file, &basic("__token__", &token));
}

fn relayed(stage: &Stage, file: &Path) {
    upload(stage, file, &basic("bob", "bob"));
}

/// Streams the form from disk: it may be larger than our own memory.
fn upload(stage: &Stage, file: &Path, authorization: &str) {
    let name = file.file_name().unwrap().to_str().unwrap();
    let form = Form::empty()
        .field(":action", "file_upload")
        .field("name", PROJECT.0)
        .field("version", PROJECT.1)
        .field("filetype", "bdist_wheel")
        .file(name, b"");
    let body = form.bytes();
    let (start, end) = body.split_at(body.len() - format!("\r\n--{}--\r\n", form.boundary).len());
    let length = body.len() as u64 + file.metadata().unwrap().len();
    let head = Raw::new("POST /root/prod/").header("Host", "h").header("Authorization", authorization);
    let head = head.header("Content-Type", form.content_type()).header("Content-Length", length.to_string());
    let mut wire = stage.gateway.wire();
    wire.send(head.bytes()).unwrap();
    wire.send(start).unwrap();
    let mut file = File::open(file).unwrap();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            length => wire.send(&buffer[..length]).unwrap(),
        }
    }
    wire.send(end).unwrap();
    let answer = wire.answer().unwrap();
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer.text().parse::<u64>().unwrap() >= length - 1024, "the index got {answer}");
}

fn downloaded(stage: &Stage, file: &Path) {
    let size = file.metadata().unwrap().len();
    let mut wire = stage.gateway.wire();
    wire.send(Raw::new(&format!("GET /{size}")).header("Host", "h").bytes()).unwrap();
    skip_head(&mut wire);
    let mut left = size;
    let mut buffer = vec![0; 256 << 10];
    while left > 0 {
        let length = wire.read_some(&mut buffer).unwrap();
        assert!(length > 0, "{left} bytes are missing");
        left = left.checked_sub(length as u64).unwrap();
    }
}

/// Reads to the end of the head, byte for byte, and no further.
fn skip_head(wire: &mut Wire) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(wire.read_some(&mut byte).unwrap(), 1);
        head.push(byte[0]);
    }
}

/// The index: swallows what is uploaded and tells how much it was, gives as much as is asked for.
fn serve(socket: &mut TcpStream) -> io::Result<()> {
    loop {
        let (head, body) = read_head(socket)?;
        let Some(line) = head.lines().next() else { return Ok(()) };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        if let Some(size) = line.strip_prefix("GET /").and_then(|rest| number(rest.split(' ').next()?)) {
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")?;
            io::copy(&mut BufReader::with_capacity(256 << 10, io::repeat(b'x').take(size)), socket)?;
        } else {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ").and_then(number))
                .unwrap_or(0);
            let rest = length.saturating_sub(body.len() as u64);
            let received = body.len() as u64
                + io::copy(
                    &mut BufReader::with_capacity(256 << 10, (&mut *socket).take(rest)),
                    &mut io::sink(),
                )?;
            let received = received.to_string();
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{received}", received.len())?;
        }
    }
}

/// A wheel with `size` bytes that are not compressed.
fn wheel(directory: &Path, size: u64) -> PathBuf {
    let directory = directory.join(size.to_string());
    fs::create_dir(&directory).unwrap();
    let (stem, version) = (PROJECT.0.replace('-', "_"), PROJECT.1);
    let path = directory.join(format!("{stem}-{version}-py3-none-any.whl"));
    let mut archive = zip::ZipWriter::new(BufWriter::with_capacity(1 << 20, File::create(&path).unwrap()));
    let stored = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .large_file(size >= 1 << 32);
    archive.start_file(format!("{stem}/payload.bin"), stored).unwrap();
    io::copy(&mut BufReader::with_capacity(1 << 20, io::repeat(b'x').take(size)), &mut archive).unwrap();
    let info = format!("{stem}-{version}.dist-info");
    for (name, text) in [
        ("METADATA", metadata(PROJECT.0, version)),
        ("WHEEL", "Wheel-Version: 1.0\n".to_owned()),
        ("RECORD", String::new()),
    ] {
        archive.start_file(format!("{info}/{name}"), stored).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    path
}
