//! `indexgate schema`

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::config::{self, SchemaOf};

/// Prints the schema.
pub(super) fn schema(rules: bool) -> ExitCode {
    let schema = config::schema(if rules { SchemaOf::Rules } else { SchemaOf::Main });
    // Whoever reads the output may have read enough.
    match writeln!(io::stdout(), "{schema:#}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
