//! Fetching an issuer's key set: where it is, by discovery, and then the set itself. Only hosts that the
//! configuration names are asked; what they answer cannot send us anywhere else.

mod https;

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::jwks::{BadKeySet, KeySet};
use super::url::{BadUrl, HttpsUrl};
use crate::clock::Timestamp;
use crate::tls::TlsRoots;

/// How to find the keys of an issuer that publishes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    /// The issuer's URL, exactly as its tokens spell it.
    pub issuer: HttpsUrl,
    /// Whose certificates are believed.
    pub roots: TlsRoots,
    /// Hosts (with the port, if it is not 443) besides the issuer's own that may serve its keys.
    pub jwks_hosts: Vec<String>,
}

/// Why there is no new key set.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The issuer did not answer in time.
    #[error("no answer from {0} within {1:?}")]
    Slow(String, Duration),
    /// No connection, or no trusted one.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// The answer broke off or is not HTTP.
    #[error("cannot read from {0}: {1}")]
    Exchange(String, Box<dyn std::error::Error + Send + Sync>),
    /// The answer is not a plain 200. Redirects are among these.
    #[error("{0} answered {1} instead of 200")]
    Status(String, http::StatusCode),
    /// The answer is compressed although that was not offered.
    #[error("{0} answered in an encoding that was not asked for")]
    Encoded(String),
    /// The answer is too long.
    #[error("{0} answered more than 256 KiB")]
    Long(String),
    /// The metadata is not what it should be.
    #[error("metadata of {0} {1}")]
    Metadata(String, &'static str),
    /// The metadata is another issuer's.
    #[error("metadata of {0} belongs to issuer `{other}`", other = crate::names::printable(.1))]
    OtherIssuer(String, String),
    /// The keys are said to be where they must not be looked for.
    #[error("`jwks_uri` {0}")]
    KeysUrl(#[from] BadUrl),
    /// The keys are said to be on a host that is not configured.
    #[error("`jwks_uri` is on `{0}`, which is neither the issuer's host nor in `jwks_host`")]
    KeysHost(String),
    /// The answer is no key set.
    #[error("{0}: {1}")]
    KeySet(String, BadKeySet),
}

/// A key set, and how long its issuer says it may be kept.
pub(super) struct Fetched {
    pub keys: KeySet,
    pub max_age: Option<Duration>,
    pub date: Option<Timestamp>,
}

/// For each of the two requests.
const PATIENCE: Duration = Duration::from_secs(3);
/// For both together: a caller of the mint endpoint gives up after 5 s.
const PATIENCE_FOR_BOTH: Duration = Duration::from_millis(3500);

/// Fetches the key set of an issuer once, for a check of the configuration.
pub async fn fetch_keys(discovery: &Discovery) -> Result<KeySet, FetchError> {
    fetch(discovery).await.map(|fetched| fetched.keys)
}

/// What an issuer answers when it is tried.
#[derive(Debug)]
pub struct IssuerAnswer {
    /// The keys it publishes.
    pub keys: KeySet,
    /// The time that it goes by, if it says so.
    pub date: Option<Timestamp>,
}

/// The same, with the issuer's time.
pub async fn check_issuer(discovery: &Discovery) -> Result<IssuerAnswer, FetchError> {
    fetch(discovery).await.map(|Fetched { keys, date, .. }| IssuerAnswer { keys, date })
}

pub(super) async fn fetch(discovery: &Discovery) -> Result<Fetched, FetchError> {
    let both = async {
        let keys_url = keys_url(discovery).await?;
        let answer = get(&keys_url, &discovery.roots).await?;
        let keys = KeySet::parse(&answer.body).map_err(|e| FetchError::KeySet(keys_url.to_string(), e))?;
        Ok(Fetched { keys, max_age: answer.max_age, date: answer.date })
    };
    let slow = |_| FetchError::Slow(discovery.issuer.to_string(), PATIENCE_FOR_BOTH);
    timeout(PATIENCE_FOR_BOTH, both).await.map_err(slow)?
}

async fn keys_url(discovery: &Discovery) -> Result<HttpsUrl, FetchError> {
    let url = discovery.issuer.discovery()?;
    let answer = get(&url, &discovery.roots).await?;
    read_metadata(&answer.body, discovery)
}

/// Reads where the keys are (OpenID Connect Discovery 1.0 §4.2 and §4.3).
fn read_metadata(text: &[u8], discovery: &Discovery) -> Result<HttpsUrl, FetchError> {
    let bad = |why| FetchError::Metadata(discovery.issuer.to_string(), why);
    let metadata = crate::json::parse(text).map_err(|_| bad("is not JSON"))?;
    let member = |name| metadata.get(name).and_then(Value::as_str);
    let issuer = member("issuer").ok_or_else(|| bad("names no `issuer`"))?;
    if issuer != discovery.issuer.as_str() {
        return Err(FetchError::OtherIssuer(discovery.issuer.to_string(), issuer.to_owned()));
    }
    let keys_url: HttpsUrl = member("jwks_uri").ok_or_else(|| bad("has no `jwks_uri`"))?.parse()?;
    let host = keys_url.authority();
    if host == discovery.issuer.authority()
        || discovery.jwks_hosts.iter().any(|h| h.eq_ignore_ascii_case(&host))
    {
        Ok(keys_url)
    } else {
        Err(FetchError::KeysHost(host))
    }
}

async fn get(url: &HttpsUrl, roots: &TlsRoots) -> Result<https::Answer, FetchError> {
    let slow = |_| FetchError::Slow(url.to_string(), PATIENCE);
    timeout(PATIENCE, https::get(url, roots, KeySet::MAX_LENGTH)).await.map_err(slow)?
}

#[cfg(test)]
mod tests;
