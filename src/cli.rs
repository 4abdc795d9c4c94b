//! The command line.

mod check;
mod explain;
mod schema;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use explain::ExplainArguments;

/// Trusted publishing for the package index you already run.
///
/// indexgate stands in front of an unmodified package index (devpi, pypiserver, ...). CI jobs prove who they are with
/// an OIDC identity token, get a short-lived upload token for the projects that your rules give them, and upload.
/// Everybody who uses a password goes through untouched.
#[derive(Debug, Parser)]
#[command(name = "indexgate", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    ///
    /// Logs go to standard error (INDEXGATE_LOG=debug for more), audit lines to standard output or to the file that
    /// [audit] names. Changed files are taken up by themselves, at once with SIGHUP; if anything is wrong with them, the old
    /// configuration stays. SIGTERM and SIGINT stop it: it accepts no more and finishes the requests under way for up to 30 s.
    Serve(ConfigArgument),
    /// Read the configuration, run its tests, and report every problem in it
    ///
    /// Changes nothing, and needs no network without --online. Warns of rules that grant more than they say, or nothing.
    /// Exits with 0 if the configuration can be served, and with 1 if not.
    Check(CheckArguments),
    /// Tell what the rules say to an identity, publisher by publisher, and what to change
    ///
    /// Changes nothing and needs no network. Reads a token, the claims of one, or the reference of a refusal, and holds
    /// every publisher of its issuer against it, nearest first. Exits with 0 whatever the answer is.
    Explain(Box<ExplainArguments>),
    /// Print a JSON Schema of the configuration, for editors
    ///
    /// Editors with a TOML language server then complete keys, explain them and mark mistakes. What only the gateway can
    /// know, such as whether a name exists, `indexgate check` tells.
    Schema(SchemaArguments),
}

#[derive(Debug, Args)]
struct ConfigArgument {
    /// The configuration file; relative paths in it are relative to its folder
    #[arg(long, value_name = "FILE", default_value = "indexgate.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct SchemaArguments {
    /// The schema of the files that `include` names, which hold rules only
    #[arg(long)]
    rules: bool,
}

#[derive(Debug, Args)]
struct CheckArguments {
    #[command(flatten)]
    config: ConfigArgument,

    /// Exit with 1 if there are warnings
    #[arg(long)]
    strict: bool,

    /// Also try each upstream, its credential, each issuer's keys, and the clocks
    ///
    /// Uploads nothing. Exits with 1 if something is not as it should be.
    #[arg(long)]
    online: bool,
}

const EXAMPLES: &str = "Examples:
  indexgate check --config /etc/indexgate/indexgate.toml
  indexgate serve --config /etc/indexgate/indexgate.toml
  indexgate schema > indexgate.schema.json
  indexgate explain --reference 7kq2m9x4ab --config /etc/indexgate/indexgate.toml
  uv publish --trusted-publishing always --publish-url https://pypi.corp.example/root/prod/ dist/*";

/// Runs what the arguments ask for.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => serve::serve(&arguments.config),
        Command::Check(arguments) => check::check(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Schema(arguments) => schema::schema(arguments.rules),
    }
}
