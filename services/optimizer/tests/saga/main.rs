//! Sagas: where they are written down, and what becomes of them when everything goes wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod log;
mod memory;
mod simulation;
