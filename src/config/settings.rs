//! The keys outside the rules, and the step from settings to a gateway that can serve.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::Handle;

use super::issuer::IssuerSettings;
use super::places::Places;
use super::reader::{Table, Value};
use super::rule_test::PlacedTest;
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
use crate::upload::UploadLimits;

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

/// `[listen]`
#[derive(Debug)]
pub struct ListenSettings {
    /// Where to listen.
    pub address: SocketAddr,
    /// How to prove who we are, if TLS ends here.
    pub tls: Option<TlsIdentity>,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a request's head may take.
    pub header_timeout: Duration,
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

pub(super) const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(120);

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

fn read_listen(table: &Table<'_>, header_timeout: Duration) -> Option<ListenSettings> {
    table.not_yet(&["admin"]);
    let address = table.require("address", "address = \"0.0.0.0:8080\"");
    let address =
        address.and_then(|address| address.parsed("write address and port, as in \"0.0.0.0:8080\""));
    let tls = table.get("tls").map(|tls| read_tls(&tls));
    let proxies = table
        .get("trusted_proxies")
        .map(|list| list.any_items().iter().map(network).collect::<Option<Vec<_>>>());
    Some(ListenSettings {
        address: address?,
        tls: tls.map_or(Some(None), |tls| tls.map(Some))?,
        trusted_proxies: proxies.unwrap_or_else(|| Some(Vec::new()))?,
        header_timeout,
    })
}

fn network(value: &Value<'_>) -> Option<IpNet> {
    let text = value.text()?;
    let address = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    let network = text.parse::<IpNet>().ok().or_else(address);
    if network.is_none() {
        value.problem(
            format!("`{text}` is no network"),
            "write an address with its prefix length, as in \"10.0.0.0/8\"",
        );
    }
    network
}

fn read_tls(value: &Value<'_>) -> Option<TlsIdentity> {
    let table = value.table("tls")?;
    let certificate = table.require("certificate_file", "certificate_file = \"tls/cert.pem\"");
    let certificate = certificate.and_then(|file| secrets::file(&file));
    let key =
        table.require("key_file", "key_file = \"tls/key.pem\"").and_then(|file| secrets::private_file(&file));
    table.finish();
    let identity = TlsIdentity::from_pem(&certificate?, &key?);
    let fix = "name a PEM file with the certificate and its chain, and one with its private key";
    identity.map_err(|error| value.problem(error.to_string(), fix)).ok()
}

struct StoreSection {
    location: Location,
    keep_decisions: Duration,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { location: Location::File("indexgate.db".into()), keep_decisions: 30 * DAY }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn read_store(table: &Table<'_>) -> Option<StoreSection> {
    let default = StoreSection::default();
    let location = table.get("url").map_or(Some(default.location), |url| location(&url));
    let keep = table.get("keep_decisions").map(|value| value.duration(Duration::ZERO, 3660 * DAY));
    Some(StoreSection { location: location?, keep_decisions: keep.unwrap_or(Some(default.keep_decisions))? })
}

fn location(url: &Value<'_>) -> Option<Location> {
    let text = url.text()?;
    match text.split_once(':') {
        Some(("memory", "")) => Some(Location::Memory),
        Some(("sqlite", path)) if !path.is_empty() => Some(Location::File(path.into())),
        Some(("postgres" | "postgresql", _)) => {
            url.problem(
                "PostgreSQL is not supported by this version of indexgate",
                "write \"sqlite:indexgate.db\"",
            );
            None
        }
        _ => {
            url.problem(format!("`{text}` names no store"), "write \"sqlite:indexgate.db\" or \"memory:\"");
            None
        }
    }
}

fn read_audit(table: &Table<'_>) -> Option<Destination> {
    match table.get("file") {
        None => Some(Destination::Stdout),
        Some(file) if file.raw().as_str() == Some("-") => Some(Destination::Stdout),
        Some(file) => secrets::path(&file).map(Destination::File),
    }
}

fn read_detail(table: &Table<'_>) -> Option<Detail> {
    let words = [("graded", Detail::Graded), ("minimal", Detail::Minimal), ("full", Detail::Full)];
    table.get("detail").map_or_else(|| Some(Detail::default()), |detail| detail.choice(&words))
}

struct TokenSection {
    lifetime: Duration,
    key: PathBuf,
    previous: Vec<PathBuf>,
}

impl Default for TokenSection {
    fn default() -> Self {
        Self { lifetime: Self::LEAST, key: "token.key".into(), previous: Vec::new() }
    }
}

impl TokenSection {
    /// PEP 807: not less than 15 minutes, not more than 6 hours.
    const LEAST: Duration = Duration::from_secs(15 * 60);
    const MOST: Duration = Duration::from_secs(6 * 3600);

    fn read(table: &Table<'_>) -> Self {
        let default = Self::default();
        let lifetime = table.get("lifetime").and_then(|value| value.duration(Self::LEAST, Self::MOST));
        let key = table.get("key_file").and_then(|file| key_path(&file));
        let previous = table.get("previous_key_files");
        let previous = previous.map(|list| list.any_items().iter().filter_map(key_path).collect());
        Self {
            lifetime: lifetime.unwrap_or(default.lifetime),
            key: key.unwrap_or(default.key),
            previous: previous.unwrap_or_default(),
        }
    }
}

/// A key file: under the state folder if it is relative.
fn key_path(value: &Value<'_>) -> Option<PathBuf> {
    secrets::expanded(value)
}

/// `[limits]`, each with its default.
struct LimitKeys {
    limits: Limits,
    header_timeout: Duration,
    upstream_timeout: Duration,
}

impl LimitKeys {
    fn read(table: &Table<'_>) -> Self {
        let mut keys = Self {
            limits: Limits {
                upload: UploadLimits::default(),
                body_pause: Duration::from_secs(60),
                mint_per_minute: 120,
            },
            header_timeout: Duration::from_secs(10),
            upstream_timeout: UPSTREAM_TIMEOUT,
        };
        if let Some(section) = table.get("limits").and_then(|value| value.table("[limits]")) {
            keys.override_from(&section);
            section.finish();
        }
        keys
    }

    fn override_from(&mut self, table: &Table<'_>) {
        let seconds = Duration::from_secs;
        let duration = |key, most| table.get(key).and_then(|value| value.duration(seconds(1), most));
        if let Some(size) = table.get("upload_size").and_then(|value| value.size()) {
            self.limits.upload.size = size;
        }
        if let Some(size) = table.get("spool_memory").and_then(|value| value.size()) {
            self.limits.upload.spool_memory = usize::try_from(size).unwrap_or(usize::MAX);
        }
        if let Some(timeout) = duration("header_timeout", seconds(300)) {
            self.header_timeout = timeout;
        }
        if let Some(timeout) = duration("body_timeout", seconds(3600)) {
            self.limits.body_pause = timeout;
        }
        if let Some(timeout) = duration("upstream_timeout", seconds(3600)) {
            self.upstream_timeout = timeout;
        }
        if let Some(value) = table.get("mint_per_minute") {
            match value.integer().map(u32::try_from) {
                Some(Ok(number)) if number > 0 => self.limits.mint_per_minute = number,
                Some(_) => value.problem(
                    "this must be at least 1",
                    "write how many exchanges one address may make a minute",
                ),
                None => {}
            }
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
        std::fs::create_dir_all(&spool)
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
