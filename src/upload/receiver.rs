//! Reads the body of an upload as it arrives, in pieces of any size, by a grammar with one reading:
//!
//! ```text
//! body   = [CRLF] "--" boundary CRLF part *( delimiter CRLF part ) delimiter "--" [CRLF]
//! part   = 1*( header CRLF ) CRLF *OCTET          ; without the delimiter
//! delimiter = CRLF "--" boundary
//! ```
//!
//! No preamble, no epilogue, no blanks after a boundary, no bare LF (RFC 2046 allows the first three).

use std::path::Path;

use super::UploadError;
use super::check::{self, Upload};
use super::delimiter::Delimiter;
use super::digests::Sha256;
use super::fields::{Form, Slot};
use super::limits::UploadLimits;
use super::media_type;
use super::part::{self, PartError};
use super::spool::Spool;

/// Takes an upload in, piece by piece. Feed it on a thread that may block: it hashes and writes to disk.
///
/// How the input is cut into pieces makes no difference. After an error the receiver is of no further use.
pub struct Receiver {
    limits: UploadLimits,
    delimiter: Delimiter,
    state: State,
    received: u64,
    parts: usize,
    form: Form,
    content: Spool,
    sha256: Sha256,
}

/// Where in the grammar the input stands.
enum State {
    /// Before the first boundary, with so many bytes of the delimiter seen. `None` before the first byte.
    Opening(Option<usize>),
    /// Behind a delimiter, perhaps with one of the two bytes that decide.
    Delimited(Option<u8>),
    /// In the header lines of a part.
    Head(Vec<u8>),
    /// In the value of a field.
    Value(Slot, Vec<u8>),
    /// In the package file.
    Content,
    /// Behind the closing delimiter, with so many bytes of a last CRLF seen.
    Closed(usize),
    /// An error has been returned.
    Failed,
}

impl Receiver {
    /// Prepares for a body with this `Content-Type`. What does not fit in memory goes to a file in `spool_dir`.
    pub fn new(content_type: &[u8], limits: &UploadLimits, spool_dir: &Path) -> Result<Self, UploadError> {
        let boundary = media_type::boundary(content_type)?;
        Ok(Self {
            delimiter: Delimiter::new(&boundary),
            state: State::Opening(None),
            received: 0,
            parts: 0,
            form: Form::new(limits.field_bytes),
            content: Spool::new(limits.spool_memory, spool_dir.to_owned()),
            sha256: Sha256::new(),
            limits: limits.clone(),
        })
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), UploadError> {
        let result = self.take(chunk);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    /// Ends the body, and checks all that can only be checked in a whole upload.
    pub fn finish(self) -> Result<Upload, UploadError> {
        match self.state {
            State::Closed(0 | 2) => {}
            State::Closed(_) => return Err(UploadError::Epilogue),
            _ => return Err(UploadError::Unfinished),
        }
        let content = self.content.seal().map_err(UploadError::Spool)?;
        check::upload(self.form, content, self.sha256.finish(), &self.limits)
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), UploadError> {
        let room = usize::try_from(self.limits.size - self.received).unwrap_or(usize::MAX);
        let (mut input, too_much) = chunk.split_at(chunk.len().min(room));
        self.received += input.len() as u64;
        while !input.is_empty() {
            let used = self.step(input)?;
            input = &input[used..];
        }
        if too_much.is_empty() { Ok(()) } else { Err(UploadError::TooLarge { limit: self.limits.size }) }
    }

    /// Uses at least one byte of the input, and says how many.
    fn step(&mut self, input: &[u8]) -> Result<usize, UploadError> {
        match &mut self.state {
            State::Opening(matched) => {
                let next = opening(self.delimiter.text(), *matched, input[0])?;
                let complete = next == self.delimiter.text().len();
                self.state = if complete { State::Delimited(None) } else { State::Opening(Some(next)) };
                Ok(1)
            }
            State::Delimited(first) => {
                self.state = match (*first, input[0]) {
                    (None, byte) => State::Delimited(Some(byte)),
                    (Some(b'\r'), b'\n') => self.new_part()?,
                    (Some(b'-'), b'-') => State::Closed(0),
                    _ => return Err(UploadError::Delimiter),
                };
                Ok(1)
            }
            State::Head(head) => {
                let (used, complete) = collect_head(head, input, self.limits.part_head)?;
                if complete {
                    self.state = match self.form.open(part::parse(head)?)? {
                        Slot::Content => State::Content,
                        slot @ (Slot::Keep(_) | Slot::Drop(_)) => State::Value(slot, Vec::new()),
                    };
                }
                Ok(used)
            }
            State::Value(_, value) => {
                let form = &mut self.form;
                let end = self.delimiter.scan(input, |data| {
                    form.charge(data.len())?;
                    value.extend_from_slice(data);
                    Ok::<_, UploadError>(())
                })?;
                if end.is_some() {
                    self.end_value()?;
                }
                Ok(end.unwrap_or(input.len()))
            }
            State::Content => {
                let (content, sha256) = (&mut self.content, &mut self.sha256);
                let end = self.delimiter.scan(input, |data| {
                    sha256.update(data);
                    content.append(data).map_err(UploadError::Spool)
                })?;
                if end.is_some() {
                    self.state = State::Delimited(None);
                }
                Ok(end.unwrap_or(input.len()))
            }
            State::Closed(seen) => {
                if b"\r\n".get(*seen) != Some(&input[0]) {
                    return Err(UploadError::Epilogue);
                }
                *seen += 1;
                Ok(1)
            }
            State::Failed => Err(UploadError::Unfinished),
        }
    }

    fn new_part(&mut self) -> Result<State, UploadError> {
        self.parts += 1;
        if self.parts > self.limits.parts {
            return Err(UploadError::TooManyParts { limit: self.limits.parts });
        }
        Ok(State::Head(Vec::new()))
    }

    fn end_value(&mut self) -> Result<(), UploadError> {
        match std::mem::replace(&mut self.state, State::Delimited(None)) {
            State::Value(Slot::Keep(field), value) => self.form.keep(field, value)?,
            State::Value(Slot::Drop(name), value) => Form::discard(&name, value)?,
            _ => {}
        }
        Ok(())
    }
}

/// How much of the delimiter has been seen with this byte. Its CRLF is optional here (distutils sends it).
fn opening(delimiter: &[u8], matched: Option<usize>, byte: u8) -> Result<usize, UploadError> {
    let at = matched.unwrap_or(if byte == b'\r' { 0 } else { 2 });
    if delimiter[at] == byte { Ok(at + 1) } else { Err(UploadError::Preamble) }
}

/// Adds to the header lines of a part until the empty line, which is left out. Says how much input was used, and
/// whether the head is complete.
fn collect_head(head: &mut Vec<u8>, input: &[u8], limit: usize) -> Result<(usize, bool), PartError> {
    const END: &[u8] = b"\r\n\r\n";
    let before = head.len();
    let room = (limit + END.len() - before).min(input.len());
    head.extend_from_slice(&input[..room]);
    let unseen = before.saturating_sub(END.len() - 1);
    if let Some(at) = memchr::memmem::find(&head[unseen..], END) {
        head.truncate(unseen + at);
        return Ok((unseen + at + END.len() - before, true));
    }
    if head.len() == limit + END.len() { Err(PartError::TooLong { limit }) } else { Ok((room, false)) }
}
