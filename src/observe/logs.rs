//! The log: for people, on standard error. Decisions go to the audit instead.

use tracing_subscriber::EnvFilter;

/// Starts logging. `INDEXGATE_LOG` chooses what is written, as in `indexgate=debug`; without it, information,
/// warnings and errors.
pub fn start() {
    let filter = EnvFilter::try_from_env("INDEXGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
