//! The only place that knows status codes and public words: what each refusal looks like to whoever is refused.

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;
use serde_json::{Value, json};

use super::body::{Body, whole};
use super::{ExchangeRefusal, Refusal, UpstreamError};
use crate::token::{BadCredential, BadToken};

/// A JSON answer of the gateway itself.
pub fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = text(status, "application/json", value.to_string());
    // `message` and friends are for programs; the type must stand alone, uv compares it as a whole.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a refused request, worded three times: in the reason phrase, which is all that twine, pdm, hatch and
/// flit show; in JSON, of which uv shows `code`; in the title of a page, of which maturin shows it.
pub fn refused(refusal: &Refusal, reference: &str, asked: &HeaderMap) -> Response<Body> {
    let status = status_of(refusal);
    let words = format!("{} (reference {reference})", public_words(refusal));
    let line = one_line(&words);
    let mut response = if prefers_json(asked) {
        let code = format!("{} {line}", status.as_u16());
        json(status, &json!({"message": line, "code": code, "title": title(status), "reference": reference}))
    } else if status == StatusCode::FORBIDDEN {
        let line = html(&line);
        text(
            status,
            "text/html; charset=utf-8",
            format!("<!doctype html><title>{line}</title><p>{line}</p>\n"),
        )
    } else {
        text(status, "text/plain; charset=utf-8", format!("{line}\n"))
    };
    if let Ok(reason) = ReasonPhrase::try_from(reason_phrase(&line)) {
        response.extensions_mut().insert(reason);
    }
    match refusal {
        Refusal::Method => set(&mut response, ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        Refusal::Store(_) | Refusal::Audit => set(&mut response, RETRY_AFTER, "5"),
        _ => {}
    }
    response
}

/// The answer to a refused exchange: PyPI's shape and RFC 9457's in one object.
pub fn exchange_refused(refusal: &ExchangeRefusal, reference: &str) -> Response<Body> {
    let (status, _) = exchange_status(refusal);
    let message = match refusal {
        ExchangeRefusal::NotFound
        | ExchangeRefusal::NotSetUp
        | ExchangeRefusal::NoIndex
        | ExchangeRefusal::NotAcceptable(_)
        | ExchangeRefusal::Method(_) => refusal.to_string(),
        _ => "Token request failed".to_owned(),
    };
    let description = exchange_words(refusal, reference);
    let mut response = json(
        status,
        &json!({
            "message": message,
            "errors": exchange_errors(refusal, reference),
            "type": "about:blank",
            "title": message,
            "status": status.as_u16(),
            "detail": description,
            "reference": reference,
        }),
    );
    match refusal {
        ExchangeRefusal::RateLimited(seconds) => set(&mut response, RETRY_AFTER, &seconds.to_string()),
        ExchangeRefusal::Unavailable(_) => set(&mut response, RETRY_AFTER, "5"),
        ExchangeRefusal::Method(allowed) => set(&mut response, ALLOW, allowed),
        _ => {}
    }
    response
}

/// The `errors` of a refused exchange.
pub fn exchange_errors(refusal: &ExchangeRefusal, reference: &str) -> Value {
    json!([{"code": exchange_status(refusal).1, "description": exchange_words(refusal, reference)}])
}

fn exchange_words(refusal: &ExchangeRefusal, reference: &str) -> String {
    let words = match refusal {
        ExchangeRefusal::MalformedToken(_) => "malformed JWT".to_owned(),
        ExchangeRefusal::InvalidToken(_) => "malformed or invalid token".to_owned(),
        _ => refusal.to_string(),
    };
    one_line(&format!("{words} (reference {reference})"))
}

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::BadTarget(_) | Refusal::BadHead(_) | Refusal::UploadPath { .. } | Refusal::Aborted => {
            StatusCode::BAD_REQUEST
        }
        Refusal::TargetTooLong => StatusCode::URI_TOO_LONG,
        Refusal::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Refusal::Expectation => StatusCode::EXPECTATION_FAILED,
        Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::NoUpstream => StatusCode::NOT_FOUND,
        Refusal::Credential(credential) => match credential {
            BadCredential::Repeated | BadCredential::Mixed => StatusCode::BAD_REQUEST,
            BadCredential::Misplaced | BadCredential::IdentityToken => StatusCode::FORBIDDEN,
        },
        Refusal::Token(BadToken::Invalid | BadToken::Expired | BadToken::Revoked | BadToken::Used)
        | Refusal::NotAnUpload { .. }
        | Refusal::NotPermitted(_)
        | Refusal::NoPasswords { .. }
        | Refusal::ClosedIndex { .. } => StatusCode::FORBIDDEN,
        Refusal::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Upload(error) if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Upload(error) if error.is_unsupported_media_type() => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::Upload(error) if error.is_disk_full() => StatusCode::INSUFFICIENT_STORAGE,
        Refusal::Upload(error) if error.is_spool_failure() => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Upload(_) => StatusCode::BAD_REQUEST,
        Refusal::Stalled => StatusCode::REQUEST_TIMEOUT,
        Refusal::Store(_) | Refusal::Audit => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Upstream { error: UpstreamError::Slow(_), .. } => StatusCode::GATEWAY_TIMEOUT,
        Refusal::Upstream { .. } => StatusCode::BAD_GATEWAY,
        Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a stranger may read. Where the log says more, such as an address inside the network, the public words are others.
fn public_words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Store(_) => "the gateway's store is unavailable; try again in a moment".to_owned(),
        Refusal::Audit => "the gateway's audit cannot be written; tell its administrator".to_owned(),
        Refusal::Upload(error) if error.is_disk_full() => {
            "the gateway has no room to receive the upload; tell its administrator".to_owned()
        }
        Refusal::Upload(error) if error.is_spool_failure() => {
            "the gateway cannot keep the upload while it checks it; tell its administrator".to_owned()
        }
        Refusal::Upstream { error, .. } => match error {
            UpstreamError::CredentialRefused(_) => {
                "the index refuses the gateway's credential; tell its administrator".to_owned()
            }
            UpstreamError::Login(_) => {
                "the gateway cannot log in to the index; nothing was sent, try again in a moment".to_owned()
            }
            UpstreamError::Slow(_) => {
                "the index did not answer in time; look whether the file is there".to_owned()
            }
            UpstreamError::Connect(_) => "the index cannot be reached; try again later".to_owned(),
            UpstreamError::Broken(_) => {
                "the index broke the connection; look whether the file is there".to_owned()
            }
            UpstreamError::NotPermitted => "the gateway failed; tell its administrator".to_owned(),
            UpstreamError::Switch => "the index answered with a protocol switch".to_owned(),
            UpstreamError::Redirect(_) => {
                "the index answered the upload with a redirect; tell the gateway's administrator".to_owned()
            }
            UpstreamError::Failed(status) => format!("the index failed to take the upload (HTTP {status})"),
        },
        _ => refusal.to_string(),
    }
}

