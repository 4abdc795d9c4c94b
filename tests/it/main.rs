//! The one integration test binary: the real gateway between real indexes and real clients.
#![expect(clippy::unwrap_used, reason = "a test that meets something unexpected should stop there")]

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod clients;
mod explain;
mod parts;
