//! What an agent may do in its cluster: the rules of its ClusterRole, which the install script grants.

use serde::Serialize;

/// A rule of a ClusterRole, as Kubernetes writes it. Its texts are plain words.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The empty one is Kubernetes' own.
    pub api_groups: &'static [&'static str],
    /// In the plural; a part of a resource after a slash.
    pub resources: &'static [&'static str],
    /// What may be done with them.
    pub verbs: &'static [&'static str],
}

const READ: &[&str] = &["get", "list", "watch"];

/// What every agent may do.
pub const READER: [Rule; 3] = [
    Rule { api_groups: &[""], resources: &["nodes", "pods", "services", "namespaces"], verbs: READ },
    Rule { api_groups: &["apps"], resources: &["deployments", "daemonsets", "statefulsets"], verbs: READ },
    Rule { api_groups: &["batch"], resources: &["jobs", "cronjobs"], verbs: READ },
];

/// What it may do besides with the feature `logs`.
pub const LOGS: Rule = Rule { api_groups: &[""], resources: &["pods/log"], verbs: &["get"] };
