//! Why an identity token is not believed. The texts are for the log: callers of the mint endpoint are told only
//! "malformed JWT" or "malformed or invalid token". None of them contains the token.

use crate::names::printable;

/// Why an identity token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT that names an issuer.
    #[error("malformed JWT: {0}")]
    Malformed(&'static str),
    /// All is in order, except that no key of that name is in the key set: a newer set may have it.
    #[error("no key `{}` in the key set of the issuer", printable(.0))]
    UnknownKey(String),
    /// All is in order, except that the signature is not by the key of that name: a newer set may have another
    /// key under it.
    #[error("the signature is not by key `{}`", printable(.0))]
    BadSignature(String),
    /// Nothing but a different token would help.
    #[error("invalid token: {0}")]
    Invalid(#[from] Flaw),
}

/// What is wrong with an identity token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A member appears twice in the header or the claims.
    #[error("a member of the {0} appears twice")]
    Repeated(&'static str),
    /// The header says something that must be understood or must not be trusted.
    #[error("header member `{}` is not accepted", printable(.0))]
    HeaderMember(String),
    /// The header declares another kind of token.
    #[error("`typ` is not `JWT`")]
    Type,
    /// The algorithm is absent, unknown, or not one of the issuer's.
    #[error("algorithm {} is not accepted from this issuer", printable(.0))]
    Algorithm(String),
    /// There is no usable key id.
    #[error("`kid` must be 1 to 256 printable ASCII characters")]
    KeyId,
    /// The key is for something else.
    #[error("key `{}` is not for this algorithm", printable(.0))]
    KeyUse(String),
    /// The token is from somebody else.
    #[error("`iss` is not the issuer's URL")]
    Issuer,
    /// The token is for somebody else.
    #[error("`aud` is {}, not exactly the expected audience", printable(.0))]
    Audience(String),
    /// A claim that must be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A claim is not of the type or form it must have.
    #[error("`{0}` is not {1}")]
    Form(&'static str, &'static str),
    /// The token is too old.
    #[error("expired {0} s ago")]
    Expired(i64),
    /// The token is not yet valid.
    #[error("`{0}` is {1} s in the future")]
    Future(&'static str, i64),
    /// The token lives too long, or ends before it begins.
    #[error("lives for {0} s, which is more than the issuer's `max_lifetime` or less than nothing")]
    Lifetime(i64),
}
