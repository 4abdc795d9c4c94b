//! The sections that may be left out: `[store]`, `[audit]`, `[errors]`, `[tokens]`, `[limits]`.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Table, Value};
use super::secrets;
use crate::gateway::Limits;
use crate::observe::audit::Destination;
use crate::policy::Detail;
use crate::store::Location;
use crate::upload::UploadLimits;

/// How long an upstream may be silent, unless configured otherwise.
pub(super) const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(120);

pub(super) struct StoreSection {
    pub(super) location: Location,
    pub(super) keep_decisions: Duration,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { location: Location::File("indexgate.db".into()), keep_decisions: 30 * DAY }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn read_store(table: &Table<'_>) -> Option<StoreSection> {
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

pub(super) fn read_audit(table: &Table<'_>) -> Option<Destination> {
    match table.get("file") {
        None => Some(Destination::Stdout),
        Some(file) if file.raw().as_str() == Some("-") => Some(Destination::Stdout),
        Some(file) => secrets::path(&file).map(Destination::File),
    }
}

pub(super) fn read_detail(table: &Table<'_>) -> Option<Detail> {
    let words = [("graded", Detail::Graded), ("minimal", Detail::Minimal), ("full", Detail::Full)];
    table.get("detail").map_or_else(|| Some(Detail::default()), |detail| detail.choice(&words))
}

pub(super) struct TokenSection {
    pub(super) lifetime: Duration,
    pub(super) key: PathBuf,
    pub(super) previous: Vec<PathBuf>,
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

    pub(super) fn read(table: &Table<'_>) -> Self {
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
pub(super) struct LimitKeys {
    pub(super) limits: Limits,
    pub(super) header_timeout: Duration,
    pub(super) upstream_timeout: Duration,
}

impl LimitKeys {
    pub(super) fn read(table: &Table<'_>) -> Self {
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
