//! The body that goes on to the index: our own serialisation of what was understood, never the client's bytes.

use std::fmt::{self, Write as _};
use std::io;

use aws_lc_rs::rand;
use bytes::Bytes;

use super::UploadError;
use super::check::Upload;
use super::digests::hex;
use super::spool::Spooled;

/// A multipart body that every parser in the field reads alike. It can be read as often as needed: an index that
/// asks to log in again gets the same body once more.
pub struct RebuiltBody {
    /// The value of the `Content-Type` header.
    pub content_type: String,
    /// The value of the `Content-Length` header: the bytes in the body.
    pub content_length: u64,
    head: Bytes,
    content: Spooled,
    tail: Bytes,
}

impl Upload {
    /// Writes the form anew: known fields in a fixed order, the package file last, behind a fresh random boundary.
    ///
    /// Indexes that use Python's `cgi` begin a part at `LF "--" boundary LF` anywhere, inside the file too. Nobody
    /// can put a boundary into a file that is drawn after the file has arrived.
    pub fn rebuild(self) -> RebuiltBody {
        let boundary = &self.boundary;
        let head = self.head(boundary);
        let tail = format!("\r\n--{boundary}--\r\n");
        RebuiltBody {
            content_type: format!("multipart/form-data; boundary={boundary}"),
            content_length: head.len() as u64 + self.content.len() + tail.len() as u64,
            head: head.into(),
            content: self.content,
            tail: tail.into(),
        }
    }

    /// All parts before the bytes of the package file.
    fn head(&self, boundary: &str) -> String {
        let mut head = String::new();
        self.each_field(|name, value| {
            let part = [
                "--",
                boundary,
                "\r\nContent-Disposition: form-data; name=\"",
                name,
                "\"\r\n\r\n",
                value,
                "\r\n",
            ];
            head.extend(part);
        });
        let _ = write!(
            head,
            "--{boundary}\r\n\
             Content-Disposition: form-data; name=\"content\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            self.file_name(),
        ); // writing to a String cannot fail
        head
    }

    /// The fields in the order in which they go on. What we know better than the client is ours.
    fn each_field(&self, mut field: impl FnMut(&str, &str)) {
        const OURS: [&str; 6] =
            [":action", "protocol_version", "filetype", "sha256_digest", "md5_digest", "blake2_256_digest"];
        field(":action", "file_upload");
        field("protocol_version", "1");
        for (name, value) in self.fields.iter().filter(|(name, _)| !OURS.contains(name)) {
            field(name, value);
            if *name == "version" {
                field("filetype", self.kind().file_type());
            }
        }
        field("sha256_digest", &self.sha256);
    }
}

/// 128 random bits. INVARIANT: drawn when the file has arrived, not before; [`Upload::rebuild`] relies on it.
pub(super) fn random_boundary() -> Result<String, UploadError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| UploadError::Spool(io::Error::other("no randomness")))?;
    Ok(hex(&bytes))
}

impl RebuiltBody {
    /// Some bytes of the body from `offset`, at most `max`, empty only at its end (or for `max` 0). Blocks on the
    /// disk if the file was too large for memory; shares nothing with other readings.
    pub fn read_at(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        let content_at = self.head.len() as u64;
        let tail_at = content_at + self.content.len();
        if offset < content_at {
            Ok(cut(&self.head, offset, max))
        } else if offset < tail_at {
            self.content.bytes_at(offset - content_at, max)
        } else {
            Ok(cut(&self.tail, offset - tail_at, max))
        }
    }
}

fn cut(bytes: &Bytes, offset: u64, max: usize) -> Bytes {
    let start = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
    bytes.slice(start..bytes.len().min(start.saturating_add(max)))
}

impl fmt::Debug for RebuiltBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RebuiltBody").field("content_length", &self.content_length).finish_non_exhaustive()
    }
}
