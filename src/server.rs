//! Sockets and life cycle: one thread for each core, each with its own listener, runtime and upstream connections.

mod listen;
mod run;

pub use run::{Server, Serving, Shared};
