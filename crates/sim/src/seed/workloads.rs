//! Workloads with everything that their controllers would have made: replica sets, pods, services.

use serde_json::{Value, json};

use super::pods::{self, Container, Pod, State};
use super::{Garden, suffix};
use crate::controllers::first_revision;
use crate::object;
use crate::status::ApiError;

/// Within the longest pause between two restarts.
const FAILED_SECONDS_AGO: i64 = 100;

/// What keeps the pods of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Deployment,
    StatefulSet,
    /// One pod on each node.
    DaemonSet,
}

/// A workload to be made, with a service where its container has a port.
pub(super) struct Workload<'a> {
    pub(super) controller: Controller,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) replicas: usize,
    pub(super) container: Container,
    /// How its last pod fares; the others run.
    pub(super) last: State,
    pub(super) age_hours: u32,
    /// Index of the first pod's node, of how many nodes.
    pub(super) first_node: usize,
    pub(super) nodes: usize,
}

impl Workload<'_> {
    pub(super) fn plant(&self, garden: &Garden<'_>) -> Result<(), ApiError> {
        let labels = self.labels();
        let template = pods::template(self.name, self.container, "Always");
        let owner = match self.controller {
            Controller::Deployment => self.plant_deployment(garden, &labels, &template)?,
            Controller::StatefulSet => self.plant_stateful_set(garden, &labels, &template)?,
            Controller::DaemonSet => self.plant_daemon_set(garden, &labels, &template)?,
        };
        let revision = self.plant_revision(garden, &owner)?;
        if self.container.port != 0 {
            garden.plant(self.service(&labels), self.age_hours)?;
        }
        let failed = garden.at(-FAILED_SECONDS_AGO);
        let started = garden.ago(self.age_hours.min(24 * 6));
        for index in 0..self.replicas {
            let (name, mut labels) = self.identity(&owner, &labels, index);
            if let Some(revision) = &revision {
                labels["controller-revision-hash"] = revision.as_str().into();
            }
            let pod = Pod {
                name: &name,
                namespace: self.namespace,
                labels,
                annotations: pods::annotations(self.last),
                owner: object::controller_reference(&owner),
                template: &template,
                node: (self.first_node + index) % self.nodes.max(1),
                state: if index + 1 == self.replicas { self.last } else { State::Running },
                started: &started,
                failed: &failed,
            };
            garden.plant(pods::pod(pod), self.age_hours.min(24 * 6))?;
        }
        Ok(())
    }

    /// Makes a budget by which one pod at a time is missing, where that leaves some: for workloads of several pods that are all
    /// well. Of others a budget would let none go, and no node be drained.
    pub(super) fn plant_budget(&self, garden: &Garden<'_>) -> Result<(), ApiError> {
        if self.controller == Controller::DaemonSet || self.ready() < self.replicas || self.replicas < 2 {
            return Ok(());
        }
        let labels = self.labels();
        let budget = json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": labels },
            "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels } },
        });
        garden.plant(budget, self.age_hours).map(drop)
    }

    fn labels(&self) -> Value {
        json!({ "app.kubernetes.io/name": self.name, "app.kubernetes.io/part-of": self.namespace })
    }

    fn ready(&self) -> usize {
        if self.last == State::Running { self.replicas } else { self.replicas.saturating_sub(1) }
    }

    /// Makes the revision of the template, without which the pods would be taken for old ones; how it is named on them.
    fn plant_revision(&self, garden: &Garden<'_>, owner: &Value) -> Result<Option<String>, ApiError> {
        let (hash_label, field) = match self.controller {
            Controller::Deployment => return Ok(None),
            Controller::StatefulSet => ("controller.kubernetes.io/hash", "/metadata/name"),
            Controller::DaemonSet => {
                ("controller-revision-hash", "/metadata/labels/controller-revision-hash")
            }
        };
        let revision = garden.plant(first_revision(owner, hash_label), self.age_hours)?;
        Ok(revision.pointer(field).and_then(Value::as_str).map(str::to_owned))
    }

    /// Name and labels of a pod, as its controller gives them.
    fn identity(&self, owner: &Value, labels: &Value, index: usize) -> (String, Value) {
        let mut labels = labels.clone();
        let owner_name = object::name(owner);
        let random = suffix(&format!("{}/{owner_name}/{index}", self.namespace), 5);
        let name = match self.controller {
            Controller::Deployment => {
                labels["pod-template-hash"] = owner["metadata"]["labels"]["pod-template-hash"].clone();
                format!("{owner_name}-{random}")
            }
            Controller::StatefulSet => {
                let name = format!("{owner_name}-{index}");
                labels["apps.kubernetes.io/pod-index"] = index.to_string().into();
                labels["statefulset.kubernetes.io/pod-name"] = name.as_str().into();
                name
            }
            Controller::DaemonSet => {
                labels["pod-template-generation"] = "1".into();
                format!("{owner_name}-{random}")
            }
        };
        (name, labels)
    }

    /// Makes the deployment and its replica set, which owns the pods.
    fn plant_deployment(
        &self,
        garden: &Garden<'_>,
        labels: &Value,
        template: &Value,
    ) -> Result<Value, ApiError> {
        let (replicas, ready) = (self.replicas, self.ready());
        let at = garden.ago(self.age_hours);
        let available = if ready == replicas { "True" } else { "False" };
        let reason =
            if ready == replicas { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" };
        let mut deployment = self.object("Deployment", labels, template);
        deployment["metadata"]["annotations"] = json!({ "deployment.kubernetes.io/revision": "1" });
        deployment["spec"]["replicas"] = replicas.into();
        deployment["spec"]["strategy"] = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" } });
        deployment["spec"]["revisionHistoryLimit"] = 10.into();
        deployment["spec"]["progressDeadlineSeconds"] = 600.into();
        deployment["status"] = json!({
            "observedGeneration": 1,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": replicas - ready,
            "conditions": [
                { "type": "Available", "status": available, "reason": reason, "lastUpdateTime": at, "lastTransitionTime": at },
                { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "lastUpdateTime": at, "lastTransitionTime": at },
            ],
        });
        let deployment = garden.plant(deployment, self.age_hours)?;

        let hash = suffix(&format!("{}/{}", self.namespace, self.name), 10);
        let mut labels = labels.clone();
        labels["pod-template-hash"] = hash.as_str().into();
        let mut replica_set = self.object("ReplicaSet", &labels, template);
        replica_set["metadata"]["name"] = format!("{}-{hash}", self.name).into();
        replica_set["metadata"]["annotations"] = json!({
            "deployment.kubernetes.io/desired-replicas": replicas.to_string(),
            "deployment.kubernetes.io/revision": "1",
        });
        replica_set["metadata"]["ownerReferences"] = json!([object::controller_reference(&deployment)]);
        replica_set["spec"]["replicas"] = replicas.into();
        replica_set["status"] = json!({
            "observedGeneration": 1,
            "replicas": replicas,
            "fullyLabeledReplicas": replicas,
            "readyReplicas": ready,
            "availableReplicas": ready,
        });
        garden.plant(replica_set, self.age_hours).map(|object| Value::clone(&object))
    }

    fn plant_stateful_set(
        &self,
        garden: &Garden<'_>,
        labels: &Value,
        template: &Value,
    ) -> Result<Value, ApiError> {
        let (replicas, ready) = (self.replicas, self.ready());
        let mut set = self.object("StatefulSet", labels, template);
        set["spec"]["replicas"] = replicas.into();
        set["spec"]["serviceName"] = self.name.into();
        set["spec"]["podManagementPolicy"] = "OrderedReady".into();
        set["spec"]["updateStrategy"] =
            json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } });
        set["status"] = json!({
            "observedGeneration": 1,
            "replicas": replicas,
            "currentReplicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "collisionCount": 0,
        });
        garden.plant(set, self.age_hours).map(|object| Value::clone(&object))
    }

    fn plant_daemon_set(
        &self,
        garden: &Garden<'_>,
        labels: &Value,
        template: &Value,
    ) -> Result<Value, ApiError> {
        let (replicas, ready) = (self.replicas, self.ready());
        let mut set = self.object("DaemonSet", labels, template);
        set["spec"]["updateStrategy"] =
            json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } });
        set["status"] = json!({
            "observedGeneration": 1,
            "currentNumberScheduled": replicas,
            "desiredNumberScheduled": replicas,
            "updatedNumberScheduled": replicas,
            "numberMisscheduled": 0,
            "numberReady": ready,
            "numberAvailable": ready,
        });
        garden.plant(set, self.age_hours).map(|object| Value::clone(&object))
    }

    /// What deployments, replica sets, stateful sets and daemon sets have in common.
    fn object(&self, kind: &str, labels: &Value, template: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": labels },
            "spec": {
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels, "annotations": pods::annotations(self.last) },
                    "spec": template,
                },
            },
        })
    }

    fn service(&self, labels: &Value) -> Value {
        let headless = self.controller == Controller::StatefulSet;
        let digest = crc32fast::hash(format!("{}/{}", self.namespace, self.name).as_bytes());
        let address = if headless {
            "None".to_owned()
        } else {
            format!("10.100.{}.{}", digest % 250, 1 + digest / 250 % 250)
        };
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": labels },
            "spec": {
                "type": "ClusterIP",
                "clusterIP": address,
                "clusterIPs": [address],
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster",
                "sessionAffinity": "None",
                "selector": labels,
                "ports": [{ "name": "main", "port": self.container.port, "targetPort": self.container.port, "protocol": "TCP" }],
            },
            "status": { "loadBalancer": {} },
        })
    }
}
