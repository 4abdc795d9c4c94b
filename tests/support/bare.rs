//! An upstream that is nothing but a socket: for what a server that reads whole requests cannot show, such as when
//! bytes arrive, and how a connection breaks.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// Listens on loopback and hands each connection to a closure, on a thread of its own. Ends when dropped.
pub struct Bare {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    stopped: AtomicBool,
}

impl Bare {
    /// `serve` gets the socket and the number of its connection, counted from 0. When it returns, the socket closes.
    pub fn start(serve: impl Fn(&mut TcpStream, usize) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let shared = Arc::new(Shared::default());
        let (accepting, serve) = (shared.clone(), Arc::new(serve));
        thread::spawn(move || {
            for socket in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut socket) = socket else { continue };
                let number = accepting.connections.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                thread::spawn(move || {
                    // A client that breaks off is part of what is tested.
                    let _ = serve(&mut socket, number);
                });
            }
        });
        Self { url, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

/// The head of the next request and what of its body came with it. Empty if the connection ended instead.
///
/// # Errors
/// The connection broke.
pub fn read_head(socket: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = memchr::memmem::find(&received, b"\r\n\r\n") {
            let body = received.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&received).into_owned(), body));
        }
        match socket.read(&mut buffer)? {
            0 => return Ok((String::new(), Vec::new())),
            length => received.extend_from_slice(&buffer[..length]),
        }
    }
}

/// Reads until the other side closes; says how much came.
///
/// # Errors
/// The connection broke.
pub fn read_to_end(socket: &mut TcpStream) -> io::Result<usize> {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        match socket.read(&mut buffer)? {
            0 => return Ok(total),
            length => total += length,
        }
    }
}

/// Closes with a reset instead of an end.
pub fn reset(socket: &TcpStream) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
