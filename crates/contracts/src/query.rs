//! A query for a cluster's agent: `cluster_namespace_requests` → onboarding → `cluster_namespace_results`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{ErrorCode, Timestamp};

/// What the agent is asked to do. All of them only read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// → [`NamespaceList`](crate::resources::NamespaceList).
    GetNamespaces,
    /// → [`NodeList`](crate::resources::NodeList).
    GetNodes,
    /// → [`PodList`](crate::resources::PodList).
    GetPods,
    /// → [`DeploymentList`](crate::resources::DeploymentList).
    GetDeployments,
    /// → [`ServiceList`](crate::resources::ServiceList).
    GetServices,
    /// → [`ResourceCounts`](crate::resources::ResourceCounts).
    GetClusterResources,
    /// → [`PodLogs`](crate::resources::PodLogs).
    GetPodLogs,
    /// → [`Allocation`](crate::resources::Allocation).
    GetAllocation,
    /// → nothing yet: a command of a newer version, which an older agent refuses.
    #[serde(untagged)]
    Other(String),
}

impl Command {
    /// Every command of this version.
    pub const ALL: [Self; 8] = [
        Self::GetNamespaces,
        Self::GetNodes,
        Self::GetPods,
        Self::GetDeployments,
        Self::GetServices,
        Self::GetClusterResources,
        Self::GetPodLogs,
        Self::GetAllocation,
    ];

    /// Whether it may be asked again when it is not known what became of it. All commands of this version only read.
    pub fn is_idempotent(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// The command as it is written on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::GetNamespaces => "get-namespaces",
            Self::GetNodes => "get-nodes",
            Self::GetPods => "get-pods",
            Self::GetDeployments => "get-deployments",
            Self::GetServices => "get-services",
            Self::GetClusterResources => "get-cluster-resources",
            Self::GetPodLogs => "get-pod-logs",
            Self::GetAllocation => "get-allocation",
            Self::Other(name) => name,
        }
    }
}

/// What narrows a command. Which fields a command heeds is said with each field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Params {
    /// Pods, deployments, services, logs, counts: only this namespace; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// All lists and counts: a Kubernetes label selector, handed to the cluster's API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// All lists: at most so many objects, handed to the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// All lists: the `continue` of the page before, handed to the API server.
    #[serde(default, rename = "continue", skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
    /// Namespaces and nodes: ask the API server, not the agent's cache.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// Logs: the pod's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Logs: the container; absent: the pod's only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Logs: how many of the last lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u32>,
}

/// A query, as the cluster service puts it on the queue.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueryRequest {
    /// Made by the asker, repeated in the answer.
    pub request_id: String,
    /// Whose cluster is asked.
    pub agent_id: String,
    /// What is asked.
    pub command: Command,
    /// Context of earlier systems. Of it, `cluster_id` is heeded: it must be the id of the agent's cluster.
    #[serde(default)]
    pub cluster_config: Map<String, Value>,
    /// What narrows the command.
    #[serde(default)]
    pub params: Params,
    /// Who asks; an agent of another user is then `not_found`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// When the asker stops waiting, by the asker's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// When it was asked, by the asker's clock.
    pub timestamp: Timestamp,
}

impl QueryRequest {
    /// How long the asker waits, from `timestamp` to `deadline`. Both are of one clock, so that no two clocks have to
    /// agree.
    pub fn patience(&self) -> Option<Duration> {
        let millis = self.deadline?.millis_since(self.timestamp);
        Some(Duration::from_millis(millis.try_into().unwrap_or(0)))
    }
}

/// No result is larger in one message: RabbitMQ carries 16 MiB unless it is told otherwise (`max_message_size`, since version
/// 4.0). Larger ones are for askers that take them in [parts](crate::queues::parts).
pub const MAX_WHOLE_RESULT_BYTES: usize = 15 * 1024 * 1024;

/// The answer to a [`QueryRequest`]: either `result`, or `error` and `code`.
///
/// In an answer in [parts](crate::queues::parts) `result` is null here, and follows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueryResult {
    /// The request's id.
    pub request_id: String,
    /// Whose cluster was asked.
    pub agent_id: String,
    /// What the agent answered; its shape is the command's. It is passed on as it came.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
    /// What went wrong, for a person.
    #[serde(default)]
    pub error: Option<String>,
    /// What went wrong, for a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The queue of the replica that holds the agent's session: further queries may be sent there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The [epoch](crate::agent::Welcome::epoch) of that session. An answer of an earlier session than one that is known of is
    /// out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// When it was answered.
    pub timestamp: Timestamp,
}

/// From a replica of onboarding to the one that held an agent's session before: it does not any more, from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionMoved {
    /// The agent's id.
    pub agent_id: String,
    /// The new session's; those with a smaller one are over.
    pub epoch: u64,
    /// Who has it.
    pub to: Successor,
}

/// Who has an agent's newer session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Successor {
    /// The same process, which waits for the last answers of its earlier session.
    Moving,
    /// The same process, which has lost its earlier session.
    Returned,
    /// Another process, or one that does not say which it is.
    #[serde(other)]
    Other,
}

/// Which agents are connected: a question to onboarding on [`CONNECTED_AGENTS`](crate::queues::CONNECTED_AGENTS).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConnectedAgentsRequest {
    /// Made by the asker, repeated in the answer.
    pub request_id: String,
    /// Whose agents.
    pub user_id: String,
    /// When it was asked, by the asker's clock.
    pub timestamp: Timestamp,
}

/// The answer to a [`ConnectedAgentsRequest`]: either `agents`, or `error` and `code`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConnectedAgentsResult {
    /// The request's id.
    pub request_id: String,
    /// The ids of the user's agents that have a live session, sorted.
    #[serde(default)]
    pub agents: Vec<String>,
    /// What went wrong, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What went wrong, for a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// When it was answered.
    pub timestamp: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_the_earlier_system_is_understood() {
        let text = r#"{"request_id":"r","agent_id":"a","command":"get-namespaces","cluster_config":{},
                       "timestamp":"2024-01-01T12:00:00.000Z"}"#;
        let request: QueryRequest = serde_json::from_str(text).unwrap();
        assert_eq!(request.command, Command::GetNamespaces);
        assert_eq!(request.patience(), None);
    }

    #[test]
    fn patience_is_measured_by_the_askers_clock_and_never_negative() {
        let ask = |deadline: &str| {
            let text = format!(
                r#"{{"request_id":"r","agent_id":"a","command":"get-nodes","deadline":"{deadline}","timestamp":"2024-01-01T12:00:00Z"}}"#
            );
            serde_json::from_str::<QueryRequest>(&text).unwrap().patience().unwrap()
        };
        assert_eq!(ask("2024-01-01T12:00:05Z"), Duration::from_secs(5));
        assert_eq!(ask("2024-01-01T11:00:00Z"), Duration::ZERO);
    }

    #[test]
    fn commands_are_written_as_they_are_read() {
        for command in Command::ALL {
            assert_eq!(serde_json::to_string(&command).unwrap(), format!("\"{}\"", command.as_str()));
        }
        let newer: Command = serde_json::from_str("\"get-ingresses\"").unwrap();
        assert_eq!(serde_json::to_string(&newer).unwrap(), "\"get-ingresses\"");
    }
}
