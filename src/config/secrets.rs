//! Files that the configuration names: where they are, and who may read them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::reader::Value;
use crate::secret::Secret;

/// The place where systemd puts the credentials of a service.
const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY";

/// A path in the configuration. Relative ones are relative to the file they stand in.
pub fn path(value: &Value<'_>) -> Option<PathBuf> {
    expanded(value).map(|path| value.source().folder().join(path))
}

/// A path as it was written, with the folder of systemd's credentials filled in.
pub fn expanded(value: &Value<'_>) -> Option<PathBuf> {
    let text = value.text()?;
    let Some(rest) = text.strip_prefix(CREDENTIALS) else { return Some(text.into()) };
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
    if folder.is_none() {
        value.problem(
            "CREDENTIALS_DIRECTORY is not set",
            "start the gateway from a systemd unit with LoadCredential=, or write another path",
        );
    }
    folder.map(|folder| Path::new(&folder).join(rest.trim_start_matches('/')))
}

/// The content of a file that anybody may read.
pub fn file(value: &Value<'_>) -> Option<Vec<u8>> {
    let path = path(value)?;
    value.reads(&path);
    let read = fs::read(&path);
    read.map_err(|error| {
        value.problem(
            format!("cannot read `{}`: {error}", path.display()),
            "check the path and its permissions",
        );
    })
    .ok()
}

/// The content of a file that nobody else may read, without the line end.
pub fn secret(value: &Value<'_>) -> Option<Secret<String>> {
    let content = String::from_utf8(private_file(value)?);
    let secret = content.ok().map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    match secret {
        Some(secret) if !secret.is_empty() && !secret.contains(['\r', '\n', '\0']) => {
            Some(Secret::new(secret))
        }
        Some(_) | None => {
            value.problem("the file does not hold one line of text", "write the secret alone into the file");
            None
        }
    }
}

/// The content of a file that nobody else may read.
pub fn private_file(value: &Value<'_>) -> Option<Vec<u8>> {
    let content = file(value)?;
    let path = path(value)?;
    let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    // systemd guards its folder itself; the files in it may be readable by the service's group.
    let guarded = value.text().is_some_and(|text| text.starts_with(CREDENTIALS));
    if mode & 0o077 != 0 && !guarded {
        let message = format!("`{}` can be read by others (mode {mode:o})", path.display());
        value.problem(message, format!("run: chmod 600 {}", path.display()));
        return None;
    }
    Some(content)
}
