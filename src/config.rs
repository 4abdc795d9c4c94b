//! The configuration: read whole, checked whole, and then one immutable value. It knows everyone; nobody knows it.

mod files;
mod implied;
mod issuer;
mod lint;
mod listen;
mod load;
mod named;
mod pattern;
mod places;
mod problem;
mod project;
mod publisher;
mod reader;
mod reload;
mod restate;
mod rule_test;
mod schema;
mod secrets;
mod sections;
mod settings;
mod soundness;
mod started;
mod upstream;

#[cfg(test)]
mod tests;

pub use issuer::IssuerSettings;
pub use listen::ListenSettings;
pub use load::{Reading, load, read};
pub use problem::{ConfigError, Problem};
pub use reload::{Fixed, Reloader};
pub use rule_test::PlacedTest;
pub use schema::{SchemaOf, schema};
pub use settings::{Settings, StartError};
