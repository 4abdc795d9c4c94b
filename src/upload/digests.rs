//! The digests of the package file: sha256 while it arrives, the older ones only if nothing better was declared.

use std::fmt::Write as _;
use std::io::{self, Read};

use aws_lc_rs::digest;
use blake2::Blake2b;
use blake2::digest::consts::U32;
use md5::Md5;

use super::UploadError;
use super::fields::{FieldError, Form};
use super::spool::Spooled;

/// Checks what the form declares against the file. sha256 is ours already; md5 and blake2 cost another reading of
/// the file and add nothing once sha256 has been compared, so they are computed only where it is missing.
pub(super) fn check(form: &Form, sha256: &str, content: &Spooled) -> Result<(), UploadError> {
    let md5 = declared(form, "md5_digest", 32)?;
    let blake2 = declared(form, "blake2_256_digest", 64)?;
    if let Some(expected) = declared(form, "sha256_digest", 64)? {
        return compare("sha256_digest", &expected, sha256);
    }
    if let Some(expected) = md5 {
        compare("md5_digest", &expected, &digest_of::<Md5>(content).map_err(UploadError::Spool)?)?;
    }
    if let Some(expected) = blake2 {
        compare(
            "blake2_256_digest",
            &expected,
            &digest_of::<Blake2b<U32>>(content).map_err(UploadError::Spool)?,
        )?;
    }
    Ok(())
}

/// The declared digest in lower case. An empty field declares nothing.
fn declared(form: &Form, field: &'static str, length: usize) -> Result<Option<String>, FieldError> {
    let Some(text) = form.get(field).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() != length || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(FieldError::Value { field, got: text.to_owned(), expected: "a digest in hexadecimal" });
    }
    Ok(Some(text.to_ascii_lowercase()))
}

fn compare(field: &'static str, expected: &str, got: &str) -> Result<(), UploadError> {
    if expected == got { Ok(()) } else { Err(UploadError::Digest { field }) }
}

fn digest_of<D: md5::Digest>(content: &Spooled) -> io::Result<String> {
    let (mut hasher, mut reader, mut buffer) = (D::new(), content.reader(), vec![0; 64 << 10]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            size => hasher.update(&buffer[..size]),
        }
    }
}

/// A sha256 that grows with the file.
pub(super) struct Sha256(digest::Context);

impl Sha256 {
    pub(super) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    pub(super) fn finish(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}
