//! PEP 807, a draft: how a client finds the exchange of an index by its upload URL, and what it may ask of a token.
//! Everything that only the draft says is in here, so that this file can follow it.
//!
//! Read as of August 2026: <https://peps.python.org/pep-0807/>.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode, request};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::Gateway;
use crate::names::printable;
use crate::proxy::{
    Arriving, Body, Caller, Endpoint, ExchangeRefusal, IndexRoute, exchange_refused, json as json_answer,
};

/// What the draft calls its answers, and what clients ask for.
const MEDIA_TYPE: &str = "application/vnd.pypi.pytp.v1+json";
const PLAIN_JSON: &str = "application/json";
/// RFC 9457.
const PROBLEM: &str = "application/problem+json";

/// The token dies with the first upload that the index takes.
const SINGLE_USE: &str = "single-use-token";
/// The token can be used until it expires.
const MULTI_USE: &str = "multi-use-token";

impl Gateway {
    /// `GET /.well-known/pytp?discover=…`: where the exchange of the index with this upload path is.
    pub(super) fn discovery(&self, head: &request::Parts) -> Response<Body> {
        match self.discovered(head) {
            Ok(answer) => answer,
            Err(refusal) => as_problem(exchange_refused(&refusal, "-")),
        }
    }

    fn discovered(&self, head: &request::Parts) -> Result<Response<Body>, ExchangeRefusal> {
        if self.setup.issuers.is_empty() {
            return Err(ExchangeRefusal::NotSetUp);
        }
        if ![Method::GET, Method::HEAD].contains(&head.method) {
            return Err(ExchangeRefusal::Method("GET, HEAD"));
        }
        let media_type = accepted(&head.headers)?;
        let path = discovery_key(head.uri.query().unwrap_or_default()).ok_or(ExchangeRefusal::NoIndex)?;
        let index = self.setup.routes.index_at(&path).ok_or(ExchangeRefusal::NoIndex)?;
        // Clients refuse URLs of another host than the one they upload to: they are given the public one.
        let url = |endpoint| format!("{}{}", self.setup.public_url, index.own_path(endpoint));
        let document = json!({
            "audience-endpoint": url(Endpoint::Audience),
            "token-mint-endpoint": url(Endpoint::Mint),
            "features": [SINGLE_USE, MULTI_USE],
            "default-features": [MULTI_USE],
        });
        Ok(with_type(json_answer(StatusCode::OK, &document), media_type))
    }

    /// A step of the exchange at the paths of one index, with the manners of the draft.
    pub(super) async fn step_of_index(
        &self,
        index: &IndexRoute,
        endpoint: Endpoint,
        head: &request::Parts,
        body: Arriving,
        caller: &Caller,
    ) -> Response<Body> {
        let answer = match accepted(&head.headers) {
            Err(refusal) if !self.setup.issuers.is_empty() => exchange_refused(&refusal, "-"),
            Ok(_) | Err(_) => self.step(endpoint, Some(&index.index), &head.method, body, caller).await,
        };
        as_problem(answer)
    }
}

/// Whether the token is for one upload, from `features` of the request. A feature that is not known is refused: who asks
/// for one relies on it.
pub(super) fn single_use(features: Option<&Value>) -> Result<bool, String> {
    let Some(features) = features else { return Ok(false) };
    let list = features.as_array().ok_or("`features` must be a list of strings")?;
    let (mut single, mut multi) = (false, false);
    for feature in list {
        match feature.as_str().ok_or("`features` must be a list of strings")? {
            SINGLE_USE => single = true,
            MULTI_USE => multi = true,
            other => {
                return Err(format!(
                    "there is no feature `{}`; ask for {SINGLE_USE} or {MULTI_USE}",
                    printable(other)
                ));
            }
        }
    }
    if single && multi {
        return Err(format!("{SINGLE_USE} and {MULTI_USE} exclude each other"));
    }
    Ok(single)
}

/// The path that the query asks about. It is decoded once; a `+` is itself, because no upload path has a space.
fn discovery_key(query: &str) -> Option<String> {
    let mut keys = query.split('&').filter_map(|pair| pair.strip_prefix("discover="));
    let key = keys.next()?;
    if keys.next().is_some() {
        return None;
    }
    percent_decode_str(key).decode_utf8().ok().map(Into::into)
}

