//! Workloads as their users see them, through the Kubernetes API alone: in the simulator, or in a real cluster.

mod common;
mod cron_jobs;
mod daemon_sets;
mod deployments;
mod jobs;
mod properties;
mod replica_sets;
mod replication_controllers;
mod stateful_sets;
