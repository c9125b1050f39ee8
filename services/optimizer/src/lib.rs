//! Moves workloads to cheaper capacity without anybody noticing.

pub mod cluster;
pub mod phases;
pub mod reach;
pub mod saga;
mod store;

pub use store::Database;
