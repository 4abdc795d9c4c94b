//! The wire: where a request goes, which headers travel with it, the connections to the upstreams, and every way in
//! which a request can end badly.

mod answer;
mod body;
mod credential;
mod headers;
mod pool;
mod publish;
mod rebuilt;
mod refusal;
mod respond;
mod route;
mod upstream;
mod writes;

pub use answer::Answered;
pub use body::{Arriving, Body, BoxError, Progress, Stalled, empty, whole};
pub use credential::{DevpiLogin, UpstreamCredential};
pub use headers::{Caller, check_request, has_one_length, is_identity_header};
pub use pool::Target;
pub use refusal::{ExchangeRefusal, Refusal, UpstreamError};
pub use respond::{exchange_errors, exchange_refused, json, refused};
pub use route::{Endpoint, IndexRoute, OwnPath, Route, Routes, UpstreamRoute};
pub use upstream::{HostHeader, Probe, ProbedCredential, Upstream, UpstreamKind, UpstreamSettings};
pub use writes::{DevpiIndex, FORM_START, PushCommand, Write, classify, is_form};
