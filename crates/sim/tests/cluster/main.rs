//! What the controllers, the scheduler and the kubelets make of the objects of a cluster, seen through its API.

mod common;
mod kubelet;
mod scheduler;
