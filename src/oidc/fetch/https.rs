//! One GET over TLS, and nothing more: no redirects, no compression, no connection kept, a limited answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, DATE, HOST, USER_AGENT,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::FetchError;
use crate::clock::Timestamp;
use crate::oidc::url::HttpsUrl;
use crate::tls::TlsRoots;

/// An answer with status 200.
pub(super) struct Answer {
    pub body: Bytes,
    pub max_age: Option<Duration>,
    /// The server's time.
    pub date: Option<Timestamp>,
}

/// Gets a document of at most `limit` bytes.
pub(super) async fn get(url: &HttpsUrl, roots: &TlsRoots, limit: usize) -> Result<Answer, FetchError> {
    let stream = connect(url, roots).await.map_err(|e| FetchError::Connect(url.authority(), e))?;
    let broken = |e: hyper::Error| FetchError::Exchange(url.authority(), e.into());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let _driver = Driver(tokio::spawn(connection).abort_handle());
    let response = sender.send_request(request(url)?).await.map_err(broken)?;
    check_head(url, &response)?;
    let max_age = max_age(response.headers());
    let date = response.headers().get(DATE).and_then(|date| Timestamp::from_http_date(date.to_str().ok()?));
    let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            FetchError::Long(url.to_string())
        } else {
            FetchError::Exchange(url.authority(), error)
        }
    })?;
    Ok(Answer { body: body.to_bytes(), max_age, date })
}

/// Drives a connection until it goes out of scope, however the exchange ends.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connect(url: &HttpsUrl, roots: &TlsRoots) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(url.host().to_owned()).map_err(std::io::Error::other)?;
    let stream = TcpStream::connect((url.host(), url.port())).await?;
    TlsConnector::from(roots.client_config()).connect(name, stream).await
}

fn request(url: &HttpsUrl) -> Result<Request<Empty<Bytes>>, FetchError> {
    Request::get(url.path_and_query())
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("indexgate/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|e| FetchError::Exchange(url.authority(), e.into()))
}

fn check_head(url: &HttpsUrl, response: &Response<Incoming>) -> Result<(), FetchError> {
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(url.to_string(), response.status()));
    }
    let plain = |encoding: &http::HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !response.headers().get_all(CONTENT_ENCODING).iter().all(plain) {
        return Err(FetchError::Encoded(url.to_string()));
    }
    Ok(())
}

/// The `max-age` of an answer (RFC 9111 §5.2.2.1); nothing if it may not be kept or does not say.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let mut directives = lines.flat_map(|line| line.split(',')).map(str::trim);
    let seconds = directives.find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"').parse().ok())?
    })?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_from_any_cache_control_line() {
        for (lines, expected) in [
            (&["max-age=3600"][..], Some(3600)),
            (&["public, Max-Age=60, must-revalidate"], Some(60)),
            (&["public", "max-age=\"7\""], Some(7)),
            (&["no-store"], None),
            (&["max-age=-1"], None),
            (&["max-age=soon"], None),
            (&["s-maxage=9"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_CONTROL, line.parse().unwrap());
            }
            assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{lines:?}");
        }
    }
}
