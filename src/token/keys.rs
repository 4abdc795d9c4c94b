//! The keys that sign upload tokens, and their files.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::Secret;

/// The key that signs, and the keys that are still accepted.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    path: PathBuf,
    current: TokenKey,
    previous: Vec<TokenKey>,
}

/// One HMAC key with the id that tokens name it by.
#[derive(Clone, Debug)]
pub(super) struct TokenKey {
    pub(super) id: String,
    pub(super) key: Secret<Vec<u8>>,
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Reading or making the file failed.
    #[error("cannot use the token key `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// Others can read the file.
    #[error("the token key `{}` can be read by others (mode {mode:o}); run: chmod 600 {}", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The content is no key.
    #[error("the token key `{}` is not 32 bytes in base64url; remove it and a new one is made", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
}

impl TokenKeys {
    const KEY_BYTES: usize = 32;

    /// Reads the key files. The current one is made if it is not there.
    pub fn load(current: &Path, previous: &[PathBuf]) -> Result<Self, KeyFileError> {
        if !current.exists() {
            make(current)?;
        }
        Self::read(current, previous)
    }

    /// Reads the key files that are named now. A new name may be made, as at the start; a key that was there and is gone
    /// is an error: a new one in its place would end every upload token that is out.
    pub fn reload(&self, current: &Path, previous: &[PathBuf]) -> Result<Self, KeyFileError> {
        if current == self.path { Self::read(current, previous) } else { Self::load(current, previous) }
    }

    fn read(current: &Path, previous: &[PathBuf]) -> Result<Self, KeyFileError> {
        let previous = previous.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        Ok(Self { path: current.to_owned(), current: read(current)?, previous })
    }

    pub(super) const fn current(&self) -> &TokenKey {
        &self.current
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&TokenKey> {
        std::iter::once(&self.current).chain(&self.previous).find(|key| key.id == id)
    }
}

impl TokenKey {
    fn new(key: Vec<u8>) -> Self {
        let fingerprint = digest::digest(&digest::SHA256, &key);
        Self { id: URL_SAFE_NO_PAD.encode(&fingerprint.as_ref()[..8]), key: Secret::new(key) }
    }
}

fn make(path: &Path) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mut key = [0; TokenKeys::KEY_BYTES];
    rand::fill(&mut key).map_err(|_| failed(io::Error::other("the system gave no random bytes")))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // Written beside and linked into place whole: of two gateways that start at the same time one makes the key and
    // the other reads it, and a crash leaves no half of one.
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".token-key").tempfile_in(folder).map_err(failed)?;
    writeln!(file, "{}", URL_SAFE_NO_PAD.encode(key))
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}

fn read(path: &Path) -> Result<TokenKey, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    match URL_SAFE_NO_PAD.decode(text.trim_end()) {
        Ok(key) if key.len() == TokenKeys::KEY_BYTES => Ok(TokenKey::new(key)),
        Ok(_) | Err(_) => Err(KeyFileError::Content { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_for_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/token.key");
        let first = TokenKeys::load(&path, &[]).unwrap();
        let second = TokenKeys::load(&path, &[]).unwrap();
        assert_eq!(first.current.id, second.current.id);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_reload_makes_a_key_of_a_new_name_but_never_replaces_a_lost_one() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old.key", "new.key"].map(|name| folder.path().join(name));
        let running = TokenKeys::load(&old, &[]).unwrap();
        let rotated = running.reload(&new, std::slice::from_ref(&old)).unwrap();
        assert_ne!(rotated.current.id, running.current.id);
        assert!(rotated.by_id(&running.current.id).is_some());
        fs::remove_file(&new).unwrap();
        assert!(matches!(rotated.reload(&new, &[old]), Err(KeyFileError::Io { .. })));
        assert!(!new.exists());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        TokenKeys::load(&path, &[]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(TokenKeys::load(&path, &[]), Err(KeyFileError::Mode { mode: 0o640, .. })));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        for content in ["", "short", "not base64 at all, not at all, not at all!!\n"] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(TokenKeys::load(&path, &[]), Err(KeyFileError::Content { .. })), "{content:?}");
        }
    }
}
