//! Drives small applications over real HTTP.

mod auth;
mod common;
mod config;
mod contract;
mod hostile;
mod limits;
mod problems;
mod serving;
mod shutdown;
