//! The service over its HTTP port, with the simulated account: on SQLite, and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod accounts;
mod cancelling;
mod claims;
mod events;
mod instances;
mod operations;
mod removals;
mod retention;
mod sagas;
mod streams;
mod world;
