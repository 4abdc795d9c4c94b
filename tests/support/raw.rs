//! HTTP/1.1 by hand, one byte after the other: what no well-behaved client library would send, and all of what
//! the other side answers.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;

use super::package::Package;
use super::tls::Authority;
use super::{hex, random};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, plain or TLS.
pub struct Wire {
    stream: Stream,
    received: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Connects to `http://host:port` or, trusting only `authority`, to `https://host:port`.
    #[track_caller]
    pub fn open(url: &str, authority: Option<&Authority>) -> Self {
        let (scheme, rest) = url.split_once("://").expect("a URL has a scheme");
        let address = rest.split('/').next().expect("split gives one at least");
        let tcp = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        tcp.set_read_timeout(Some(PATIENCE)).expect("a socket can have a timeout");
        tcp.set_write_timeout(Some(PATIENCE)).expect("a socket can have a timeout");
        tcp.set_nodelay(true).expect("a socket can be quick");
        let stream = match (scheme, authority) {
            ("http", _) => Stream::Plain(tcp),
            ("https", Some(authority)) => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned();
                let name = ServerName::try_from(host).expect("a host name or an address");
                let tls = ClientConnection::new(authority.client_config(), name).expect("the name is valid");
                Stream::Tls(Box::new(StreamOwned::new(tls, tcp)))
            }
            _ => panic!("cannot speak to {url} without an authority to trust"),
        };
        Self { stream, received: Vec::new() }
    }

    /// Sends these very bytes.
    ///
    /// # Errors
    /// The other side no longer listens.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Reads one whole answer, interim answers included.
    ///
    /// # Errors
    /// The connection ended, or was silent for too long, in the middle of it.
    pub fn answer(&mut self) -> io::Result<Answer> {
        self.read_answer(true)
    }

    /// Reads one whole answer to a `HEAD` request.
    ///
    /// # Errors
    /// As for [`Wire::answer`].
    pub fn answer_without_body(&mut self) -> io::Result<Answer> {
        self.read_answer(false)
    }

    /// Sends these bytes and reads one answer; also if the other side answers before it has read all.
    #[track_caller]
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        let sent = self.send(bytes);
        match (self.answer(), sent) {
            (Ok(answer), _) => answer,
            (Err(error), Ok(())) => panic!("no answer: {error}"),
            (Err(error), Err(sending)) => panic!("no answer: {error}; and it could not be sent: {sending}"),
        }
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn finish(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp.shutdown(Shutdown::Write),
            Stream::Tls(tls) => {
                tls.conn.send_close_notify();
                tls.flush()?;
                tls.sock.shutdown(Shutdown::Write)
            }
        }
    }

    /// Breaks the connection off with a reset: what is under way in either direction is lost.
    pub fn reset(self) {
        let at_once = SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
        at_once.expect("a socket can be closed at once");
    }

    /// How long to wait for an answer, instead of the usual patience.
    pub fn wait_at_most(&self, patience: Duration) {
        self.tcp().set_read_timeout(Some(patience)).expect("a socket can have a timeout");
    }

    /// How long to wait until bytes can be sent, instead of the usual patience.
    pub fn push_at_most(&self, patience: Duration) {
        self.tcp().set_write_timeout(Some(patience)).expect("a socket can have a timeout");
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// Everything until the other side closes.
    ///
    /// # Errors
    /// The connection ended badly: reset, or TLS without its last word.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.received)?;
        Ok(std::mem::take(&mut self.received))
    }

    /// Reads some of what comes.
    ///
    /// # Errors
    /// The connection ended badly.
    pub fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    fn read_answer(&mut self, with_body: bool) -> io::Result<Answer> {
        let mut interim = Vec::new();
        loop {
            let head = self.take_through(b"\r\n\r\n")?;
            let mut answer = Answer::parse(&head);
            if (100..200).contains(&answer.status) {
                interim.push(answer.status);
                continue;
            }
            answer.interim = interim;
            if with_body && answer.status != 204 && answer.status != 304 {
                answer.body = self.body(&answer)?;
            }
            return Ok(answer);
        }
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            let mut body = Vec::new();
            loop {
                let line = self.take_through(b"\r\n")?;
                let digits = String::from_utf8_lossy(&line);
                let size = digits.trim_end().split(';').next().unwrap_or_default();
                let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
                if size == 0 {
                    while self.take_through(b"\r\n")? != b"\r\n" {}
                    return Ok(body);
                }
                body.extend(self.take(size)?);
                self.take(2)?;
            }
        }
        match answer.header("content-length") {
            Some(length) => self.take(length.parse().map_err(io::Error::other)?),
            None => self.rest(),
        }
    }

    fn take_through(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.received, end) {
                return self.take(at + end.len());
            }
            self.more()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < length {
            self.more()?;
        }
        let rest = self.received.split_off(length);
        Ok(std::mem::replace(&mut self.received, rest))
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let length = self.stream.read(&mut buffer)?;
        if length == 0 {
            let so_far = String::from_utf8_lossy(&self.received).into_owned();
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed after {so_far:?}")));
        }
        self.received.extend_from_slice(&buffer[..length]);
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// One answer, as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200, 403, …
    pub status: u16,
    /// What stands after the status: the only thing that the users of twine see.
    pub reason: String,
    /// Names as they were written, in their order.
    pub headers: Vec<(String, String)>,
    /// The body without its chunks.
    pub body: Vec<u8>,
    /// The statuses of the interim answers before it.
    pub interim: Vec<u16>,
}

