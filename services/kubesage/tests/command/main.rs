//! The command as a person uses it.

mod administrator;
mod drain;
mod faults;
mod operation;
mod quick_start;
mod real_parts;
mod replacement;
mod restarts;
mod simulated_cluster;
mod started;
mod stored_clusters;
