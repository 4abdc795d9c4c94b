//! The wire: where a request goes, which headers travel with it, the connections to the upstreams, and every way in
//! which a request can end badly.

mod answer;
mod body;
mod credential;
mod headers;
mod pool;
mod rebuilt;
mod refusal;
mod respond;
mod route;
mod upstream;

pub use answer::{Answered, guarded_answer};
pub use body::{Arriving, Body, BoxError, Progress, Stalled, empty, whole};
pub use credential::{DevpiLogin, UpstreamCredential};
pub use headers::{Caller, check_request, is_identity_header};
pub use pool::Target;
pub use refusal::{ExchangeRefusal, Refusal, UpstreamError};
pub use respond::{exchange_refused, json, refused};
pub use route::{IndexRoute, OwnPath, Route, Routes, UpstreamRoute, is_index_path};
pub use upstream::{HostHeader, Probe, ProbedCredential, Upstream, UpstreamKind, UpstreamSettings};
