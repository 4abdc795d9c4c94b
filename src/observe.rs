//! What operators see: one audit line for each decision, and the log.

pub mod audit;
pub mod logs;
pub mod reloads;
