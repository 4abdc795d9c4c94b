//! `indexgate serve`

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{ConfigError, Settings, StartError, load};
use crate::gateway::MintRate;
use crate::observe::audit::Audit;
use crate::observe::logs;
use crate::server::{Door, Server, Serving, Shared};
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
        Ok((background, serving)) => {
            background.block_on(until_told(serving));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything from the configuration to serving threads. The runtime given back fetches keys; it runs on the main thread
/// while that waits for signals.
fn start(config: &Path) -> Result<(Runtime, Serving), ServeError> {
    let settings = load(config)?;
    let clock = Clock::system();
    settings.run_tests(clock.now())?;
    let background = Builder::new_current_thread().enable_all().build()?;
    let audit = Audit::open(&settings.audit).map_err(ServeError::Audit)?;
    let rate = MintRate::new(settings.mint_per_minute);
    let door = Door {
        tls: settings.listen.tls.as_ref().map(|identity| identity.server_config()),
        header_timeout: settings.listen.header_timeout,
    };
    let (address, location, public_url) =
        (settings.listen.address, settings.store.clone(), settings.public_url.clone());
    let setup = Arc::new(Settings::start(settings, &clock, background.handle())?);
    let store = Store::open(&location)?;

    let threads = available_parallelism().map_or(1, usize::from);
    let server = Server::bind(address, threads).map_err(|error| ServeError::Listen(address, error))?;
    let scheme = if door.tls.is_some() { "https" } else { "http" };
    let listening = format!("listening on {scheme}://{}", server.address());
    let (config, publishers) = (setup.hash.clone(), setup.rules.len());
    let serving = server.serve(&door, &Shared { setup, store, audit, rate, clock })?;
    tracing::info!(public_url, config, publishers, threads, "{listening}");
    Ok((background, serving))
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
