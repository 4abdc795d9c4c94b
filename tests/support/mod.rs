//! Real parts for tests, benches and the quickstart: unmodified indexes, unmodified clients, a local identity
//! provider, and the gateway's own binary, all on loopback and all gone when the program ends.
//!
//! Everything here blocks: a test reads from top to bottom. What goes wrong panics with a sentence.
#![allow(dead_code, reason = "each program that includes this module uses its own part of it")]

pub mod bare;
pub mod claims;
pub mod clients;
pub mod devpi;
pub mod gateway;
pub mod issuer;
pub mod package;
pub mod process;
pub mod pypiserver;
pub mod python;
pub mod raw;
pub mod recorder;
pub mod stage;
pub mod tls;

/// The sha256 of `bytes`, as indexes and audit lines write it.
pub fn sha256(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `N` random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
