//! `indexgate check`

use std::path::Path;
use std::process::ExitCode;

use crate::config::{Settings, load};

/// Reads the configuration and says what it found.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]
pub(super) fn check(config: &Path) -> ExitCode {
    match load(config) {
        Ok(settings) => {
            println!("{}: {}", config.display(), summary(&settings));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn summary(settings: &Settings) -> String {
    let count =
        |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    format!(
        "ok, configuration {}: {}, {}, {}, {}",
        settings.hash,
        count(settings.upstreams.len(), "upstream", "upstreams"),
        count(settings.indexes.len(), "index", "indexes"),
        count(settings.issuers.len(), "issuer", "issuers"),
        count(settings.publishers.len(), "publisher", "publishers"),
    )
}
