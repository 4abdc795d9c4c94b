//! One configuration, ready to serve: immutable, and complete or not there at all.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use ipnet::IpNet;

use crate::names::IssuerName;
use crate::oidc::{Algorithm, Expected, KeyStore, Preset, Unverified};
use crate::policy::{Detail, Rules};
use crate::proxy::{Caller, Routes, UpstreamSettings};
use crate::token::Tokens;
use crate::upload::UploadLimits;

/// Everything that a request is decided by.
#[derive(Debug)]
pub struct Setup {
    /// Names this configuration in every audit line.
    pub hash: String,
    /// What `aud` of an identity token must be.
    pub audience: String,
    /// Which door a request goes through.
    pub routes: Routes,
    /// The index servers.
    pub upstreams: Vec<Arc<UpstreamSettings>>,
    /// Who vouches for identities.
    pub issuers: Vec<Issuer>,
    /// Who may upload what.
    pub rules: Rules,
    /// How much of the rules a refusal shows.
    pub detail: Detail,
    /// How long decisions are kept for `explain`.
    pub keep_decisions: Duration,
    /// Mints and reads upload tokens.
    pub tokens: Tokens,
    /// Sizes and times.
    pub limits: Limits,
    /// Where large uploads are kept while they are checked.
    pub spool: PathBuf,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Sizes and times that bound what a client can cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of an upload.
    pub upload: UploadLimits,
    /// How long a client may pause inside an upload.
    pub body_pause: Duration,
}

/// One `[[issuer]]`.
#[derive(Debug)]
pub struct Issuer {
    /// Its name.
    pub name: IssuerName,
    /// The `iss` of its tokens, exactly.
    pub url: String,
    /// What it calls things.
    pub preset: &'static Preset,
    /// What it signs with.
    pub algorithms: Vec<Algorithm>,
    /// The longest life of its tokens.
    pub max_lifetime: Duration,
    /// Claims that rules look at beside the preset's own.
    pub kept_claims: BTreeSet<String>,
    /// Its keys.
    pub keys: KeyStore,
}

impl Issuer {
    /// What its tokens must say.
    pub fn expected<'a>(&'a self, audience: &'a str) -> Expected<'a> {
        Expected {
            issuer_url: &self.url,
            audience,
            audience_list_allowed: self.preset.audience_list,
            algorithms: &self.algorithms,
            max_lifetime: self.max_lifetime,
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}

impl Setup {
    /// The issuer with exactly this URL. There is no other way to become one: no default, no fallback.
    pub fn issuer(&self, url: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.url == url)
    }

    /// Whether a text is an identity token that says it is from one of our issuers.
    pub fn issued_by_ours(&self, jwt: &str) -> bool {
        Unverified::read(jwt).is_ok_and(|token| self.issuer(token.issuer()).is_some())
    }

    /// Who asks: the peer, or whom a trusted proxy names.
    pub fn caller(&self, headers: &HeaderMap, peer: Peer) -> Caller {
        let scheme = if peer.tls { "https" } else { "http" };
        if !self.trusts(peer.address) {
            return Caller { address: peer.address, scheme };
        }
        let scheme = match headers.get("x-forwarded-proto").map(|value| value.as_bytes()) {
            Some(b"https") => "https",
            Some(b"http") => "http",
            Some(_) | None => scheme,
        };
        // The last address that no trusted proxy of ours has: what stands before it is whatever the client wrote.
        let named = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let chain: Vec<IpAddr> = named
            .flat_map(|value| value.split(','))
            .map_while(|address| address.trim().parse().ok())
            .collect();
        let address = chain.into_iter().rev().find(|address| !self.trusts(*address)).unwrap_or(peer.address);
        Caller { address, scheme }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address.to_canonical()))
    }
}
