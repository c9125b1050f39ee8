//! Instances become nodes: their kubelets register them, and what a cloud controller manager does takes them away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cloud::{Instance, InstanceId, InstanceState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::CloudOptions;
use super::seed::{NODE_GROUP_TAG, cluster_tag, instance_of};
use crate::api::{Api, DeleteOptions};
use crate::cloud::{World, catalog};
use crate::controllers::later;
use crate::kinds::NODES;
use crate::object;
use crate::seed::nodes::{Machine, name_of, registered};
use crate::status::ApiError;

/// How a node is told how its kubelet fares.
const BEHAVIOUR: &str = "sim.kubesage.io/behaviour";
/// What the API refused is tried again after so long.
const AGAIN: Duration = Duration::from_secs(1);
/// New nodes have addresses from here on; seeded ones have lower ones.
const FIRST_SUBNET: usize = 128;
const SUBNETS: usize = 120;
const SUBNET_SIZE: usize = 200;

/// The instances that are nodes or will be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machines {
    stages: BTreeMap<InstanceId, Stage>,
    /// How many addresses were given away.
    addresses: usize,
}

/// How far an instance is on its way into the cluster and out of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Stage {
    /// Its kubelet is not there yet.
    Joins { at: Timestamp },
    /// It has a node that is not ready yet.
    Registered { node: String, ready_at: Timestamp },
    /// Its kubelet works.
    Works { node: String },
    /// Its kubelet is dead.
    Dead { node: String },
}

impl Machines {
    /// The machines of the nodes that are there and are instances of a world.
    pub(super) fn of_nodes(api: &Api, world: &World) -> Machines {
        let known = |node: &Value| {
            let (_, id) = instance_of(node)?;
            let works = Stage::Works { node: object::name(node).to_owned() };
            world.template_of(&id).is_some().then_some((id, works))
        };
        let stages = api.objects(NODES, None).iter().filter_map(|node| known(node)).collect();
        Machines { stages, addresses: 0 }
    }

    /// Brings the nodes to what the instances are; when that is to be done again, if no instance changes before.
    pub(super) fn follow(
        &mut self,
        instances: &[Instance],
        api: &Api,
        options: &CloudOptions,
        now: Timestamp,
    ) -> Option<Timestamp> {
        for instance in instances {
            let before = self.stages.remove(&instance.id);
            let (next, answer) = self.step(instance, before.clone(), api, options, now);
            let next = match answer {
                Ok(()) => next,
                Err(error) => {
                    tracing::warn!(%error, instance = %instance.id, "a node does not follow its instance");
                    before
                }
            };
            if let Some(stage) = next {
                self.stages.insert(instance.id.clone(), stage);
            }
        }
        self.follow_forgotten(instances, api);
        let due = self.stages.values().filter_map(|stage| match stage {
            // What was due and did not happen is tried again.
            Stage::Joins { at } | Stage::Registered { ready_at: at, .. } if *at <= now => {
                Some(later(now, AGAIN))
            }
            Stage::Joins { at } | Stage::Registered { ready_at: at, .. } => Some(*at),
            Stage::Works { .. } | Stage::Dead { .. } => None,
        });
        due.min()
    }

    /// The end of an instance is not told of any more after a while, in which the simulator may not have worked.
    fn follow_forgotten(&mut self, instances: &[Instance], api: &Api) {
        let present: BTreeSet<&InstanceId> = instances.iter().map(|instance| &instance.id).collect();
        self.stages.retain(|id, stage| match stage {
            _ if present.contains(id) => true,
            Stage::Joins { .. } => false,
            Stage::Registered { node, .. } | Stage::Works { node } | Stage::Dead { node } => {
                remove(api, node).is_err()
            }
        });
    }

