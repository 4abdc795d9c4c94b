//! The keys outside the rules, and the step from settings to a gateway that can serve.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::issuer::IssuerSettings;
use super::listen::{ListenSettings, read_listen};
use super::places::Places;
use super::reader::{Table, Value};
use super::rule_test::PlacedTest;
use super::sections::{LimitKeys, StoreSection, TokenSection, read_audit, read_detail, read_store};
use super::{secrets, upstream};
use crate::clock::Clock;
use crate::gateway::{Door, Issuer, Limits, Setup};
use crate::observe::audit::Destination;
use crate::oidc::{IssuerKeys, KeyStore};
use crate::policy::{Detail, Publisher, Restriction, Rules, Source};
use crate::proxy::{IndexRoute, Routes, UpstreamSettings};
use crate::store::Location;
use crate::tls::TlsIdentity;
use crate::token::{KeyFileError, TokenKeys, Tokens};

/// A configuration, checked: whole, and ready to be started.
#[derive(Debug)]
pub struct Settings {
    /// Names it in every audit line.
    pub hash: String,
    /// What clients type.
    pub public_url: String,
    /// What identity tokens must be for.
    pub audience: String,
    /// Where keys, store and spool are.
    pub state_dir: PathBuf,
    /// The public address.
    pub listen: ListenSettings,
    /// The store.
    pub store: Location,
    /// How long decisions are kept for `explain`; zero if not at all.
    pub keep_decisions: Duration,
    /// The audit.
    pub audit: Destination,
    /// How long an upstream may be silent.
    pub upstream_timeout: Duration,
    /// Sizes and times.
    pub limits: Limits,
    /// How much of the rules a refusal shows.
    pub detail: Detail,
    /// How long an upload token lives.
    pub token_lifetime: Duration,
    /// The key that signs upload tokens.
    pub token_key: PathBuf,
    /// Keys that are still accepted.
    pub previous_token_keys: Vec<PathBuf>,
    /// `[[upstream]]`
    pub upstreams: Vec<Arc<UpstreamSettings>>,
    /// `[[index]]`
    pub indexes: Vec<IndexRoute>,
    /// `[[issuer]]`
    pub issuers: Vec<IssuerSettings>,
    /// `[[publisher]]`
    pub publishers: Vec<Publisher>,
    /// `[[project]]`
    pub restrictions: Vec<Restriction>,
    /// `[[test]]`
    pub tests: Vec<PlacedTest>,
    /// Where the rules stand.
    pub(super) places: Places,
}

/// Why a checked configuration could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder could not be made.
    #[error("cannot make the folder `{}`: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

/// Reads what stands outside the rules.
pub(super) fn settings(table: &Table<'_>) -> Option<Settings> {
    let public_url = table.require("public_url", "public_url = \"https://pypi.corp.example\"");
    let public_url = public_url.and_then(|url| public_origin(&url));
    let audience = match table.get("audience") {
        Some(audience) => audience.text().map(str::to_owned),
        None => public_url.as_ref().map(|url| url.split("://").nth(1).unwrap_or_default().to_owned()),
    };
    let folder = table.source().folder();
    let state_dir =
        table.get("state_dir").map_or_else(|| Some(folder.join("state")), |path| secrets::path(&path));
    let limits = LimitKeys::read(table);
    let listen = section(table, "listen", |listen| read_listen(listen, limits.header_timeout));
    let listen = listen.unwrap_or_else(|| {
        table.problem("[listen] is missing", "add [listen] with address = \"127.0.0.1:8080\"");
        None
    });
    let tokens = section(table, "tokens", |tokens| Some(TokenSection::read(tokens)));
    let store = section(table, "store", read_store);
    let audit = section(table, "audit", read_audit);
    let detail = section(table, "errors", read_detail);

    let state_dir = state_dir?;
    let tokens = tokens.unwrap_or_else(|| Some(TokenSection::default()))?;
    let store = store.unwrap_or_else(|| Some(StoreSection::default()))?;
    let under_state = |path: PathBuf| state_dir.join(path);
    Some(Settings {
        hash: String::new(),
        public_url: public_url?,
        audience: audience?,
        listen: listen?,
        store: match store.location {
            Location::File(path) => Location::File(under_state(path)),
            Location::Memory => Location::Memory,
        },
        keep_decisions: store.keep_decisions,
        audit: audit.unwrap_or(Some(Destination::Stdout))?,
        upstream_timeout: limits.upstream_timeout,
        limits: limits.limits,
        detail: detail.unwrap_or_else(|| Some(Detail::default()))?,
        token_lifetime: tokens.lifetime,
        token_key: under_state(tokens.key),
        previous_token_keys: tokens.previous.into_iter().map(under_state).collect(),
        upstreams: Vec::new(),
        indexes: Vec::new(),
        issuers: Vec::new(),
        publishers: Vec::new(),
        restrictions: Vec::new(),
        tests: Vec::new(),
        places: Places::default(),
        state_dir,
    })
}

