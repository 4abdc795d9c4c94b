//! Reload: a changed configuration is read and checked whole, and only then takes the place of the old one.
//!
//! ```text
//! SIGHUP ─────────────────┐
//! files changed, at rest ─┴► read, check ─► still the same files? ─► start ─► swap one pointer
//! ```
//!
//! Whatever is wrong with the new one, the old one stays in force. All of it happens beside the serving threads.

use std::future::ready;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::files::Files;
use super::load::{Reading, read};
use super::problem::{ConfigError, Problem, Problems};
use super::settings::{Settings, StartError};
use crate::clock::Clock;
use crate::gateway::Setup;
use crate::observe::audit::Destination;
use crate::observe::reloads::Reloads;
use crate::store::Location;

/// Keeps the configuration in force up to date with its files.
#[derive(Debug)]
pub struct Reloader {
    source: Source,
    in_force: watch::Sender<Arc<Setup>>,
    /// As they were when they were last read, whatever came of it.
    files: Files,
    /// Setups that requests may still hold. They go here, because freeing a million rules would stall a serving thread.
    retired: Vec<Arc<Setup>>,
    reloads: Arc<Reloads>,
}

/// What it takes to read a configuration once more.
#[derive(Clone, Debug)]
struct Source {
    config: PathBuf,
    fixed: Fixed,
    clock: Clock,
    background: Handle,
}

/// What a running gateway cannot change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    address: SocketAddr,
    state_dir: PathBuf,
    store: Location,
    audit: Destination,
}

/// Why a new configuration did not come into force.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// Its files changed while they were read: what was read may be half of the old and half of the new.
    #[error("the files are being written")]
    Moving,
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Start(#[from] StartError),
}

impl Reloader {
    /// How often the files are looked at.
    const LOOK: Duration = Duration::from_millis(250);
    /// How long they must be at rest: nobody is still writing, or replacing one after the other.
    const REST: Duration = Duration::from_secs(1);
    /// However many files there are, no more than this share of one core goes into looking at them: a fiftieth.
    const LOOK_SHARE: u32 = 50;
    /// Signals that come so soon one after another are one.
    const GATHER: Duration = Duration::from_millis(100);

    /// For the configuration that was read from `files`, of which `fixed` can never change.
    pub fn new(
        config: &Path,
        fixed: Fixed,
        files: Files,
        in_force: watch::Sender<Arc<Setup>>,
        clock: Clock,
        background: &Handle,
    ) -> Self {
        let source = Source { config: config.to_owned(), fixed, clock, background: background.clone() };
        Self { source, in_force, files, retired: Vec::new(), reloads: Arc::default() }
    }

    /// How the reloads went so far.
    pub fn reloads(&self) -> Arc<Reloads> {
        Arc::clone(&self.reloads)
    }

    /// Reloads whenever told to, or when the files have changed. Never ends.
    pub async fn run(mut self, mut hangup: Signal) {
        loop {
            tokio::select! {
                _ = hangup.recv() => gather(&mut hangup).await,
                () = self.files_changed() => {}
            }
            self.reload().await;
        }
    }

    /// Waits until the files are not what was read, and at rest.
    async fn files_changed(&mut self) {
        let mut rest = Rest::begin(self.files.clone(), Instant::now());
        let mut pause = Self::LOOK;
        loop {
            sleep(pause).await;
            let (files, unused) = (self.files.clone(), self.unused());
            let begun = Instant::now();
            let looked = spawn_blocking(move || {
                drop(unused);
                files.look_again()
            });
            // A look that panicked saw nothing.
            let Ok(seen) = looked.await else { continue };
            pause = Self::LOOK.max(begun.elapsed() * Self::LOOK_SHARE);
            let differs = seen != self.files;
            if rest.since(seen, Instant::now()) >= Self::REST && differs {
                return;
            }
        }
    }

    async fn reload(&mut self) {
        let begun = Instant::now();
        let (source, running) = (self.source.clone(), Arc::clone(&self.in_force.borrow()));
        let attempt = spawn_blocking(move || source.attempt(&running));
        let Ok((outcome, files)) = attempt.await else {
            self.reloads.refuse();
            return tracing::error!("reading the configuration failed; the one in force stays");
        };
        self.files = files;
        match outcome {
            Ok(setup) => self.swap(setup, begun),
            // They are not what was read, so they are read again when they are at rest.
            Err(Refused::Moving) => {
                tracing::info!("the configuration is being written; it is read again soon")
            }
            Err(error) => {
                self.reloads.refuse();
                let (config, refused) = (self.in_force.borrow().hash.clone(), self.reloads.refused());
                tracing::error!(
                    config,
                    refused,
                    "the new configuration is refused, the old one stays in force:\n{error}"
                );
            }
        }
    }

