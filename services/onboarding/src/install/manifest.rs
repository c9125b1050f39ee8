//! What the install script applies.

use std::collections::BTreeSet;

use contracts::Token;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use serde_saphyr::SerializeError;
use url::Url;

use super::{Feature, objects::Objects};
use crate::provider::Provider;

/// Pods start anew when this annotation of theirs changes: with another key.
const KEY_HASH: &str = "kubesage.io/key-hash";
/// So much of the key's hash tells keys apart, and tells nothing else: what it is made of has 190 random bits.
const KEY_HASH_CHARS: usize = 12;

/// What a manifest is made of.
pub(crate) struct Manifest<'a> {
    pub(crate) cluster_id: &'a str,
    pub(crate) agent_id: &'a str,
    /// Where the agent connects to.
    pub(crate) endpoint: &'a Url,
    pub(crate) image: &'a str,
    pub(crate) provider: Provider,
    pub(crate) features: &'a BTreeSet<Feature>,
    pub(crate) secret: AgentSecret<'a>,
}

/// What the agent is given as its key.
pub(crate) enum AgentSecret<'a> {
    /// The key itself, this once.
    Key(&'a Token),
    /// The Secret that it was given before, by the hash of its key.
    Given { hash: &'a str },
}

impl Manifest<'_> {
    /// The objects as YAML, in the order in which they need each other.
    pub(crate) fn to_yaml(&self) -> Result<String, SerializeError> {
        let Objects { namespace, service_account, cluster_role, cluster_role_binding, mut deployment } =
            Objects::of(self.provider, self.features);
        self.complete(&mut deployment);
        let rights = [namespace, service_account, cluster_role, cluster_role_binding];
        let objects = rights.into_iter().chain(self.secret()).chain([deployment]);
        let documents =
            objects.map(|object| serde_saphyr::to_string(&object)).collect::<Result<Vec<_>, _>>()?;
        Ok(documents.join("---\n"))
    }

    /// Writes what is this agent's own into its deployment.
    fn complete(&self, deployment: &mut Value) {
        let template = &mut deployment["spec"]["template"];
        template["metadata"]["annotations"][KEY_HASH] = self.key_hash().into();
        let container = &mut template["spec"]["containers"][0];
        container["image"] = self.image.into();
        let endpoint = self.endpoint.as_str().trim_end_matches('/');
        let own = [("CLUSTER_ID", self.cluster_id), ("AGENT_ID", self.agent_id), ("API_ENDPOINT", endpoint)];
        for variable in container["env"].as_array_mut().into_iter().flatten() {
            if let Some((_, value)) = own.iter().find(|(name, _)| variable["name"] == *name) {
                variable["value"] = (*value).into();
            }
        }
    }

    fn key_hash(&self) -> String {
        let hash = match &self.secret {
            AgentSecret::Key(key) => key.hash(),
            AgentSecret::Given { hash } => (*hash).to_owned(),
        };
        hash.chars().take(KEY_HASH_CHARS).collect()
    }

    fn secret(&self) -> Option<Value> {
        let AgentSecret::Key(key) = &self.secret else { return None };
        Some(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "spot-optimizer-agent",
                "namespace": "spot-optimizer-system",
                "labels": { "app.kubernetes.io/part-of": "kubesage" },
            },
            "type": "Opaque",
            "stringData": { "api-key": key.secret().expose_secret() },
        }))
    }
}
