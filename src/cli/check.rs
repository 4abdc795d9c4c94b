//! `indexgate check`

mod online;

use std::process::ExitCode;

use super::CheckArguments;
use crate::clock::{Clock, Timestamp};
use crate::config::{ConfigError, Problem, Settings, load};

/// Reads the configuration, runs its tests, and says what it found.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]
pub(super) fn check(arguments: &CheckArguments) -> ExitCode {
    let config = &arguments.config.config;
    let clock = Clock::system();
    let (settings, warnings) = match checked(arguments, clock.now()) {
        Ok(checked) => checked,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    for warning in &warnings {
        println!("warning: {warning}\n");
    }
    println!("{}: {}", config.display(), summary(&settings, warnings.len()));
    let strictly_good = !arguments.strict || warnings.is_empty();
    if strictly_good && (!arguments.online || online(&settings, &clock)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]
fn online(settings: &Settings, clock: &Clock) -> bool {
    match online::try_all(settings, clock) {
        Ok(tried) => {
            for online::Tried { good, what } in &tried {
                println!("{} {what}", if *good { '\u{2713}' } else { '\u{2717}' });
            }
            tried.iter().all(|tried| tried.good)
        }
        Err(error) => {
            eprintln!("cannot try anything: {error}");
            false
        }
    }
}

fn checked(arguments: &CheckArguments, now: Timestamp) -> Result<(Settings, Vec<Problem>), ConfigError> {
    let settings = load(&arguments.config.config)?;
    settings.run_tests(now)?;
    let warnings = settings.lint(now);
    Ok((settings, warnings))
}

fn summary(settings: &Settings, warnings: usize) -> String {
    let count =
        |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    let mut parts = vec![
        count(settings.upstreams.len(), "upstream", "upstreams"),
        count(settings.indexes.len(), "index", "indexes"),
        count(settings.issuers.len(), "issuer", "issuers"),
        count(settings.publishers.len(), "publisher", "publishers"),
    ];
    if !settings.tests.is_empty() {
        parts.push(count(settings.tests.len(), "test passed", "tests passed"));
    }
    if warnings > 0 {
        parts.push(count(warnings, "warning", "warnings"));
    }
    format!("ok, configuration {}: {}", settings.hash, parts.join(", "))
}