    fn swap(&mut self, setup: Setup, begun: Instant) {
        let (config, publishers) = (setup.hash.clone(), setup.rules.len());
        // INVARIANT: this is the one pointer. `gateway::Live` reads it once for each request.
        let old = self.in_force.send_replace(Arc::new(setup));
        self.reloads.took(self.source.clock.now());
        let (previous, reloads) = (old.hash.clone(), self.reloads.taken());
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(config, previous, publishers, reloads, duration_ms, "reloaded the configuration");
        self.retired.push(old);
    }

    /// The retired setups that only we hold; nobody can get at them any more.
    fn unused(&mut self) -> Vec<Arc<Setup>> {
        self.retired.extract_if(.., |setup| Arc::strong_count(setup) == 1).collect()
    }
}

impl Source {
    /// Reads the configuration and makes it ready to serve, but does not put it into force.
    fn attempt(&self, running: &Setup) -> (Result<Setup, Refused>, Files) {
        let Reading { settings, mut files } = read(&self.config);
        if files.look_again() != files {
            return (Err(Refused::Moving), files);
        }
        let settings = settings.and_then(|settings| {
            self.check_change(running, &settings)?;
            settings.run_tests(self.clock.now())?;
            Ok(settings)
        });
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => return (Err(error.into()), files),
        };
        let token_keys = settings.token_key_files();
        let started = settings.start(Some(running), &self.clock, &self.background);
        token_keys.iter().for_each(|key| files.note_made(key));
        (started.map_err(Refused::from), files)
    }

    /// Whether this configuration can follow the one that runs.
    fn check_change(&self, running: &Setup, settings: &Settings) -> Result<(), ConfigError> {
        let problems = Problems::default();
        for key in self.fixed.changed(&Fixed::of(settings)) {
            let message = format!("`{key}` has changed, which needs a restart");
            let fix =
                "restart the gateway, or put the old value back; until then nothing of this file is in force";
            problems.add(Problem::with_file(&self.config, message).fix(fix));
        }
        if let Some(tls) = &settings.listen.tls
            && running.door.tls.as_ref() != Some(tls)
            && !tls.is_current(self.clock.now())
        {
            let message = "the new certificate has expired, or is not valid yet";
            let fix = "install a certificate whose dates include today; the old one is used until then";
            problems.add(Problem::with_file(&self.config, message).fix(fix));
        }
        problems.into_result()
    }
}

impl Fixed {
    /// Of a configuration that is about to be started.
    pub fn of(settings: &Settings) -> Self {
        Self {
            address: settings.listen.address,
            state_dir: settings.state_dir.clone(),
            store: settings.store.clone(),
            audit: settings.audit.clone(),
        }
    }

    /// The keys in which another one differs.
    fn changed(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            ("listen.address", self.address == other.address),
            ("state_dir", self.state_dir == other.state_dir),
            ("store.url", self.store == other.store),
            ("audit.file", self.audit == other.audit),
        ];
        keys.iter().filter(|(_, same)| !same).map(|(key, _)| *key).collect()
    }
}

/// How long files have been at rest.
struct Rest {
    files: Files,
    since: Instant,
}

impl Rest {
    const fn begin(files: Files, now: Instant) -> Self {
        Self { files, since: now }
    }

    /// For how long they have been what is seen now.
    fn since(&mut self, seen: Files, now: Instant) -> Duration {
        if seen != self.files {
            *self = Self::begin(seen, now);
        }
        now - self.since
    }
}

/// Waits for the signals that follow the first one at once. One that comes later is seen by the next turn, so that a
/// configuration is always read after the last signal.
async fn gather(hangup: &mut Signal) {
    sleep(Reloader::GATHER).await;
    tokio::select! {
        biased;
        _ = hangup.recv() => {}
        () = ready(()) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &str) -> Files {
        let mut files = Files::default();
        files.note_matching(Path::new(path));
        files
    }

    #[test]
    fn files_are_at_rest_only_while_nothing_changes() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut rest = Rest::begin(files("a"), begin);
        assert_eq!(rest.since(files("a"), at(250)).as_millis(), 250);
        assert_eq!(rest.since(files("b"), at(500)).as_millis(), 0);
        assert_eq!(rest.since(files("b"), at(750)).as_millis(), 250);
        assert_eq!(rest.since(files("c"), at(1000)).as_millis(), 0, "written in pieces");
        assert_eq!(rest.since(files("b"), at(1250)).as_millis(), 0, "and put back");
    }

    #[test]
    fn every_fixed_key_that_has_changed_is_named() {
        let fixed = |number: u8| Fixed {
            address: SocketAddr::from(([127, 0, 0, number], 80)),
            state_dir: number.to_string().into(),
            store: Location::File(number.to_string().into()),
            audit: Destination::File(number.to_string().into()),
        };
        assert_eq!(fixed(1).changed(&fixed(1)), [""; 0]);
        assert_eq!(fixed(1).changed(&fixed(2)), ["listen.address", "state_dir", "store.url", "audit.file"]);
        assert_eq!(fixed(1).changed(&Fixed { audit: Destination::Stdout, ..fixed(1) }), ["audit.file"]);
    }
}
