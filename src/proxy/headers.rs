//! The header policy: which fields a client may bring, which the gateway sets itself, and which come back.

use std::net::IpAddr;

use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{Version, request};

use super::{Refusal, UpstreamKind};

/// Who is on the other side of the connection, and how it reached us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The client's address; behind a trusted proxy, the address that the proxy names.
    pub address: IpAddr,
    /// `https` or `http`, as the client sees it.
    pub scheme: &'static str,
}

/// What the gateway tells an upstream about a request.
#[derive(Clone, Debug)]
pub struct Forwarding<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The public base of this upstream, without the last slash: what its links must begin with.
    pub public_base: &'a str,
    /// The `Host` that the upstream sees.
    pub host: &'a HeaderValue,
    /// The `Host` that the client asked for: what links that an upstream writes must lead to.
    pub public_host: &'a HeaderValue,
    /// What kind of server it is.
    pub kind: UpstreamKind,
}

/// Fields that one hop sends to the next and that never travel further (RFC 9110 §7.6.1). `Expect` is answered by
/// whoever reads the body: us.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields by which some index server lets a proxy say who the user is, where it stands or what the request really
/// means. A client never says this.
const PROXY_ONLY: [&str; 28] = [
    "forwarded",
    "remote-user",
    "remote-groups",
    "remote-email",
    "remote-name",
    "x-client-cert",
    "x-client-ip",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-jfrog-override-base-url",
    "x-method-override",
    "x-original-host",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-outside-url",
    "x-real-ip",
    "x-remote-user",
    "x-remote-groups",
    "x-rewrite-url",
    "x-script-name",
    "x-sso-user",
    "x-true-client-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "x-url-scheme",
    "x-scheme",
];
const PROXY_ONLY_PREFIXES: [&str; 5] =
    ["x-auth-request-", "x-forwarded-", "x-ssl-", "x-webauth-", "x-amzn-oidc-"];

/// Fields that a `Connection` header may not name, because a client would thereby unsay something the decision used.
const END_TO_END: [&str; 12] = [
    "accept",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "if-match",
    "range",
    "user-agent",
    "x-devpi-auth",
    "x-outside-url",
];

/// Whether the name is one that only a proxy sets, so that a configuration may use it for an upstream credential.
pub fn is_identity_header(name: &str) -> bool {
    PROXY_ONLY.contains(&name) || PROXY_ONLY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Refuses a request whose head can be read in two ways. hyper has parsed it by now, more leniently than we are.
pub fn check_request(head: &request::Parts) -> Result<(), Refusal> {
    const LONGEST_TARGET: usize = 8 * 1024;
    const LONGEST_HEAD: usize = 64 * 1024;
    let headers = &head.headers;
    if head.uri.path().len() + head.uri.query().map_or(0, str::len) > LONGEST_TARGET {
        return Err(Refusal::TargetTooLong);
    }
    if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > LONGEST_HEAD {
        return Err(Refusal::HeadTooLarge);
    }
    for name in [HOST, CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT] {
        if headers.get_all(&name).iter().count() > 1 {
            return Err(Refusal::BadHead("a header that may stand once is repeated"));
        }
    }
    check_host(head)?;
    check_framing(head)?;
    check_connection(headers)
}

fn check_host(head: &request::Parts) -> Result<(), Refusal> {
    let host = head.headers.get(HOST);
    // `GET http://host/path` is for forward proxies, and some clients send it to any proxy. `POST host:443` has no path.
    if let Some(authority) = head.uri.authority() {
        let same =
            host.is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()));
        if !same || !matches!(head.uri.scheme_str(), Some("http" | "https")) {
            return Err(Refusal::BadHead("the request target names another host than the Host header"));
        }
    }
    match host {
        None if head.version == Version::HTTP_10 => Ok(()),
        Some(host) if is_host(host.as_bytes()) => Ok(()),
        None | Some(_) => Err(Refusal::BadHead("the Host header is missing or malformed")),
    }
}

fn is_host(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_'))
}

