//! Connections to one upstream, of one serving thread. Nothing here is shared between threads.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::UpstreamError;
use super::body::{Body, BoxError, Silence};
use crate::tls::TlsRoots;

/// Where an upstream listens.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whose certificate it may show, if the URL is https.
    pub tls: Option<TlsRoots>,
}

/// Idle connections, most recently used first.
#[derive(Debug)]
pub struct Pool {
    target: Target,
    /// How long an answer may fall silent.
    silence: Duration,
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

/// How a connection ends, also when this process does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// In the ordinary way.
    Close,
    /// By a reset: pypiserver stores half an upload if its connection ends in the ordinary way.
    Reset,
}

impl Pool {
    /// Connections that are kept; more are closed after their answer.
    const MOST_IDLE: usize = 64;
    /// Index servers close idle connections after 60 s or more; ours are given up well before.
    const LONGEST_IDLE: Duration = Duration::from_secs(20);
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// The adaptive read buffer grows to this size and no further.
    const READ_BUFFER: usize = 256 * 1024;

    /// No connection yet.
    pub fn new(target: Target, silence: Duration) -> Rc<Self> {
        Rc::new(Self { target, silence, idle: RefCell::default() })
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// Only `GET` and `HEAD` without a body use a connection a second time, and only they are repeated if that
    /// connection turns out to be dead: what changes something is sent at most once, on a connection of its own.
    pub async fn send(self: &Rc<Self>, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        if !is_repeatable(&request) {
            let mut sender = self.connect(Ending::Reset).await?;
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            return Ok(response.map(|body| answering(body, None, self.silence)));
        }
        while let Some(mut sender) = self.take_idle() {
            if let Ok(response) = sender.send_request(again(&request)).await {
                return Ok(self.keeping(response, sender));
            }
        }
        let mut sender = self.connect(Ending::Close).await?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        Ok(self.keeping(response, sender))
    }

    /// The answer, and afterwards its connection back into the pool.
    fn keeping(self: &Rc<Self>, response: Response<Incoming>, sender: SendRequest<Body>) -> Response<Body> {
        let lease = Lease { pool: Rc::downgrade(self), sender };
        response.map(|body| answering(body, Some(lease), self.silence))
    }

    fn take_idle(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, since }) = idle.pop() {
            if since.elapsed() < Self::LONGEST_IDLE && sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self, ending: Ending) -> Result<SendRequest<Body>, UpstreamError> {
        let connected = timeout(Self::CONNECT_TIMEOUT, self.connect_with_patience(ending)).await;
        connected.unwrap_or_else(|_| Err(UpstreamError::Connect("timed out".to_owned())))
    }

    async fn connect_with_patience(&self, ending: Ending) -> Result<SendRequest<Body>, UpstreamError> {
        let failed = |error: std::io::Error| UpstreamError::Connect(error.to_string());
        let Target { host, port, tls } = &self.target;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        if ending == Ending::Reset {
            stream.set_zero_linger().map_err(failed)?;
        }
        let Some(roots) = tls else { return handshake(stream).await };
        let name =
            ServerName::try_from(host.clone()).map_err(|error| UpstreamError::Connect(error.to_string()))?;
        handshake(TlsConnector::from(roots.client_config()).connect(name, stream).await.map_err(failed)?)
            .await
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> Result<SendRequest<Body>, UpstreamError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(Pool::READ_BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| UpstreamError::Connect(error.to_string()))?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an upstream connection ended badly");
        }
    });
    Ok(sender)
}

fn broken(error: &hyper::Error) -> UpstreamError {
    use std::error::Error as _;
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    UpstreamError::Broken(format!("{error}{cause}"))
}

fn is_repeatable(request: &Request<Body>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream()
}

fn again(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(super::body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// A connection that goes back to its pool.
struct Lease {
    pool: Weak<Pool>,
    sender: SendRequest<Body>,
}

impl Lease {
    fn give_back(self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < Pool::MOST_IDLE && !self.sender.is_closed() {
            idle.push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}

fn answering(body: Incoming, lease: Option<Lease>, silence: Duration) -> Body {
    let mut answer = Answer { body, lease, silence: Silence::new(silence) };
    answer.give_back_at_end();
    Body::new(answer)
}

/// The body of an upstream's answer. If the upstream breaks off or falls silent, so does the client's answer: never a
/// clean end.
struct Answer {
    body: Incoming,
    lease: Option<Lease>,
    silence: Silence,
}

impl Answer {
    fn give_back_at_end(&mut self) {
        if self.body.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                let stalled = ready!(self.silence.poll_too_long(cx));
                return Poll::Ready(Some(Err(stalled.into())));
            };
            self.silence.end();
            match frame {
                Some(Ok(frame)) if frame.is_trailers() => {}
                Some(Ok(frame)) => {
                    // hyper asks no further once the declared length is reached.
                    self.give_back_at_end();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    if let Some(lease) = self.lease.take() {
                        lease.give_back();
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // While the lease is held there is one more poll to come, which gives the connection back.
        self.lease.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
