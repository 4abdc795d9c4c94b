//! `indexgate serve`

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{ConfigError, Fixed, Reading, Reloader, StartError, read};
use crate::gateway::MintRate;
use crate::observe::audit::Audit;
use crate::observe::logs;
use crate::server::{Server, Serving, Shared};
use crate::store::{Store, StoreError};

/// How long requests under way may take after the gateway was told to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// Why the gateway did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("cannot start: {0}")]
    Start(#[from] StartError),
    #[error("cannot start: {0}")]
    Store(#[from] StoreError),
    #[error("cannot open the audit file: {0}")]
    Audit(io::Error),
    #[error("cannot listen on {0}: {1}")]
    Listen(std::net::SocketAddr, io::Error),
    #[error("cannot start: {0}")]
    Runtime(#[from] io::Error),
}

/// Serves until told to stop.
#[expect(clippy::print_stderr, reason = "what keeps the gateway from starting is for whoever started it")]
pub(super) fn serve(config: &Path) -> ExitCode {
    logs::start();
    match start(config) {
        Ok(Started { background, hangup, reloader, serving }) => {
            background.block_on(async {
                tokio::select! {
                    () = until_told(serving) => {}
                    () = reloader.run(hangup) => {}
                }
            });
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A gateway that serves.
struct Started {
    /// Fetches keys and reads changed configurations; it runs on the main thread while that waits for signals.
    background: Runtime,
    hangup: Signal,
    reloader: Reloader,
    serving: Serving,
}

/// Everything from the configuration to serving threads.
fn start(config: &Path) -> Result<Started, ServeError> {
    let background = Builder::new_current_thread().enable_all().build()?;
    // Before anything else: until somebody listens for it, this signal ends the process.
    let hangup = background.block_on(async { signal(SignalKind::hangup()) })?;
    let Reading { settings, mut files } = read(config);
    let settings = settings?;
    let clock = Clock::system();
    settings.run_tests(clock.now())?;
    let audit = Audit::open(&settings.audit).map_err(ServeError::Audit)?;
    let (address, location, public_url) =
        (settings.listen.address, settings.store.clone(), settings.public_url.clone());
    let (fixed, token_keys) = (Fixed::of(&settings), settings.token_key_files());
    let setup = Arc::new(settings.start(None, &clock, background.handle())?);
    token_keys.iter().for_each(|key| files.note_made(key));
    let store = Store::open(&location)?;

    let threads = available_parallelism().map_or(1, usize::from);
    let server = Server::bind(address, threads).map_err(|error| ServeError::Listen(address, error))?;
    let scheme = if setup.door.tls.is_some() { "https" } else { "http" };
    let listening = format!("listening on {scheme}://{}", server.address());
    let (hash, publishers) = (setup.hash.clone(), setup.rules.len());
    if setup.door.tls.as_ref().is_some_and(|tls| !tls.is_current(clock.now())) {
        tracing::error!("the certificate has expired, or is not valid yet: clients will not connect");
    }
    let (in_force, setups) = watch::channel(setup);
    let reloader = Reloader::new(config, fixed, files, in_force, clock.clone(), background.handle());
    let serving = server.serve(&Shared { setups, store, audit, rate: MintRate::default(), clock })?;
    tracing::info!(public_url, config = hash, publishers, threads, "{listening}");
    Ok(Started { background, hangup, reloader, serving })
}

async fn until_told(mut serving: Serving) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return tracing::error!("cannot listen for signals");
    };
    let told = tokio::select! {
        _ = terminate.recv() => true,
        _ = interrupt.recv() => true,
        () = serving.ended() => false,
    };
    if !told {
        return tracing::error!("no serving thread is left");
    }
    tracing::info!("stopping: accepting no more, finishing what is under way");
    if timeout(DRAIN, serving.finish()).await.is_err() {
        tracing::warn!("stopped with requests under way");
    }
}
