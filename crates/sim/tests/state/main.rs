//! A cluster that is kept in a directory, after its process was killed.

mod cloud;
mod cluster;
mod common;
mod credentials;
mod files;
mod pods;
