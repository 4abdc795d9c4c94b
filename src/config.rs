//! The configuration: read whole, checked whole, and then one immutable value. It knows everyone; nobody knows it.

mod implied;
mod issuer;
mod lint;
mod load;
mod named;
mod places;
mod problem;
mod project;
mod publisher;
mod reader;
mod restate;
mod rule_test;
mod secrets;
mod settings;
mod upstream;

#[cfg(test)]
mod tests;

pub use issuer::IssuerSettings;
pub use load::load;
pub use problem::{ConfigError, Problem};
pub use rule_test::PlacedTest;
pub use settings::{ListenSettings, Settings, StartError};
