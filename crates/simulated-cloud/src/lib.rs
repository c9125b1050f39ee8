//! The client of the simulated cloud, which `sim` serves below `/simulator/v1/cloud/`.

mod client;
mod session;

pub use client::{Settings, SetupError, Simulated};

/// The region of the simulated account.
pub const REGION: &str = "us-east-1";
