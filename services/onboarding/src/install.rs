//! The script that installs an agent.

use std::collections::BTreeSet;

use contracts::{
    Token,
    agent_role::{self, Rule},
};
use secrecy::ExposeSecret;
use url::Url;

/// What the script is made of.
pub(crate) struct Install<'a> {
    pub(crate) cluster_id: &'a str,
    pub(crate) agent_id: &'a str,
    /// Where the agent connects to.
    pub(crate) endpoint: &'a Url,
    pub(crate) key: &'a Token,
    pub(crate) image: &'a str,
    pub(crate) features: &'a BTreeSet<Feature>,
}

/// A right beyond those that every agent has.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// Read the logs of pods.
    Logs,
}

impl Feature {
    /// The rule that the agent's ClusterRole gains.
    fn rule(self) -> Rule {
        match self {
            Self::Logs => agent_role::LOGS,
        }
    }
}

/// A POSIX script that applies the agent's objects with kubectl and waits for its rollout. It is idempotent. The key goes to
/// kubectl on its standard input, never as an argument.
///
/// What is filled in consists of letters, digits and the characters of a URL, so that nothing needs quoting.
pub(crate) fn script(install: &Install<'_>) -> String {
    let rules = agent_role::READER.into_iter().chain(install.features.iter().map(|feature| feature.rule()));
    let rules: String = rules.map(yaml).collect();
    include_str!("install/install.sh")
        .replace("{{cluster_id}}", install.cluster_id)
        .replace("{{agent_id}}", install.agent_id)
        .replace("{{endpoint}}", install.endpoint.as_str().trim_end_matches('/'))
        .replace("{{image}}", install.image)
        .replace("{{rules}}\n", &rules)
        .replace("{{api_key}}", install.key.secret().expose_secret())
}

/// The quotes of plain words are the same in Rust and YAML.
fn yaml(rule: Rule) -> String {
    let Rule { api_groups, resources, verbs } = rule;
    format!("  - apiGroups: {api_groups:?}\n    resources: {resources:?}\n    verbs: {verbs:?}\n")
}
