//! An address that may be fetched: https, one host, nothing in disguise.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use crate::names::printable;

/// An https URL without user name and fragment. Its text is kept as written, because an issuer's URL is compared
/// byte for byte with the `iss` claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsUrl {
    text: String,
    host: String,
    port: u16,
    path_and_query: String,
}

/// Why a text is not an address that may be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {why}", printable(.text))]
pub struct BadUrl {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl HttpsUrl {
    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host in lower case, as in a certificate: an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, 443 if none is written.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port in one spelling: the default port is left out.
    pub fn authority(&self) -> String {
        if self.port == 443 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// What stands behind the host; at least `/`.
    pub(super) fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// Where an issuer of this URL publishes its metadata (OpenID Connect Discovery 1.0 §4.1).
    pub(super) fn discovery(&self) -> Result<Self, BadUrl> {
        format!("{}/.well-known/openid-configuration", self.text.trim_end_matches('/')).parse()
    }
}

impl FromStr for HttpsUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = |why| BadUrl { text: text.to_owned(), why };
        if text.len() > 2048 || !text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#')) {
            return Err(bad("is not a plain URL"));
        }
        let after_scheme =
            text.strip_prefix("https://").ok_or_else(|| bad("does not begin with `https://`"))?;
        let uri: Uri = text.parse().map_err(|_| bad("is not a URL"))?;
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("has a user name"));
        }
        let host = authority.host();
        let port = authority.port_u16();
        // The library takes a port that is no number for none, so what it read must be what is written.
        let read = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        if host.is_empty() || port == Some(0) || after_scheme.split(['/', '?']).next() != Some(&read) {
            return Err(bad("names no host"));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(443),
            path_and_query: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_https_url_tells_host_port_and_where_its_metadata_is() {
        for (text, authority, discovery) in [
            ("https://a.example", "a.example", "https://a.example/.well-known/openid-configuration"),
            ("https://A.example:443/", "a.example", "https://A.example:443/.well-known/openid-configuration"),
            ("https://a:8443/x/y", "a:8443", "https://a:8443/x/y/.well-known/openid-configuration"),
            ("https://[::1]:8443/x", "[::1]:8443", "https://[::1]:8443/x/.well-known/openid-configuration"),
        ] {
            let url: HttpsUrl = text.parse().unwrap();
            assert_eq!(url.as_str(), text);
            assert_eq!(url.authority(), authority);
            assert_eq!(url.discovery().unwrap().as_str(), discovery);
        }
        assert_eq!("https://[::1]/".parse::<HttpsUrl>().unwrap().host(), "::1");
    }

    #[test]
    fn addresses_in_disguise_are_refused() {
        for text in [
            "",
            "https",
            "https://",
            "https:///x",
            "http://a.example",
            "HTTPS://a.example",
            "//a.example",
            "file:///etc/passwd",
            "https://a@b.example/",
            "https://a:b@c.example/",
            "https://a.example:",
            "https://a.example:0/",
            "https://a.example:99999/",
            "https://a.example/#x",
            "https://a.example\\b",
            "https://a b.example",
            "https://a.example\r\n",
            "https://é.example",
        ] {
            assert!(text.parse::<HttpsUrl>().is_err(), "{text:?}");
        }
    }
}