fn check_framing(head: &request::Parts) -> Result<(), Refusal> {
    let headers = &head.headers;
    if let Some(coding) = headers.get(TRANSFER_ENCODING) {
        let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !chunked || headers.contains_key(CONTENT_LENGTH) || head.version == Version::HTTP_10 {
            return Err(Refusal::BadHead("the length of the body is ambiguous"));
        }
    }
    if let Some(length) = headers.get(CONTENT_LENGTH) {
        let digits = length.as_bytes();
        let canonical =
            digits == b"0" || (digits.first() != Some(&b'0') && digits.iter().all(u8::is_ascii_digit));
        if !canonical {
            return Err(Refusal::BadHead("the length of the body is ambiguous"));
        }
    }
    match headers.get(EXPECT) {
        Some(expect) if !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(Refusal::Expectation),
        Some(_) | None => Ok(()),
    }
}

fn check_connection(headers: &HeaderMap) -> Result<(), Refusal> {
    let takes_back = |name: &str| END_TO_END.contains(&name) || is_identity_header(name);
    if nominated(headers).any(|name| takes_back(&name)) {
        return Err(Refusal::BadHead("the Connection header names a header that is not the connection's"));
    }
    Ok(())
}

/// The fields that `Connection` names.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase())
}

/// The fields of a relayed request: what the client sent, less what belongs to this hop and what only a proxy may say,
/// plus what we say as the proxy.
pub fn forwarded(received: &HeaderMap, forwarding: &Forwarding<'_>) -> HeaderMap {
    let dropped: Vec<String> = nominated(received).collect();
    let mut headers = HeaderMap::with_capacity(received.len() + 5);
    for (name, value) in received {
        if travels(name.as_str()) && !dropped.iter().any(|other| other == name.as_str()) {
            headers.append(name.clone(), value.clone());
        }
    }
    introduce(&mut headers, forwarding);
    headers
}

fn travels(name: &str) -> bool {
    // A WSGI server may read `X_Remote_User` as `X-Remote-User`: only names with one spelling pass.
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain && !HOP_BY_HOP.contains(&name) && !is_identity_header(name)
}

/// The fields of a guarded upload: ours, and of the client's own only what changes wording and statistics.
pub fn guarded(received: &HeaderMap, forwarding: &Forwarding<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // pypiserver chooses its answer to a repeated upload by the user agent; devpi answers JSON by `Accept`.
    for name in [ACCEPT, USER_AGENT] {
        if let Some(value) = received.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    introduce(&mut headers, forwarding);
    headers
}

fn introduce(headers: &mut HeaderMap, forwarding: &Forwarding<'_>) {
    let Forwarding { caller, public_base, host, public_host, kind } = forwarding;
    headers.insert(HOST, (*host).clone());
    set(headers, "x-forwarded-for", &caller.address.to_string());
    set(headers, "x-forwarded-proto", caller.scheme);
    headers.insert(HeaderName::from_static("x-forwarded-host"), (*public_host).clone());
    if *kind == UpstreamKind::Devpi {
        // Without it devpi writes `http://` links into its answers, and its client then logs in past the gateway.
        set(headers, "x-outside-url", public_base);
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // An address, a scheme and a configured URL are always printable ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// The fields of an answer that goes back in the relay lane: all but this hop's.
pub fn returned(received: &HeaderMap) -> HeaderMap {
    let dropped: Vec<String> = nominated(received).collect();
    let mut headers = HeaderMap::with_capacity(received.len());
    for (name, value) in received {
        let ambiguous = name == CONTENT_LENGTH && received.contains_key(TRANSFER_ENCODING);
        let of_this_hop = ambiguous
            || [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
            || matches!(name.as_str(), "keep-alive" | "proxy-authenticate" | "proxy-connection");
        if !of_this_hop && !dropped.iter().any(|other| other == name.as_str()) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// The fields of an upstream's answer to a guarded upload that the client gets. Cookies and challenges would be for
/// the gateway's own credential.
pub(super) fn returned_from_guarded(received: &HeaderMap) -> HeaderMap {
    let kept = |name: &HeaderName| {
        [CONTENT_TYPE, CONTENT_LENGTH, DATE].contains(name) || name.as_str().starts_with("x-devpi-")
    };
    let mut headers = HeaderMap::new();
    for (name, value) in received.iter().filter(|(name, _)| kept(name)) {
        headers.append(name.clone(), value.clone());
    }
    debug_assert!(!headers.contains_key(COOKIE));
    headers
}
