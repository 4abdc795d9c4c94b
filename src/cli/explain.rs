//! `indexgate explain`: what the rules say to one identity, and what to change.

mod show;
mod subject;
mod suggest;
mod token;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::ConfigArgument;
use crate::clock::Clock;
use crate::config::{ConfigError, load};
use crate::names::{BadName, BadProjectName};
use crate::policy::{Paint, Rules, survey};
use crate::store::StoreError;
use show::Explanation;
use subject::Subject;

/// What to explain.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    identity: IdentityArguments,

    /// The issuer whose claims they are, by its name in the configuration
    ///
    /// Needed for claims without `iss` if there are several issuers.
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,

    /// Ask about an upload to this index
    #[arg(long, value_name = "NAME", requires_all = ["project", "release"])]
    index: Option<String>,

    /// Ask about an upload of this project
    #[arg(long, value_name = "NAME", requires = "index")]
    project: Option<String>,

    /// Ask about an upload of this version
    #[arg(long = "version", id = "release", value_name = "VERSION", requires = "index")]
    version: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgument,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct IdentityArguments {
    /// A file with an identity token, `-` for standard input; its signature is checked only with a `jwks_file`
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,

    /// A file with the claims of a token, as JSON
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,

    /// The reference of a refusal: it stands in the answer and in the audit
    #[arg(long, value_name = "ID")]
    reference: Option<String>,
}

/// Why there is nothing to explain.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("cannot read `{}`: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("`{}` holds no JSON object with the claims of a token", .0.display())]
    Claims(PathBuf),
    #[error("there is no issuer `{name}`; the configuration has {known}")]
    NoIssuer { name: String, known: String },
    #[error("the claims have no `iss`; name their issuer with --issuer, one of {0}")]
    WhichIssuer(String),
    #[error("there is no index `{name}`; the configuration has {known}")]
    NoIndex { name: String, known: String },
    #[error("{0}")]
    Name(#[from] BadName),
    #[error("{0}")]
    Project(#[from] BadProjectName),
    #[error("`{0}` is no version")]
    Version(String),
    #[error("the store is in memory, so only the running gateway has its decisions; the audit has them, too")]
    MemoryStore,
    #[error("cannot read the store: {0}")]
    Store(#[from] StoreError),
    #[error(
        "no decision is kept under `{0}`: it is older than [store] keep_decisions, of another gateway, or misspelt; the audit may have it"
    )]
    NotKept(String),
    #[error("the decision under `{0}` was kept by another version of indexgate")]
    OtherVersion(String),
}

/// Explains, and leaves with 0 whatever the answer is.
#[expect(clippy::print_stderr, reason = "this is what the command is for")]
pub(super) fn explain(arguments: &ExplainArguments) -> ExitCode {
    match explained(arguments) {
        // Whoever reads the output may close it early.
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn explained(arguments: &ExplainArguments) -> Result<String, ExplainError> {
    let settings = load(&arguments.config.config)?;
    let now = Clock::system().now();
    let subject = Subject::find(arguments, &settings, now)?;
    let rules = Rules::new(settings.publishers.clone(), settings.restrictions.clone());
    let decision =
        subject.identity.as_ref().map(|claims| survey(&rules, claims, subject.asked.as_ref(), now));
    let explanation = Explanation::new(&settings, subject, decision);
    Ok(if arguments.json { explanation.json() } else { explanation.text(paint()) })
}

/// Colours on a terminal, unless they are not wanted (<https://no-color.org>).
fn paint() -> Paint {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !unwanted { Paint::Colour } else { Paint::Plain }
}
