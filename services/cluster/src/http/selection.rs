//! The parameters of queries.

use contracts::query::{Command, Params};
use serde::Deserialize;
use utoipa::IntoParams;
use web::Problem;

use crate::cluster_id::{ClusterId, InvalidClusterId};

/// What Kubernetes accepts at the most, with room to spare; only bounds what is carried to the agent.
const MAX_TEXT: usize = 4096;
/// The longest id of an agent, in characters. Ids are UUIDs now; earlier systems had others.
const MAX_AGENT_ID: usize = 128;
/// Kubernetes' own limit for the names of namespaces is 63, of pods and containers 253.
const MAX_NAME: usize = 253;
const MAX_LINES: u32 = 10_000;

/// Which agent, and which part of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListSelection {
    /// The agent to ask.
    agent_id: String,
    /// The cluster that you take the agent's to be; checked and echoed. A UUID, or the integer of earlier systems.
    cluster_id: Option<String>,
    /// Only this namespace; without meaning for namespaces and nodes, as with kubectl.
    namespace: Option<String>,
    /// A Kubernetes label selector.
    label_selector: Option<String>,
    /// At most so many objects; not for counts.
    #[param(minimum = 1, maximum = 100_000)]
    limit: Option<u32>,
    /// The `continue` of the page before.
    r#continue: Option<String>,
    /// Ask the cluster's API server and not the agent's cache (namespaces and nodes).
    #[serde(default)]
    fresh: bool,
}

/// Which agent, and which part of a log.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogSelection {
    /// The agent to ask.
    agent_id: String,
    /// The cluster that you take the agent's to be; checked and echoed.
    cluster_id: Option<String>,
    /// The container; needed when the pod has several.
    container: Option<String>,
    /// How many of the last lines.
    #[serde(default = "default_lines")]
    #[param(minimum = 1, maximum = 10_000, default = 100)]
    lines: u32,
}

fn default_lines() -> u32 {
    100
}

/// A checked selection.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) agent_id: String,
    pub(super) cluster_id: Option<ClusterId>,
    pub(super) params: Params,
}

impl ListSelection {
    /// Checks each parameter and names the first that cannot be used.
    pub(super) fn check(self, command: &Command) -> Result<Selection, Problem> {
        let counts = matches!(command, Command::GetClusterResources);
        for (name, given) in [("limit", self.limit.is_some()), ("continue", self.r#continue.is_some())] {
            if counts && given {
                return Err(Problem::invalid(name, "does not apply to counts"));
            }
        }
        // As kubectl does, which takes `get nodes --namespace x`.
        let namespaced = !matches!(command, Command::GetNamespaces | Command::GetNodes);
        if self.limit.is_some_and(|limit| !(1..=100_000).contains(&limit)) {
            return Err(Problem::invalid("limit", "must be from 1 to 100000"));
        }
        let namespace = self.namespace.map(|name| object_name("namespace", name)).transpose()?;
        let params = Params {
            namespace: namespace.filter(|_| namespaced),
            label_selector: self.label_selector.map(|text| bounded("label_selector", text)).transpose()?,
            limit: self.limit,
            continue_token: self.r#continue.map(|text| bounded("continue", text)).transpose()?,
            fresh: self.fresh,
            ..Params::default()
        };
        Ok(Selection { agent_id: agent_id(self.agent_id)?, cluster_id: cluster_id(self.cluster_id)?, params })
    }
}

impl LogSelection {
    /// Checks each parameter and names the first that cannot be used.
    pub(super) fn check(self, namespace: String, name: String) -> Result<Selection, Problem> {
        if !(1..=MAX_LINES).contains(&self.lines) {
            return Err(Problem::invalid("lines", format!("must be from 1 to {MAX_LINES}")));
        }
        let params = Params {
            namespace: Some(object_name("namespace", namespace)?),
            name: Some(object_name("name", name)?),
            container: self.container.map(|name| object_name("container", name)).transpose()?,
            lines: Some(self.lines),
            ..Params::default()
        };
        Ok(Selection { agent_id: agent_id(self.agent_id)?, cluster_id: cluster_id(self.cluster_id)?, params })
    }
}

fn agent_id(id: String) -> Result<String, Problem> {
    let acceptable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > MAX_AGENT_ID || !id.chars().all(acceptable) {
        return Err(Problem::invalid("agent_id", "is not the id of an agent"));
    }
    Ok(id)
}

fn cluster_id(id: Option<String>) -> Result<Option<ClusterId>, Problem> {
    let parse = |id: String| {
        id.parse().map_err(|error: InvalidClusterId| Problem::invalid("cluster_id", error.to_string()))
    };
    id.map(parse).transpose()
}

/// Names of namespaces, pods and containers are RFC 1123 subdomains or labels; anything else, such as `..`, would lead
/// elsewhere in the path of an API call.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
fn object_name(field: &str, name: String) -> Result<String, Problem> {
    let acceptable = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(acceptable)
    };
    if name.len() > MAX_NAME || !name.split('.').all(is_label) {
        return Err(Problem::invalid(field, "is not the name of a Kubernetes object"));
    }
    Ok(name)
}

fn bounded(field: &str, text: String) -> Result<String, Problem> {
    if text.len() > MAX_TEXT {
        return Err(Problem::invalid(field, format!("must be at most {MAX_TEXT} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_never_leaves_its_path_segment(name in "\\PC{0,40}|[a-z.-]{0,6}") {
            if let Ok(name) = object_name("name", name) {
                prop_assert!(!name.contains(['/', '?', '#', '%', ' ']));
                prop_assert!(!name.starts_with('.') && !name.ends_with('.') && !name.contains(".."));
            }
        }
    }
}
