//! A healthy cluster of a given size.

use super::Garden;
use super::bootstrap::namespace;
use super::nodes::node;
use super::pods::{Container, State};
use super::workloads::{Controller, Workload};
use crate::status::ApiError;

const PODS_PER_NAMESPACE: usize = 500;
const PODS_PER_DEPLOYMENT: usize = 10;
const CONTAINER: Container =
    Container { image: "registry.k8s.io/e2e-test-images/agnhost:2.56", cpu: 50, memory: 64, port: 0 };

pub(super) fn plant(garden: &Garden<'_>, nodes: usize, pods: usize) -> Result<(), ApiError> {
    let (since, now) = (garden.ago(24), garden.ago(0));
    for index in 0..nodes {
        garden.plant(node(index, &since, &now), 24)?;
    }
    for first in (0..pods).step_by(PODS_PER_DEPLOYMENT) {
        let team = format!("team-{:03}", first / PODS_PER_NAMESPACE);
        if first % PODS_PER_NAMESPACE == 0 {
            namespace(garden, &team, 24)?;
        }
        let workload = Workload {
            controller: Controller::Deployment,
            namespace: &team,
            name: &format!("app-{:05}", first / PODS_PER_DEPLOYMENT),
            replicas: PODS_PER_DEPLOYMENT.min(pods - first),
            container: CONTAINER,
            last: if nodes == 0 { State::Unschedulable } else { State::Running },
            age_hours: 12,
            first_node: first,
            nodes,
        };
        workload.plant(garden)?;
    }
    Ok(())
}