/// A section that may be left out: `None` if it is, `Some(None)` if it is wrong.
fn section<T>(
    table: &Table<'_>,
    key: &'static str,
    read: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Option<Option<T>> {
    let Some(section) = table.get(key)?.table(&format!("[{key}]")) else { return Some(None) };
    let value = read(&section);
    section.finish();
    Some(value)
}

/// `https://host[:port]`, nothing else: clients derive the exchange's address from it.
fn public_origin(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.trim_end_matches('/');
    let uri: Option<http::Uri> = text.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let loopback = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
    let plain = !text.contains(['?', '#', '@']) && uri.as_ref().is_some_and(|uri| uri.path() == "/");
    match uri.as_ref().and_then(http::Uri::scheme_str) {
        Some("https") if plain && !host.is_empty() => Some(text.to_owned()),
        Some("http") if plain && loopback => Some(text.to_owned()),
        Some("http") if plain => {
            value.problem(
                "a public address needs https",
                "write https://…; TLS may end here ([listen] tls) or in a proxy in front",
            );
            None
        }
        _ => {
            value.problem(
                format!("`{text}` is no public URL"),
                "write https://host or https://host:port, without a path",
            );
            None
        }
    }
}

impl Settings {
    /// The claims of an issuer's tokens that rules look at by name.
    pub fn kept_claims(&self, issuer: &IssuerSettings) -> BTreeSet<String> {
        kept_claims(&self.publishers).union(&issuer.identity_claims).cloned().collect()
    }

    /// The files of the keys that sign upload tokens; the first may be made by [`Settings::start`].
    pub fn token_key_files(&self) -> Vec<PathBuf> {
        std::iter::once(&self.token_key).chain(&self.previous_token_keys).cloned().collect()
    }

    /// Makes what is needed on disk, starts the key stores on `background`, and gives a setup that can serve. What is
    /// unchanged is kept from the setup that runs: fetched keys, logins, connections, TLS sessions.
    pub fn start(
        self,
        running: Option<&Setup>,
        clock: &Clock,
        background: &Handle,
    ) -> Result<Setup, StartError> {
        let spool = self.state_dir.join("spool");
        // For the owner alone: there are keys in it, and the claims of kept decisions.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&spool)
            .map_err(|source| StartError::Folder { path: spool.clone(), source })?;
        let keys = match running {
            None => TokenKeys::load(&self.token_key, &self.previous_token_keys)?,
            Some(running) => running.tokens.keys().reload(&self.token_key, &self.previous_token_keys)?,
        };
        let key_store = |keys: IssuerKeys| match running.and_then(|running| running.key_store(&keys)) {
            Some(warm) => warm.clone(),
            None => KeyStore::spawn(keys, clock.clone(), background),
        };
        let upstream = |settings: Arc<UpstreamSettings>| {
            running.and_then(|running| running.upstream(&settings)).cloned().unwrap_or(settings)
        };
        let same =
            |tls: &TlsIdentity| running.and_then(|running| running.door.tls.clone()).filter(|old| old == tls);
        let tls = self.listen.tls.map(|tls| same(&tls).unwrap_or(tls));
        let kept = kept_claims(&self.publishers);
        let issuer = |settings: IssuerSettings| Issuer {
            kept_claims: kept.union(&settings.identity_claims).cloned().collect(),
            keys: key_store(settings.keys),
            name: settings.name,
            url: settings.url,
            audience: settings.audience,
            preset: settings.preset,
            algorithms: settings.algorithms,
            max_lifetime: settings.max_lifetime,
        };
        let routes = self.upstreams.iter().map(|settings| upstream::route(settings)).collect();
        Ok(Setup {
            hash: self.hash,
            public_url: self.public_url.clone(),
            audience: self.audience,
            door: Door { tls, header_timeout: self.listen.header_timeout },
            routes: Routes { indexes: self.indexes, upstreams: routes },
            upstreams: self.upstreams.into_iter().map(upstream).collect(),
            issuers: self.issuers.into_iter().map(issuer).collect(),
            rules: Rules::new(self.publishers, self.restrictions),
            detail: self.detail,
            keep_decisions: self.keep_decisions,
            tokens: Tokens::new(keys, self.public_url, self.token_lifetime),
            limits: self.limits,
            spool,
            trusted_proxies: self.listen.trusted_proxies,
        })
    }
}

/// The claims that rules look at by name: an upload token carries them.
pub(super) fn kept_claims(publishers: &[Publisher]) -> BTreeSet<String> {
    let conditions = publishers.iter().flat_map(Publisher::all_conditions);
    conditions
        .filter(|condition| condition.source == Source::Claim)
        .map(|condition| condition.claim.to_string())
        .collect()
}
