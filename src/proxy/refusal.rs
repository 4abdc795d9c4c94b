//! Every way in which a request can end badly. `Display` is for the log and the audit; what the caller is told is
//! chosen in `respond`.

use std::time::Duration;

use crate::names::{IndexName, UpstreamName};
use crate::store::StoreError;
use crate::token::{BadCredential, BadToken};
use crate::upload::UploadError;

/// Why a request outside the exchange was not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request line.
    #[error("the request target is not usable: {0}")]
    BadTarget(&'static str),
    /// The target is longer than any index needs.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The header fields.
    #[error("the request is malformed: {0}")]
    BadHead(&'static str),
    /// More header bytes than any client sends.
    #[error("the request has too many header bytes")]
    HeadTooLarge,
    /// An expectation other than `100-continue`.
    #[error("the expectation is not supported")]
    Expectation,
    /// A method that is never served.
    #[error("the method is not supported; methods are upper-case letters, CONNECT and TRACE are not served")]
    Method,
    /// No upstream has this path.
    #[error("nothing is served under this path")]
    NoUpstream,
    /// An upload token, or something like it, in the wrong place.
    #[error(transparent)]
    Credential(#[from] BadCredential),
    /// An upload token that is not valid.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// An upload token on something that is no upload.
    #[error("an upload token can only upload: POST a file to {upload_paths}")]
    NotAnUpload {
        /// Where uploads go.
        upload_paths: String,
    },
    /// The upload path in another spelling.
    #[error("uploads to this index go to exactly {upload_path}, without a query")]
    UploadPath {
        /// The right spelling.
        upload_path: String,
    },
    /// A coding of the whole body.
    #[error("an upload cannot have a Content-Encoding; send the form as it is")]
    ContentEncoding,
    /// The declared length is over the limit.
    #[error("the upload is larger than {limit} bytes")]
    TooLarge {
        /// `limits.upload_size`.
        limit: u64,
    },
    /// The form, the file or its archive.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The client stopped sending.
    #[error("the upload stopped arriving")]
    Stalled,
    /// The client went away or broke the framing of its body.
    #[error("the upload ended before it was complete")]
    Aborted,
    /// The rules do not allow this upload.
    #[error("{0}")]
    NotPermitted(String),
    /// A classic credential where only trusted publishing counts.
    #[error(
        "{} takes uploads by trusted publishing only, not by password; publish from CI with an upload token",
        closed(index, project.as_deref())
    )]
    NoPasswords {
        /// The index.
        index: IndexName,
        /// The project, if it is not the whole index.
        project: Option<String>,
    },
    /// A write by which an index that is closed to passwords could be changed.
    #[error(
        "index `{index}` takes uploads by trusted publishing only; what could change it in another way, such as this request, is done at the index server itself"
    )]
    ClosedIndex {
        /// The index.
        index: IndexName,
    },
    /// What must be remembered cannot be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody would know of this upload.
    #[error("the audit cannot be written")]
    Audit,
    /// The index server.
    #[error("upstream `{upstream}`: {error}")]
    Upstream {
        /// Which.
        upstream: UpstreamName,
        /// What went wrong.
        error: UpstreamError,
    },
    /// A thread of ours ended, which no request should be able to cause.
    #[error("the request failed inside the gateway; tell its administrator")]
    Internal,
}

fn closed(index: &IndexName, project: Option<&str>) -> String {
    project.map_or_else(
        || format!("index `{index}`"),
        |project| format!("project `{project}` of index `{index}`"),
    )
}

/// What went wrong between the gateway and an index server.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke before there was an answer.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// It tried to leave HTTP.
    #[error("it answered with a protocol switch")]
    Switch,
    /// The upload is not the one that was decided about; no request should be able to cause this.
    #[error("the permit is for another upload")]
    NotPermitted,
    /// It refuses the credential that the gateway uses.
    #[error("it refuses the gateway's own credential (HTTP {0})")]
    CredentialRefused(u16),
    /// Its login page answers with something that is no login.
    #[error("its +login gave no token: {0}")]
    Login(String),
    /// It answered a guarded upload with a redirect.
    #[error("it answered the upload with a redirect (HTTP {0}); check the upstream's url and upload_path")]
    Redirect(u16),
    /// It failed.
    #[error("it failed with HTTP {0}")]
    Failed(u16),
}

/// Why an exchange was refused: PyPI's codes, and two for moments in which nobody could be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeRefusal {
    /// The request is no exchange, or the token's issuer is unknown.
    #[error("{0}")]
    InvalidPayload(String),
    /// The token is no JWT.
    #[error("{0}")]
    MalformedToken(String),
    /// The token is not valid. The reason is for the audit: to a stranger every flaw looks the same.
    #[error("{0}")]
    InvalidToken(String),
    /// No publisher matches.
    #[error("valid token, but no corresponding publisher ({0})")]
    InvalidPublisher(String),
    /// A publisher matches, but the upload that was asked about is not covered.
    #[error("{0}")]
    UploadNotCovered(String),
    /// The token was exchanged before.
    #[error("invalid token: already used")]
    Reused,
    /// Too many exchanges from this address.
    #[error("too many token requests from this address; try again in {0} seconds")]
    RateLimited(u64),
    /// The issuer's keys, the store or the audit cannot be reached.
    #[error("{0}")]
    Unavailable(String),
    /// This path is not served.
    #[error("not found")]
    NotFound,
    /// No issuer is configured.
    #[error("trusted publishing is not set up here: no issuer is configured")]
    NotSetUp,
    /// No index has the upload path that a client asks about.
    #[error(
        "no index takes uploads there; ask with ?discover= and the percent-encoded path of the upload URL, once"
    )]
    NoIndex,
    /// The client accepts no type that could be answered; one that can.
    #[error("no acceptable media type; accept {0}")]
    NotAcceptable(&'static str),
    /// The wrong method; the right ones.
    #[error("method not allowed; use {0}")]
    Method(&'static str),
    /// The body is larger than any token.
    #[error("the request body is larger than {0} bytes")]
    TooLarge(usize),
}
