//! Verification as a server does it: with the keys at hand, and once more with newer ones where that can help.

use super::error::TokenError;
use super::keys::{KeyStore, KeysUnavailable};
use super::unverified::Unverified;
use super::verify::{Expected, IdentityToken, verify};
use crate::clock::Timestamp;

/// Why nobody was identified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// The token is not to be believed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nobody can say: there are no keys to check it with.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
}

/// Verifies a token, waiting a few seconds at most for a newer key set if the token is in order but for its key.
/// A token with any other flaw never causes a fetch.
pub async fn identify(
    token: &Unverified<'_>,
    keys: &KeyStore,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<IdentityToken, IdentifyError> {
    let held = keys.held().unwrap_or_default();
    let error = match verify(token, &held, expected, now) {
        Ok(identity) => return Ok(identity),
        Err(error) => error,
    };
    let newer = match &error {
        TokenError::UnknownKey(kid) => Some(keys.key_set(kid).await?),
        TokenError::BadSignature(_) => keys.refresh_after_bad_signature(&held).await,
        TokenError::Malformed(_) | TokenError::Invalid(_) => None,
    };
    match newer {
        Some(newer) => Ok(verify(token, &newer, expected, now)?),
        None => Err(error.into()),
    }
}
