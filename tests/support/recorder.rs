//! An upstream that remembers every byte of every connection and answers what it is told to.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A raw-socket server on loopback. Ends when dropped.
pub struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// One request, byte for byte.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// From the method to the empty line.
    pub head: Vec<u8>,
    /// As it came, chunks and all.
    pub body: Vec<u8>,
}

/// Answers a request on the open socket. An error closes the connection.
pub type Handler = dyn Fn(&Recorded, &mut TcpStream) -> io::Result<()> + Send + Sync;

struct Shared {
    requests: Mutex<Vec<Recorded>>,
    connections: Mutex<Vec<Vec<u8>>>,
    handler: Mutex<Arc<Handler>>,
    stopped: AtomicBool,
}

impl Recorder {
    /// Answers everything with `200 OK` and a short body.
    pub fn start() -> Self {
        Self::start_with(|_, socket| socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"))
    }

    /// Answers as `handler` does.
    pub fn start_with(
        handler: impl Fn(&Recorded, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            connections: Mutex::default(),
            handler: Mutex::new(Arc::new(handler)),
            stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for socket in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(socket) = socket else { continue };
                let shared = accepting.clone();
                thread::spawn(move || shared.serve(socket));
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on answers with these very bytes.
    pub fn answer(&self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.answer_with(move |_, socket| socket.write_all(&bytes));
    }

    /// From now on answers as `handler` does.
    pub fn answer_with(
        &self,
        handler: impl Fn(&Recorded, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) {
        *self.shared.handler.lock().unwrap() = Arc::new(handler);
    }

    /// The whole requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The only request. Panics if there is another number of them.
    #[track_caller]
    pub fn only_request(&self) -> Recorded {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "requests: {requests:?}");
        requests.remove(0)
    }

    /// Every byte of every connection, requests that never became whole included.
    pub fn connections(&self) -> Vec<Vec<u8>> {
        self.shared.connections.lock().unwrap().clone()
    }

    /// Whether any connection carried `needle`.
    pub fn saw(&self, needle: impl AsRef<[u8]>) -> bool {
        self.connections().iter().any(|bytes| memchr::memmem::find(bytes, needle.as_ref()).is_some())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl Recorded {
    /// The request line.
    pub fn line(&self) -> String {
        self.lines().next().unwrap_or_default()
    }

    /// All values of a header, in their order.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let pairs = self.lines().skip(1).filter_map(|line| {
            line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        });
        pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    /// The names of the headers as they were written, in their order.
    pub fn header_names(&self) -> Vec<String> {
        self.lines()
            .skip(1)
            .filter_map(|line| line.split_once(':').map(|(name, _)| name.to_owned()))
            .collect()
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let text = String::from_utf8_lossy(&self.head).into_owned();
        text.trim_end().split("\r\n").map(str::to_owned).collect::<Vec<_>>().into_iter()
    }
}

impl Shared {
    fn serve(&self, mut socket: TcpStream) {
        let connection = {
            let mut connections = self.connections.lock().unwrap();
            connections.push(Vec::new());
            connections.len() - 1
        };
        let mut pending = Vec::new();
        while let Ok(Some(request)) = self.read_request(&mut socket, connection, &mut pending) {
            self.requests.lock().unwrap().push(request.clone());
            let handler = self.handler.lock().unwrap().clone();
            if handler(&request, &mut socket).is_err() {
                break;
            }
        }
        let _ = socket.shutdown(Shutdown::Both);
    }

    /// The next request, or nothing if the connection ended between two.
    fn read_request(
        &self,
        socket: &mut TcpStream,
        connection: usize,
        pending: &mut Vec<u8>,
    ) -> io::Result<Option<Recorded>> {
        let head_length = loop {
            if let Some(at) = memchr::memmem::find(pending, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read(socket, connection, pending)? {
                return Ok(None);
            }
        };
        let rest = pending.split_off(head_length);
        let head = std::mem::replace(pending, rest);
        let mut request = Recorded { connection, head, body: Vec::new() };
        if request.header("expect").is_some() {
            socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body_length = loop {
            if let Some(length) = request.body_length(pending) {
                break length;
            }
            if !self.read(socket, connection, pending)? {
                return Ok(None);
            }
        };
        let rest = pending.split_off(body_length);
        request.body = std::mem::replace(pending, rest);
        Ok(Some(request))
    }

    fn read(&self, socket: &mut TcpStream, connection: usize, pending: &mut Vec<u8>) -> io::Result<bool> {
        let mut buffer = [0; 64 * 1024];
        let length = socket.read(&mut buffer)?;
        self.connections.lock().unwrap()[connection].extend_from_slice(&buffer[..length]);
        pending.extend_from_slice(&buffer[..length]);
        Ok(length > 0)
    }
}

impl Recorded {
    /// How many of the `received` bytes are the body, once all of it is there.
    fn body_length(&self, received: &[u8]) -> Option<usize> {
        if self.header("transfer-encoding").is_none() {
            let length = self.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            return (received.len() >= length).then_some(length);
        }
        let mut at = 0;
        loop {
            let line = memchr::memmem::find(&received[at..], b"\r\n")?;
            let digits = String::from_utf8_lossy(&received[at..at + line]).into_owned();
            let size =
                usize::from_str_radix(digits.split(';').next().unwrap_or_default().trim(), 16).unwrap_or(0);
            at += line + 2 + size + 2;
            if at > received.len() {
                return None;
            }
            if size == 0 {
                return Some(at);
            }
        }
    }
}
