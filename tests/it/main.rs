//! The one integration test binary: the real gateway between real indexes and real clients.
#![expect(clippy::unwrap_used, reason = "a test that meets something unexpected should stop there")]

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod clients;
mod docs;
mod exchange;
mod explain;
mod hostile;
mod keys;
mod limits;
mod parts;
mod passwords;
mod providers;
mod pytp;
mod relay;
mod reload;
mod schema;
mod tokens;
