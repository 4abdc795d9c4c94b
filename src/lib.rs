//! indexgate: trusted publishing for the package index you already run.
//!
//! The modules in the order in which they may know each other: each may use those above it, and no other.
//! [`gateway`] is one request from its head to its answer, and the place to begin.

pub mod clock;
pub mod json;
pub mod names;
pub mod secret;
pub mod tls;

pub mod policy;

pub mod oidc;
pub mod store;
pub mod token;
pub mod upload;

pub mod observe;
pub mod proxy;

pub mod gateway;

pub mod server;

pub mod cli;
pub mod config;
