//! What has happened, told to whoever listens on `kubesage.events`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::Timestamp;

/// Something that has happened. It is delivered at least once: `event_id` tells repetitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// A UUID, the same in every delivery.
    pub event_id: String,
    /// What has happened.
    pub event_type: EventType,
    /// Whose thing it happened to.
    pub user_id: String,
    /// That user's name; empty where the sender does not know it.
    pub username: String,
    /// When, by the sender's clock.
    pub occurred_at: Timestamp,
    /// What the type says; never a secret.
    pub data: Map<String, Value>,
}

impl Event {
    /// Something that happens now to a thing of this user; `data` is the object that the type says.
    pub fn new(event_type: EventType, user_id: &str, username: &str, now: Timestamp, data: Value) -> Self {
        let data = match data {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        Self {
            event_id: Uuid::now_v7().to_string(),
            event_type,
            user_id: user_id.to_owned(),
            username: username.to_owned(),
            occurred_at: now,
            data,
        }
    }

    /// The topic under which the event is published, `{entity}.{what}`.
    pub fn routing_key(&self) -> String {
        self.event_type.routing_key()
    }

    /// A text of `data`, if it is there.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.data.get(field).and_then(Value::as_str)
    }
}

/// What has happened. `data` of each is told here; `simulated?` is there, and true, only where it happened in the simulated account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// `{key_id, name, scopes}`
    ApiKeyCreated,
    /// `{key_id, name}`: the key is worth nothing from now on.
    ApiKeyRevoked,
    /// `{key_id, name, replaced_by, expires_at}`: the key ends at `expires_at`.
    ApiKeyRotated,
    /// `{user_id, roles}`
    UserCreated,
    /// `{user_id, is_active, roles}`: forget what you remembered of the user's keys.
    UserUpdated,
    /// `{cluster_id, agent_id, cluster_name, provider}`
    ClusterCreated,
    /// `{cluster_id, agent_id, cluster_name}`; without `agent_id` for a cluster by stored credentials.
    ClusterDeleted,
    /// `{cluster_id, agent_id, cluster_name, changed}`: what was said of it (`provider`, `features`), `costs` or `aws_role`; of a cluster
    /// by stored credentials, without `agent_id`, the fields that were changed.
    ClusterUpdated,
    /// `{cluster_id, cluster_name, server_url, context_name, provider_name}`: its credentials are stored.
    ClusterOnboarded,
    /// `{cluster_id, cluster_name, namespaces}`: it is its user's active one, and how many namespaces it has.
    ClusterSelectedAndNamespacesRetrieved,
    /// `{cluster_id, cluster_name}`: somebody was shown its stored credentials.
    ClusterCredentialsRead,
    /// `{cluster_id, cluster_name, run_id, command}`: a command that changes the cluster is about to be run.
    ClusterKubectlStarted,
    /// `{cluster_id, cluster_name, run_id, command, exit_code, duration_ms, failure}`: a command was run; `exit_code` is null where it was killed, or
    /// could not be run, and then `failure` says why.
    ClusterKubectlExecuted,
    /// `{cluster_id, agent_id, cluster_name, state_before, last_heartbeat}`: the agent is there, for the first time or again.
    ClusterConnected,
    /// `{cluster_id, agent_id, cluster_name, state_before, last_heartbeat}`: nothing was heard of the agent for a while.
    ClusterStale,
    /// `{cluster_id, agent_id, cluster_name, state_before, last_heartbeat}`: nothing was heard of it for long.
    ClusterDisconnected,
    /// `{cluster_id, agent_id, key_id}`
    AgentKeyCreated,
    /// `{cluster_id, agent_id, key_id}`
    AgentKeyRevoked,
    /// `{cluster_id, agent_id}`: two processes were connected as one agent. The newer one stays.
    AgentDuplicated,
    /// `{account_id, name, aws_account, region, simulated?}`: operations may work in an account of AWS.
    AccountAdded,
    /// `{account_id, name, aws_account, region, simulated?}`
    AccountRemoved,
    /// `{lab_instance_id, account_id, instance_id, pipeline_mode, is_shadow_mode, simulated?}`: operations may work on an instance.
    LabInstanceAdded,
    /// `{lab_instance_id, account_id, instance_id, pipeline_mode, is_shadow_mode, simulated?}`
    LabInstanceUpdated,
    /// `{lab_instance_id, account_id, instance_id, pipeline_mode, is_shadow_mode, simulated?}`: it is left alone from now on.
    LabInstanceRemoved,
    /// `{operation_id, account_id, instance_id, is_shadow_mode, simulated?}`
    OperationStarted,
    /// `{operation_id, account_id, instance_id, is_shadow_mode, simulated?}`: somebody wants it cancelled. Whether it was, its end tells.
    OperationCancelRequested,
    /// `{operation_id, account_id, instance_id, is_shadow_mode, simulated?, ending, why}`: `ending` is `succeeded`, `kept`, `cancelled` or
    /// `failed`.
    OperationEnded,
    /// `{account_id, instance_id, operation_id, simulated?, removed_after}`: an operation has bought an instance that nobody owns any more. It is
    /// ended after that time; `null` where it may have replaced another, and so stays.
    InstanceOrphaned,
    /// `{account_id, instance_id, operation_id, simulated?}`: such an instance is ended.
    InstanceReaped,
    /// An event of a newer version, or of another service.
    #[serde(untagged)]
    Other(String),
}

impl EventType {
    /// `{entity}.{what}`. What is said of clusters and operations begins with that; of others, the last underscore becomes a dot.
    pub fn routing_key(&self) -> String {
        let name = match serde_json::to_value(self) {
            Ok(Value::String(name)) => name,
            _ => String::from("unknown"),
        };
        for entity in ["cluster", "operation"] {
            if let Some(what) = name.strip_prefix(entity).and_then(|rest| rest.strip_prefix('_')) {
                return format!("{entity}.{what}");
            }
        }
        match name.rsplit_once('_') {
            Some((entity, what)) => format!("{entity}.{what}"),
            None => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_is_entity_dot_what() {
        assert_eq!(EventType::ApiKeyRevoked.routing_key(), "api_key.revoked");
        assert_eq!(EventType::UserUpdated.routing_key(), "user.updated");
        assert_eq!(EventType::ClusterKubectlExecuted.routing_key(), "cluster.kubectl_executed");
        assert_eq!(EventType::OperationCancelRequested.routing_key(), "operation.cancel_requested");
        let selected = EventType::ClusterSelectedAndNamespacesRetrieved;
        assert_eq!(selected.routing_key(), "cluster.selected_and_namespaces_retrieved");
        assert_eq!(EventType::Other("node_pool_drained".into()).routing_key(), "node_pool.drained");
    }
}
