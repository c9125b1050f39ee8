//! The drain engine on a cluster: the simulated one, or that of `KUBESAGE_TEST_KUBECONFIG`.

#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

mod answers;
mod between;
mod budgets;
mod consents;
mod cordon;
mod faults;
mod nodes;
mod stage;
mod volumes;
mod whole;
