//! The configuration: read whole, checked whole, and then one immutable value. It knows everyone; nobody knows it.

mod implied;
mod issuer;
mod load;
mod named;
mod pattern;
mod problem;
mod project;
mod publisher;
mod reader;
mod schema;
mod secrets;
mod settings;
mod soundness;
mod started;
mod upstream;

#[cfg(test)]
mod tests;

pub use issuer::IssuerSettings;
pub use load::load;
pub use problem::{ConfigError, Problem};
pub use schema::{SchemaOf, schema};
pub use settings::{ListenSettings, Settings, StartError};
