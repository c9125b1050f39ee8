//! The claims of a pod (`pkg/scheduler/framework/plugins/volumebinding`): they must be bound, or be such that the pod's
//! node is waited for.

use std::sync::Arc;

use serde_json::Value;

use super::node_selector::NodeSelector;
use super::verdict::Misfit;
use crate::api::Api;
use crate::kinds::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};
use crate::object::{self, Object};
use crate::status::ApiError;

/// `AnnSelectedNode`
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// What the volumes of a pod require of its node.
#[derive(Default)]
pub(super) struct Volumes {
    nodes: Vec<NodeSelector>,
    /// Claims that wait for the pod's node.
    waiting: Vec<Arc<Object>>,
}

impl Volumes {
    /// Looks at the pod's claims; the text is why it cannot go anywhere.
    pub(super) fn of(pod: &Value, api: &Api) -> Result<Volumes, String> {
        let mut volumes = Volumes::default();
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let own = format!("{}-{}", object::name(pod), volume["name"].as_str().unwrap_or_default());
            let name = match volume["persistentVolumeClaim"]["claimName"].as_str() {
                Some(name) => name,
                None if volume["ephemeral"].is_object() => &own,
                None => continue,
            };
            volumes.add(api, object::namespace(pod), name)?;
        }
        Ok(volumes)
    }

    fn add(&mut self, api: &Api, namespace: &str, name: &str) -> Result<(), String> {
        let Ok(claim) = api.get(PERSISTENT_VOLUME_CLAIMS, namespace, name) else {
            return Err(format!("persistentvolumeclaim \"{name}\" not found"));
        };
        if object::is_terminating(&claim) {
            return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default();
        if claim["status"]["phase"] == "Lost" {
            return Err(format!(
                "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
            ));
        }
        if claim["status"]["phase"] == "Bound" {
            if let Ok(volume) = api.get(PERSISTENT_VOLUMES, "", volume) {
                let required = &volume["spec"]["nodeAffinity"]["required"];
                self.nodes.extend(required.is_object().then(|| NodeSelector::of_terms(required)));
            }
        } else if crate::controllers::volumes::waits_for_consumer(&claim, api) {
            self.waiting.push(claim);
        } else {
            return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        Ok(())
    }

    pub(super) fn check(&self, node: &Value) -> Result<(), Misfit> {
        if self.nodes.iter().all(|wanted| wanted.matches(node)) {
            return Ok(());
        }
        Err(Misfit::lasting("node(s) didn't match PersistentVolume's node affinity"))
    }

    /// Tells the claims that wait for it which node the pod gets; whether there are any to wait for.
    pub(super) fn select_node(&self, node: &str, api: &Api) -> Result<bool, ApiError> {
        for claim in &self.waiting {
            let (namespace, name) = (object::namespace(claim), object::name(claim));
            api.update(PERSISTENT_VOLUME_CLAIMS, namespace, name, |claim| {
                let mut annotations = claim["metadata"]["annotations"].take();
                if !annotations.is_object() {
                    annotations = serde_json::json!({});
                }
                annotations[SELECTED_NODE] = node.into();
                claim["metadata"]["annotations"] = annotations;
            })?;
        }
        Ok(!self.waiting.is_empty())
    }
}
