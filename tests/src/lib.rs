//! The whole system as processes of its own, on a real broker and a real database, with a simulated cluster.

mod client;
mod fleet;
mod system;

pub use client::{Answer, Client};
pub use fleet::{Asked, Fleet, Load, Replica};
pub use system::{Brokers, Options, System, names};
