//! The gateway's own short-lived upload token, and what callers put into `Authorization`.

mod credential;
mod keys;
mod mint;

pub use credential::{BadCredential, Credential, mentions_upload_token};
pub use keys::{KeyFileError, TokenKeys};
pub use mint::{BadToken, Minted, Terms, Tokens, UploadIdentity};

/// What every upload token begins with, so that people, secret scanners and the gateway recognise one.
pub const PREFIX: &str = "indexgate-";
