//! indexgate: trusted publishing for the package index you already run.
pub mod clock;
pub mod json;
pub mod names;
pub mod secret;

pub mod policy;

pub mod oidc;
pub mod store;
pub mod token;
pub mod upload;
