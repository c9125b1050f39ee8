//! The agent between a simulated API server and a relay that the tests play.

mod allocation;
mod cache;
mod commands;
mod health;
mod process;
mod relay;
mod sessions;
mod transport;
mod world;
