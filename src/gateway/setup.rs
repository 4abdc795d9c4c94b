//! One configuration, ready to serve: immutable, and complete or not there at all.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use ipnet::IpNet;

use crate::clock::Timestamp;
use crate::names::IssuerName;
use crate::oidc::{Algorithm, Expected, IssuerKeys, KeyStore, Preset, Unverified};
use crate::policy::{Asked, Decision, Detail, Rules, VerifiedClaims, survey};
use crate::proxy::{Caller, Routes, UpstreamSettings};
use crate::tls::TlsIdentity;
use crate::token::Tokens;
use crate::upload::UploadLimits;

/// Everything that a request is decided by.
#[derive(Debug)]
pub struct Setup {
    /// Names this configuration in every audit line.
    pub hash: String,
    /// What clients type: scheme, host and port.
    pub public_url: String,
    /// What `aud` of an identity token must be.
    pub audience: String,
    /// How connections are spoken with.
    pub door: Door,
    /// Which way a request goes through.
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

/// How connections are spoken with.
#[derive(Clone, Debug)]
pub struct Door {
    /// How to prove who we are, if TLS ends here.
    pub tls: Option<TlsIdentity>,
    /// How long the first request of a connection may take to arrive, TLS included.
    pub header_timeout: Duration,
}

/// Sizes and times that bound what a client can cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of an upload.
    pub upload: UploadLimits,
    /// How long a client may pause inside an upload.
    pub body_pause: Duration,
    /// Exchanges a minute from one address.
    pub mint_per_minute: u32,
}

/// One `[[issuer]]`.
#[derive(Debug)]
pub struct Issuer {
    /// Its name.
    pub name: IssuerName,
    /// The `iss` of its tokens, exactly.
    pub url: String,
    /// The `aud` of its tokens, if that is not the gateway's own.
    pub audience: Option<String>,
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
    /// What its tokens must say, in a gateway of this audience.
    pub fn expected<'a>(&'a self, audience: &'a str) -> Expected<'a> {
        Expected {
            issuer_url: &self.url,
            audience: self.audience.as_deref().unwrap_or(audience),
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

    /// The keys at hand for this source, if it is one of ours: a reload keeps them.
    pub fn key_store(&self, keys: &IssuerKeys) -> Option<&KeyStore> {
        self.issuers.iter().map(|issuer| &issuer.keys).find(|store| store.serves(keys))
    }

    /// The upstream with exactly these settings: a reload keeps its connections and its login.
    pub fn upstream(&self, settings: &UpstreamSettings) -> Option<&Arc<UpstreamSettings>> {
        self.upstreams.iter().find(|upstream| ***upstream == *settings)
    }

    /// Whether a text is an identity token that says it is from one of our issuers.
    pub fn issued_by_ours(&self, jwt: &str) -> bool {
        Unverified::read(jwt).is_ok_and(|token| self.issuer(token.issuer()).is_some())
    }

    /// A refusal with its reasons. `errors.detail = "full"` shows near misses, too, and only then is every publisher of
    /// the issuer looked at.
    pub fn reasons(
        &self,
        decision: Decision,
        claims: &VerifiedClaims,
        asked: Option<&Asked>,
        now: Timestamp,
    ) -> Decision {
        match self.detail {
            Detail::Full => survey(&self.rules, claims, asked, now),
            Detail::Graded | Detail::Minimal => decision,
        }
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
        // From the right, as far as proxies of ours wrote it: what stands before is whatever the client wrote.
        let named: Vec<&[u8]> = headers
            .get_all("x-forwarded-for")
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .collect();
        let mut address = peer.address;
        for hop in named.into_iter().rev() {
            let Some(hop) = std::str::from_utf8(hop).ok().and_then(|hop| hop.trim().parse().ok()) else {
                break;
            };
            address = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        Caller { address, scheme }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address.to_canonical()))
    }
}