    /// The next stage of an instance, and what the API said to it.
    fn step(
        &mut self,
        instance: &Instance,
        stage: Option<Stage>,
        api: &Api,
        options: &CloudOptions,
        now: Timestamp,
    ) -> (Option<Stage>, Result<(), ApiError>) {
        match (instance.state, stage) {
            (InstanceState::Running, None) => {
                let joins = instance.tags.contains_key(&cluster_tag(&options.eks_cluster));
                let at = later(now, options.join);
                match joins {
                    true if at <= now => self.step(instance, Some(Stage::Joins { at }), api, options, now),
                    true => (Some(Stage::Joins { at }), Ok(())),
                    false => (None, Ok(())),
                }
            }
            (InstanceState::Running, Some(Stage::Joins { at })) if at <= now => {
                let ready_at = later(now, options.ready);
                match self.register(instance, api) {
                    Ok(node) => (Some(Stage::Registered { node, ready_at }), Ok(())),
                    Err(error) => (Some(Stage::Joins { at }), Err(error)),
                }
            }
            (InstanceState::Running, Some(Stage::Registered { node, ready_at })) if ready_at <= now => {
                let answer = behave(api, &node, &Value::Null);
                (Some(Stage::Works { node }), answer)
            }
            (InstanceState::ShuttingDown, Some(Stage::Registered { node, .. } | Stage::Works { node })) => {
                let answer = behave(api, &node, &"dead".into());
                (Some(Stage::Dead { node }), answer)
            }
            (
                InstanceState::Terminated,
                Some(Stage::Registered { node, .. } | Stage::Works { node } | Stage::Dead { node }),
            ) => (None, remove(api, &node)),
            (InstanceState::ShuttingDown | InstanceState::Terminated, Some(Stage::Joins { .. })) => {
                (None, Ok(()))
            }
            (_, stage) => (stage, Ok(())),
        }
    }

    /// A kubelet makes its node, which is not ready at first; the name of the node.
    fn register(&mut self, instance: &Instance, api: &Api) -> Result<String, ApiError> {
        let Some(kind) = catalog::kind_of(&instance.instance_type) else {
            return Err(ApiError::internal("the instance is of a type that is not there"));
        };
        // It was killed before it could note that it had.
        if let Some(node) = node_of(&instance.id, api) {
            return Ok(node);
        }
        let machine = |address: &str| {
            let mut node = registered(&Machine {
                kind,
                zone: instance.zone.as_str(),
                lifecycle: instance.lifecycle,
                node_group: instance.tags.get(NODE_GROUP_TAG).map_or("", String::as_str),
                instance_id: instance.id.as_str(),
                address,
            });
            node["metadata"]["annotations"][BEHAVIOUR] = "not-ready".into();
            node
        };
        loop {
            let index = self.addresses;
            self.addresses += 1;
            let subnet = FIRST_SUBNET + index / SUBNET_SIZE % SUBNETS;
            let address = format!("10.0.{subnet}.{}", 10 + index % SUBNET_SIZE);
            match api.create(machine(&address)) {
                // Somebody has the address, and so the name: each is tried once.
                Err(error) if error.code == 409 && index < SUBNETS * SUBNET_SIZE * 2 => {}
                answer => return answer.map(|_| name_of(&address)),
            }
        }
    }
}

/// The name of the node that is this instance.
fn node_of(id: &InstanceId, api: &Api) -> Option<String> {
    let is_its = |node: &Value| instance_of(node).is_some_and(|(_, own)| own == *id);
    api.objects(NODES, None).iter().find(|node| is_its(node)).map(|node| object::name(node).to_owned())
}

fn remove(api: &Api, node: &str) -> Result<(), ApiError> {
    ignore_missing(api.delete(NODES, "", node, &DeleteOptions::default()).map(drop))
}

/// Tells a node's kubelet how it fares; nothing when it is to be well.
fn behave(api: &Api, node: &str, behaviour: &Value) -> Result<(), ApiError> {
    let patch = json!({ "metadata": { "annotations": { BEHAVIOUR: behaviour } } });
    ignore_missing(api.update(NODES, "", node, |node| json_patch::merge(node, &patch)).map(drop))
}

/// Somebody may have deleted the node before: its kubelet does not make it again.
fn ignore_missing(answer: Result<(), ApiError>) -> Result<(), ApiError> {
    match answer {
        Err(error) if error.code == 404 => Ok(()),
        answer => answer,
    }
}