/// The type of the answer. Without `Accept` it is the draft's own; older clients send `*/*` or ask for plain JSON.
fn accepted(headers: &HeaderMap) -> Result<&'static str, ExchangeRefusal> {
    let mut ranges = Vec::new();
    for value in headers.get_all(ACCEPT) {
        let text = value.to_str().map_err(|_| ExchangeRefusal::NotAcceptable(MEDIA_TYPE))?;
        ranges.extend(text.split(',').map(str::trim).filter(|range| !range.is_empty()));
    }
    if ranges.is_empty() {
        return Ok(MEDIA_TYPE);
    }
    let acceptable = [MEDIA_TYPE, PLAIN_JSON].into_iter().find(|offer| takes(&ranges, offer));
    acceptable.ok_or(ExchangeRefusal::NotAcceptable(MEDIA_TYPE))
}

/// Whether the most specific range that covers a type wants it (RFC 9110 §12.5.1). Parameters other than `q` are not
/// looked at.
fn takes(ranges: &[&str], offer: &str) -> bool {
    let covering = [offer, "application/*", "*/*"];
    let weight = |wanted: &str| {
        ranges.iter().find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next()?.eq_ignore_ascii_case(wanted);
            named.then(|| parts.find_map(quality).unwrap_or(1.0))
        })
    };
    covering.into_iter().find_map(weight).is_some_and(|weight| weight > 0.0)
}

fn quality(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
}

/// The draft wants the media type of RFC 9457 on what is refused; the members are in every refusal.
fn as_problem(answer: Response<Body>) -> Response<Body> {
    if answer.status().is_success() { answer } else { with_type(answer, PROBLEM) }
}

fn with_type(mut answer: Response<Body>, media_type: &'static str) -> Response<Body> {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_discovery_key_is_decoded_once() {
        for (query, path) in [
            ("discover=%2Froot%2Fprod%2F", Some("/root/prod/")),
            ("discover=/root/prod/", Some("/root/prod/")),
            ("x=1&discover=%2Fa%2Bb+c%2F", Some("/a+b+c/")),
            ("discover=%252Froot", Some("%2Froot")),
            ("discover=", Some("")),
            ("discover=%FF", None),
            ("discover=/a/&discover=/b/", None),
            ("Discover=/a/", None),
            ("discover", None),
            ("", None),
        ] {
            assert_eq!(discovery_key(query).as_deref(), path, "{query}");
        }
    }

    #[test]
    fn the_draft_s_type_is_answered_unless_only_plain_json_is_accepted() {
        let check = |accept: &'static [&'static str], expected: Option<&str>| {
            let headers = accept.iter().map(|value| (ACCEPT, HeaderValue::from_static(value))).collect();
            assert_eq!(accepted(&headers).ok(), expected, "{accept:?}");
        };
        check(&[], Some(MEDIA_TYPE));
        check(&[""], Some(MEDIA_TYPE));
        check(&["application/vnd.pypi.pytp.v1+json"], Some(MEDIA_TYPE));
        check(&["Application/VND.pypi.pytp.v1+JSON; q=0.5"], Some(MEDIA_TYPE));
        check(&["*/*"], Some(MEDIA_TYPE));
        check(&["application/*"], Some(MEDIA_TYPE));
        check(&["application/json"], Some(PLAIN_JSON));
        check(&["text/html, application/json;q=0.1"], Some(PLAIN_JSON));
        check(&["text/html", "application/json"], Some(PLAIN_JSON));
        check(&["application/vnd.pypi.pytp.v1+json;q=0, */*"], Some(PLAIN_JSON));
        check(&["text/html"], None);
        check(&["application/vnd.pypi.pytp.v2+json"], None);
        check(&["application/vnd.pypi.pytp.v1+json;q=0"], None);
        check(&["*/*;q=0"], None);
        check(&["text/*"], None);
    }

    #[test]
    fn a_feature_is_known_and_contradicts_no_other() {
        let asked = |features: Value| single_use(Some(&features));
        assert_eq!(single_use(None), Ok(false));
        assert_eq!(asked(json!([])), Ok(false));
        assert_eq!(asked(json!(["multi-use-token"])), Ok(false));
        assert_eq!(asked(json!(["single-use-token", "single-use-token"])), Ok(true));
        for wrong in [
            json!(["single-use-token", "multi-use-token"]),
            json!(["Single-Use-Token"]),
            json!(["x\n"]),
            json!([1]),
            json!("single-use-token"),
            json!(null),
            json!({}),
        ] {
            assert!(asked(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
