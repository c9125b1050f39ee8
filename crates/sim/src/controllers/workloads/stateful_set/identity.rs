//! What makes each pod of a stateful set this one: its name, its labels, its claims
//! (`stateful_set_utils.go` and `stateful_pod_control.go`).

use serde_json::{Map, Value, json};

use super::{Look, REVISION_LABEL};
use crate::controllers::workloads::fields::{list, number, set, text};
use crate::controllers::workloads::pod;
use crate::controllers::workloads::revisions::template_of;
use crate::kinds::PERSISTENT_VOLUME_CLAIMS;
use crate::object;
use crate::status::ApiError;

/// `StatefulSetPodNameLabel`
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// `PodIndexLabel`
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal in the name of a pod, where it is a name of this set.
pub(super) fn ordinal(pod: &Value, set: &Value) -> Option<i64> {
    let (parent, ordinal) = object::name(pod).rsplit_once('-')?;
    if parent != object::name(set) || !ordinal.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    ordinal.parse().ok()
}

/// The name of the revision that a pod was made from.
pub(super) fn revision_of(pod: &Value) -> &str {
    text(pod, &format!("/metadata/labels/{REVISION_LABEL}"))
}

impl Look<'_> {
    /// Makes a pod, and first the claims that it mounts.
    pub(super) fn create_pod(&mut self, ordinal: i64) -> Result<(), ApiError> {
        let name = format!("{}-{ordinal}", object::name(&self.set));
        let set_name = object::name(&self.set).to_owned();
        for claim in list(&self.set, "/spec/volumeClaimTemplates").to_vec() {
            self.ensure_claim(&claim, &name)?;
        }
        match self.cluster.api.create(self.pod(&name, ordinal)) {
            Ok(created) => {
                self.index.note(&created);
                self.pods.insert(ordinal, created);
                let message = format!("create Pod {name} in StatefulSet {set_name} successful");
                self.recorder.normal(self.cluster, &self.set, "SuccessfulCreate", &message);
                Ok(())
            }
            Err(error) => {
                let message =
                    format!("create Pod {name} in StatefulSet {set_name} failed error: {}", error.message);
                self.recorder.warning(self.cluster, &self.set, "FailedCreate", &message);
                Err(error)
            }
        }
    }

    /// `newVersionedStatefulSetPod`: pods below the partition keep the revision of before the update.
    fn pod(&self, name: &str, ordinal: i64) -> Value {
        let partition = number(&self.set, "/spec/updateStrategy/rollingUpdate/partition");
        let rolls = text(&self.set, "/spec/updateStrategy/type") == "RollingUpdate";
        let is_old = rolls && ordinal < self.first().saturating_add(partition);
        let revision = if is_old { &self.current } else { &self.revisions.update };
        let mut wanted = pod::from_template(&template_of(revision), &self.set);
        set(&mut wanted, &["metadata", "name"], name.into());
        pod::set_label(&mut wanted, POD_NAME, name);
        pod::set_label(&mut wanted, POD_INDEX, &ordinal.to_string());
        pod::set_label(&mut wanted, REVISION_LABEL, object::name(revision));
        set(&mut wanted, &["spec", "hostname"], name.into());
        let service = text(&self.set, "/spec/serviceName");
        if !service.is_empty() {
            set(&mut wanted, &["spec", "subdomain"], service.into());
        }
        self.mount_claims(&mut wanted, name);
        object::set_or_remove(
            &mut wanted["metadata"],
            "generateName",
            &format!("{}-", object::name(&self.set)).into(),
        );
        wanted
    }

    fn mount_claims(&self, wanted: &mut Value, name: &str) {
        let claims = list(&self.set, "/spec/volumeClaimTemplates");
        let mut volumes: Vec<Value> = claims
            .iter()
            .map(|claim| {
                let claim = object::name(claim);
                json!({ "name": claim, "persistentVolumeClaim": { "claimName": format!("{claim}-{name}") } })
            })
            .collect();
        let own = list(wanted, "/spec/volumes").iter();
        let others =
            own.filter(|volume| !claims.iter().any(|claim| object::name(claim) == text(volume, "/name")));
        volumes.extend(others.cloned().collect::<Vec<_>>());
        if !volumes.is_empty() {
            set(wanted, &["spec", "volumes"], volumes.into());
        }
    }

    /// A claim outlives its pod: it is made once.
    fn ensure_claim(&mut self, template: &Value, pod: &str) -> Result<(), ApiError> {
        let namespace = object::namespace(&self.set).to_owned();
        let name = format!("{}-{pod}", object::name(template));
        if self.cluster.api.get(PERSISTENT_VOLUME_CLAIMS, &namespace, &name).is_ok() {
            return Ok(());
        }
        let mut metadata = json!({ "name": name, "namespace": namespace });
        let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_else(Map::new);
        let selected = self.set["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
        labels.extend(selected.map(|(key, value)| (key.clone(), value.clone())));
        set(&mut metadata, &["labels"], labels.into());
        object::set_or_remove(&mut metadata, "annotations", &template["metadata"]["annotations"]);
        self.cluster.api.create(json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": template["spec"],
        }))?;
        let message =
            format!("create Claim {name} Pod {pod} in StatefulSet {} success", object::name(&self.set));
        self.recorder.normal(self.cluster, &self.set, "SuccessfulCreate", &message);
        Ok(())
    }
}
