//! Connections: accepted, spoken HTTP/1.1 with, and ended in peace.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::gateway::{Door, Gateway, Live, Peer};
use crate::proxy::Body;

/// How long a connection may wait for its next request. hatch fails if a connection it kept is closed sooner.
const IDLE: Duration = Duration::from_secs(75);
/// The read buffer adapts to the traffic up to here; a request's head must fit, too.
const READ_BUFFER: usize = 256 * 1024;
/// More header fields than any client sends.
const MOST_HEADERS: usize = 100;

/// A listening socket that shares its address with those of the other threads: the kernel spreads connections.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    const BACKLOG: i32 = 1024;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until told to stop, and then waits until every connection has ended.
pub(super) async fn accept(
    listener: std::net::TcpListener,
    live: Rc<Live>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    // Each connection holds a clone, and each request that is carried to its end; the last one to go ends the wait.
    let (open, all_closed) = watch::channel(());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let (live, stop, open) = (Rc::clone(&live), stop.clone(), open.subscribe());
                spawn_local(converse(stream, address, live, stop, open));
            }
            Err(error) => {
                // Out of file descriptors, mostly: connections must end before there can be new ones.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop((listener, all_closed));
    open.closed().await;
    Ok(())
}

async fn converse(
    stream: TcpStream,
    address: SocketAddr,
    live: Rc<Live>,
    stop: watch::Receiver<bool>,
    open: watch::Receiver<()>,
) {
    // Cloned, so that a long connection holds on to no configuration.
    let Door { tls, header_timeout } = live.present().door().clone();
    let peer = Peer { address: address.ip().to_canonical(), tls: tls.is_some() };
    _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return speak(stream, peer, header_timeout, live, stop, open).await };
    match timeout(header_timeout, TlsAcceptor::from(tls.server_config()).accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, peer, header_timeout, live, stop, open).await,
        Ok(Err(error)) => tracing::debug!(client = %peer.address, %error, "no TLS"),
        Err(_) => tracing::debug!(client = %peer.address, "the TLS handshake took too long"),
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: Peer,
    header_timeout: Duration,
    live: Rc<Live>,
    mut stop: watch::Receiver<bool>,
    open: watch::Receiver<()>,
) {
    let asked = Rc::new(Cell::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        asked.set(true);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let (gateway, open) = (live.present(), open.clone());
        let answer = async move {
            let answer = gateway.answer(request, peer).await;
            drop(open);
            answer
        };
        async move { Ok::<_, Infallible>(if reads { answer.await } else { carried_to_its_end(answer).await }) }
    });
    let connection = http1::Builder::new()
        // Without a timer the timeout below does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(READ_BUFFER)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let silent = async {
        sleep(header_timeout).await;
        if asked.get() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = silent => return tracing::debug!(client = %peer.address, "no request in time"),
        _ = stop.wait_for(|stop| *stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(client = %peer.address, %error, "a connection ended badly");
    }
}

/// What may change something is finished also when its client goes away: the index may have taken the file, and then the
/// audit must say so.
async fn carried_to_its_end(answer: impl Future<Output = Response<Body>> + 'static) -> Response<Body> {
    spawn_local(answer).await.unwrap_or_else(|_| Gateway::failed())
}
