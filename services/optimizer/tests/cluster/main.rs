//! Clusters of EKS as sagas reach them: the simulator's, entered through its account.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod drains;
mod entry;
mod nodes;
mod pipeline;
mod rights;
mod stage;
