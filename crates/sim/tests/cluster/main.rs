//! What the controllers, the scheduler and the kubelets make of the objects of a cluster, seen through its API.

#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

mod budgets;
mod cleanup;
mod common;
mod crash_loops;
mod events;
mod kubelet;
mod logs;
mod mounts;
mod node_events;
mod nodes;
mod quotas;
mod scheduler;
mod seeds;
mod volumes;
