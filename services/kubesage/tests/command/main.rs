//! The command as a person uses it.

mod drain;
mod faults;
mod quick_start;
mod real_parts;
mod restarts;
mod simulated_cluster;
mod started;
mod stored_clusters;
