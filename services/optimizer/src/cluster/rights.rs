//! What the optimizer may do in a cluster.

use serde_json::{Value, json};

/// The group as which a cluster is to know the optimizer's role: its access entry says so
/// (<https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html>), and a ClusterRoleBinding gives the group the rights.
pub const ACCESS_GROUP: &str = "kubesage:optimizer";

/// The rules of the ClusterRole that the optimizer needs, as Kubernetes writes them: each verb is used, and no other.
///
/// | what | for |
/// |---|---|
/// | nodes: get, list | finding the node of an instance, counting those that are Ready, seeing who would take a pod |
/// | nodes: patch | cordoning and uncordoning |
/// | pods: list, watch | what is on a node, and when it has gone |
/// | pods/eviction: create | draining, with respect for disruption budgets |
/// | poddisruptionbudgets: list, watch | which pods may go now, and which never |
/// | replicasets, statefulsets, replicationcontrollers: get | whether a budget that allows nothing waits for a pod that is missing |
/// | daemonsets: list | whose pods stay, and whether a new node has all of its own |
/// | persistentvolumes: list | where the volumes of a pod are, and which belong to pods that stay |
/// | volumeattachments: list | whether the volumes of what has left are let go |
///
/// In shadow mode nothing is patched and nothing created.
pub fn cluster_role_rules() -> Value {
    json!([
        { "apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "patch"] },
        { "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] },
        { "apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"] },
        { "apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["list", "watch"] },
        { "apiGroups": [""], "resources": ["replicationcontrollers"], "verbs": ["get"] },
        { "apiGroups": ["apps"], "resources": ["replicasets", "statefulsets"], "verbs": ["get"] },
        { "apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["list"] },
        { "apiGroups": [""], "resources": ["persistentvolumes"], "verbs": ["list"] },
        { "apiGroups": ["storage.k8s.io"], "resources": ["volumeattachments"], "verbs": ["list"] },
    ])
}
