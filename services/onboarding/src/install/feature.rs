//! What an agent may do beyond reading the basic kinds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A right beyond those that every agent has; the rules are in `k8s/agent/features`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// Read the logs of pods.
    Logs,
    /// Read the further kinds that the analysis looks at; never Secrets.
    Analysis,
    /// Read what costs go by: what pods use, where a metrics server serves it, and how large volumes are.
    Usage,
}
