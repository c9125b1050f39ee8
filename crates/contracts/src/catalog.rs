//! All messages with their JSON Schemas, from which `cargo xtask schemas` writes `proto-schemas/`.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

use crate::{agent, auth, events, query, resources};

/// A message and its schema (JSON Schema draft 2020-12).
pub struct Message {
    /// The schema's file name without its ending.
    pub name: &'static str,
    /// What the message looks like.
    pub schema: Schema,
}

/// Every message, event, frame and result.
pub fn messages() -> Vec<Message> {
    vec![
        message::<auth::AuthRequest>("auth-request"),
        message::<auth::AuthResult>("auth-result"),
        message::<query::QueryRequest>("query-request"),
        message::<query::QueryResult>("query-result"),
        message::<query::ConnectedAgentsRequest>("connected-agents-request"),
        message::<query::ConnectedAgentsResult>("connected-agents-result"),
        message::<query::SessionMoved>("session-moved"),
        message::<events::Event>("event"),
        message::<agent::Hello>("agent-hello"),
        message::<agent::Welcome>("agent-welcome"),
        message::<agent::Refused>("agent-refused"),
        message::<agent::Request>("agent-request"),
        message::<agent::More>("agent-more"),
        message::<agent::Cancel>("agent-cancel"),
        message::<agent::Response>("agent-response"),
        message::<agent::Heartbeat>("agent-heartbeat"),
        message::<agent::GoingAway>("agent-going-away"),
        message::<resources::NamespaceList>("result-namespaces"),
        message::<resources::NodeList>("result-nodes"),
        message::<resources::PodList>("result-pods"),
        message::<resources::DeploymentList>("result-deployments"),
        message::<resources::ServiceList>("result-services"),
        message::<resources::ResourceCounts>("result-resources"),
        message::<resources::PodLogs>("result-logs"),
        message::<resources::Allocation>("result-allocation"),
    ]
}

fn message<T: JsonSchema>(name: &'static str) -> Message {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    Message { name, schema: generator.into_root_schema_for::<T>() }
}