impl Answer {
    /// The value of the first header with this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    fn parse(head: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.trim_end().split("\r\n");
        let mut first = lines.next().unwrap_or_default().splitn(3, ' ').skip(1);
        let status = first.next().and_then(|status| status.parse().ok()).unwrap_or(0);
        let reason = first.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Self { status, reason, headers, body: Vec::new(), interim: Vec::new() }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.status, self.reason)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.text())
    }
}

/// The value of `Authorization` for a user and a password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A request, put together line by line in the given order.
#[derive(Clone)]
pub struct Raw {
    head: Vec<u8>,
    body: Option<Vec<u8>>,
}

impl Raw {
    /// `line` is the request line without the protocol: `GET /alice/prod/`.
    pub fn new(line: &str) -> Self {
        Self { head: format!("{line} HTTP/1.1\r\n").into_bytes(), body: None }
    }

    /// Adds a header line.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a body and its length.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self = self.header("Content-Length", body.len().to_string());
        self.body = Some(body);
        self
    }

    /// Adds a body of unknown length, in chunks of `size` bytes.
    pub fn chunked(mut self, body: &[u8], size: usize) -> Self {
        self = self.header("Transfer-Encoding", "chunked");
        let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        self.body = Some([body.chunks(size).flat_map(chunk).collect(), b"0\r\n\r\n".to_vec()].concat());
        self
    }

    /// Adds a JSON body.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    /// Adds a form as its client sends it.
    pub fn form(self, form: &Form) -> Self {
        self.header("Content-Type", form.content_type()).body(form.bytes())
    }

    /// The bytes of the request.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// Sends it on a connection of its own and reads the answer.
    #[track_caller]
    pub fn send_to(&self, url: &str, authority: Option<&Authority>) -> Answer {
        let head_only = self.head.starts_with(b"HEAD ");
        let has_host = memchr::memmem::find(&self.head, b"\r\nHost: ").is_some();
        let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).expect("a URL has a host");
        let request = if has_host { self.clone() } else { self.clone().header("Host", host) };
        let mut wire = Wire::open(url, authority);
        if head_only {
            wire.send(request.bytes()).expect("a request without body can be sent");
            return wire.answer_without_body().unwrap_or_else(|error| panic!("no answer: {error}"));
        }
        wire.ask(request.bytes())
    }
}

/// A multipart form, part by part in the given order.
#[derive(Clone)]
pub struct Form {
    /// Fixed when the form is made; may be set to anything.
    pub boundary: String,
    /// Each part from its first header to its last byte, without delimiters.
    pub parts: Vec<Vec<u8>>,
}

impl Form {
    /// A form without parts.
    pub fn empty() -> Self {
        Self { boundary: hex(&random::<16>()), parts: Vec::new() }
    }

    /// What twine sends for a file: the file last, with a type.
    pub fn twine(package: &Package) -> Self {
        Self::empty()
            .metadata(package)
            .field("sha256_digest", package.sha256())
            .field("blake2_256_digest", package.blake2_256())
            .field(":action", "file_upload")
            .field("protocol_version", "1")
            .typed_file(&package.file_name, &package.bytes)
    }

    /// What uv sends for a file: digests first, the file without a type, attestations after it.
    pub fn uv(package: &Package) -> Self {
        Self::empty()
            .field(":action", "file_upload")
            .field("sha256_digest", package.sha256())
            .field("blake2_256_digest", package.blake2_256())
            .field("protocol_version", "1")
            .metadata(package)
            .file(&package.file_name, &package.bytes)
    }

    /// Adds a field.
    pub fn field(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value)
    }

    /// Adds the file, without a type.
    pub fn file(self, file_name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let disposition =
            format!("Content-Disposition: form-data; name=\"content\"; filename=\"{file_name}\"");
        self.part(&disposition, bytes)
    }

    /// Adds the file, with a type.
    pub fn typed_file(self, file_name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let disposition =
            format!("Content-Disposition: form-data; name=\"content\"; filename=\"{file_name}\"");
        self.part(&format!("{disposition}\r\nContent-Type: application/octet-stream"), bytes)
    }

    /// Adds a part with any headers.
    pub fn part(mut self, headers: &str, value: impl AsRef<[u8]>) -> Self {
        let mut part = format!("{headers}\r\n\r\n").into_bytes();
        part.extend_from_slice(value.as_ref());
        self.parts.push(part);
        self
    }

    /// Gives the field `name` another value, where it stands.
    #[track_caller]
    pub fn replace(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let at = self.position(name).unwrap_or_else(|| panic!("the form has no {name}"));
        let replaced = Self::empty().field(name, value).parts.remove(0);
        self.parts[at] = replaced;
        self
    }

    /// Takes the field `name` out.
    #[track_caller]
    pub fn without(mut self, name: &str) -> Self {
        let at = self.position(name).unwrap_or_else(|| panic!("the form has no {name}"));
        self.parts.remove(at);
        self
    }

    /// What belongs into the `Content-Type` of the request.
    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// The body of the request.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for part in &self.parts {
            body.extend_from_slice(format!("--{}\r\n", self.boundary).as_bytes());
            body.extend_from_slice(part);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        body
    }

    fn metadata(self, package: &Package) -> Self {
        self.field("metadata_version", "2.1")
            .field("name", &package.project)
            .field("version", &package.version)
            .field("filetype", package.file_type())
            .field("pyversion", package.python_version())
    }

    fn position(&self, name: &str) -> Option<usize> {
        let wanted = format!("Content-Disposition: form-data; name=\"{name}\"");
        self.parts.iter().position(|part| part.starts_with(wanted.as_bytes()))
    }
}