const fn exchange_status(refusal: &ExchangeRefusal) -> (StatusCode, &'static str) {
    match refusal {
        ExchangeRefusal::InvalidPayload(_) | ExchangeRefusal::MalformedToken(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid-payload")
        }
        ExchangeRefusal::InvalidToken(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-token"),
        ExchangeRefusal::InvalidPublisher(_) | ExchangeRefusal::UploadNotCovered(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid-publisher")
        }
        ExchangeRefusal::Reused => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-reuse-token"),
        ExchangeRefusal::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate-limited"),
        ExchangeRefusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "temporarily-unavailable"),
        ExchangeRefusal::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, "not-acceptable"),
        ExchangeRefusal::NotFound | ExchangeRefusal::NoIndex => (StatusCode::NOT_FOUND, "not-found"),
        ExchangeRefusal::NotSetUp => (StatusCode::NOT_FOUND, "not-enabled"),
        ExchangeRefusal::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
        ExchangeRefusal::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "invalid-payload"),
    }
}

/// uv asks for JSON first, and shows `code` only if the type is exactly `application/json`.
fn prefers_json(asked: &HeaderMap) -> bool {
    let accept = asked.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = accept.split(',').next().unwrap_or_default();
    first.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Refused")
}

/// One line of printable ASCII, whatever went into the words.
fn one_line(words: &str) -> String {
    words.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// What fits into a reason phrase without upsetting a proxy on the way.
fn reason_phrase(line: &str) -> Vec<u8> {
    const LONGEST: usize = 400;
    line.bytes().take(LONGEST).collect()
}

fn html(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))])
    }

    fn refuse(refusal: &Refusal, accept: &'static str) -> (u16, String, String) {
        let response = refused(refusal, "r3f", &asked(accept));
        let reason = response.extensions().get::<ReasonPhrase>().unwrap().as_bytes().to_vec();
        let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        (response.status().as_u16(), String::from_utf8(reason).unwrap(), kind)
    }

    #[test]
    fn each_client_finds_the_words_where_it_looks() {
        let refusal = Refusal::NotPermitted("no publisher\r\nX: y <é>".to_owned());
        let (status, reason, kind) =
            refuse(&refusal, "application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7");
        assert_eq!((status, reason.as_str()), (403, "no publisher??X: y <?> (reference r3f)"));
        assert_eq!(kind, "application/json", "uv compares the whole value");
        assert_eq!(refuse(&refusal, "*/*").2, "text/html; charset=utf-8", "maturin reads the title of a 403");
        assert_eq!(
            refuse(&Refusal::Aborted, "*/*").2,
            "text/plain; charset=utf-8",
            "flit shows text that is no page"
        );
    }

    #[test]
    fn a_refusal_is_never_mistaken_for_a_file_that_is_there() {
        for refusal in [
            Refusal::NotPermitted("x".to_owned()),
            Refusal::Token(BadToken::Expired),
            Refusal::Credential(BadCredential::Misplaced),
            Refusal::UploadPath { upload_path: "/root/prod/".to_owned() },
        ] {
            let (status, reason, _) = refuse(&refusal, "*/*");
            assert!((400..500).contains(&status) && status != 409);
            assert!(!reason.to_lowercase().contains("already exist"));
        }
    }

    #[test]
    fn an_exchange_is_refused_in_the_shape_every_client_reads() {
        for (refusal, status, code) in [
            (ExchangeRefusal::InvalidPayload("x".to_owned()), 422, "invalid-payload"),
            (ExchangeRefusal::InvalidToken("x".to_owned()), 422, "invalid-token"),
            (ExchangeRefusal::InvalidPublisher("x".to_owned()), 422, "invalid-publisher"),
            (ExchangeRefusal::Reused, 422, "invalid-reuse-token"),
            (ExchangeRefusal::RateLimited(7), 429, "rate-limited"),
            (ExchangeRefusal::Unavailable("x".to_owned()), 503, "temporarily-unavailable"),
            (ExchangeRefusal::NotSetUp, 404, "not-enabled"),
            (ExchangeRefusal::NoIndex, 404, "not-found"),
            (ExchangeRefusal::NotAcceptable("a/b"), 406, "not-acceptable"),
            (ExchangeRefusal::Method("POST"), 405, "method-not-allowed"),
        ] {
            let response = exchange_refused(&refusal, "r3f");
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(exchange_status(&refusal).1, code);
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), matches!(status, 429 | 503));
        }
    }
}
