//! Placeholder until the command line is in place.
fn main() {}
