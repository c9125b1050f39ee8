//! Volumes: claims get one, and neither goes while it is in use (`pkg/controller/volume/persistentvolume`,
//! `…/pvcprotection`, `…/pvprotection`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Again, Cluster, Controller, Key, Queue, Recorder};
use crate::api::{Api, DeleteOptions};
use crate::kinds::{self, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS};
use crate::object::{self, Object};
use crate::schema::Quantity;
use crate::selector::LabelSelector;
use crate::status::ApiError;
use crate::store::Change;

/// `AnnSelectedNode`
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// The provisioner of classes whose volumes somebody makes by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// Looks after claims and volumes.
pub(crate) struct Volumes {
    /// Pods by the claims that they use.
    users: HashMap<Key, BTreeSet<Key>>,
    /// Claims that have no volume yet.
    unbound: BTreeSet<Key>,
    events: Recorder,
}

impl Default for Volumes {
    fn default() -> Volumes {
        let events = Recorder::new("persistentvolume-controller");
        Volumes { users: HashMap::new(), unbound: BTreeSet::new(), events }
    }
}

impl Controller for Volumes {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        let object = &change.object;
        match change.kind.plural {
            "persistentvolumeclaims" => {
                let key = Key::of(PERSISTENT_VOLUME_CLAIMS, object);
                if change.deleted || object["status"]["phase"] == "Bound" {
                    self.unbound.remove(&key);
                } else {
                    self.unbound.insert(key.clone());
                }
                if let Some(volume) = object["spec"]["volumeName"].as_str() {
                    queue.add(Key::new(PERSISTENT_VOLUMES, "", volume));
                }
                queue.add(key);
            }
            "persistentvolumes" => {
                queue.add(Key::of(PERSISTENT_VOLUMES, object));
                let claim = &object["spec"]["claimRef"];
                let text = |field: &str| claim[field].as_str().unwrap_or_default();
                if claim.is_object() {
                    queue.add(Key::new(PERSISTENT_VOLUME_CLAIMS, text("namespace"), text("name")));
                }
                self.unbound.iter().for_each(|claim| queue.add(claim.clone()));
            }
            "storageclasses" => self.unbound.iter().for_each(|claim| queue.add(claim.clone())),
            "pods" => self.observe_pod(change, queue),
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(object) = cluster.api.get(key.kind, &key.namespace, &key.name) else { return Ok(None) };
        if key.kind.plural == "persistentvolumes" {
            return follow_claim(&object, cluster).map(|()| None);
        }
        if object::is_terminating(&object) {
            if self.users.get(key).is_none_or(BTreeSet::is_empty) {
                remove_finalizer(key, CLAIM_PROTECTION, cluster)?;
            }
            return Ok(None);
        }
        match object["status"]["phase"].as_str() {
            Some("Bound") => follow_volume(&object, cluster)?,
            Some("Lost") => {}
            Some(_) | None => self.bind(&object, cluster)?,
        }
        Ok(None)
    }
}

impl Volumes {
    fn observe_pod(&mut self, change: &Change, queue: &mut Queue) {
        let pod = &change.object;
        let has_ended = pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
        let key = Key::of(PODS, pod);
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let Some(name) = volume["persistentVolumeClaim"]["claimName"].as_str() else { continue };
            let claim = Key::new(PERSISTENT_VOLUME_CLAIMS, object::namespace(pod), name);
            let users = self.users.entry(claim.clone()).or_default();
            let is_changed =
                if change.deleted || has_ended { users.remove(&key) } else { users.insert(key.clone()) };
            if users.is_empty() {
                self.users.remove(&claim);
            }
            if is_changed {
                queue.add(claim);
            }
        }
    }

    /// Finds or makes a volume for a claim (`syncUnboundClaim`).
    fn bind(&mut self, claim: &Arc<Object>, cluster: &Cluster<'_>) -> Result<(), ApiError> {
        let name = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
        let class = kinds::by_plural("storageclasses").and_then(|kind| cluster.api.get(kind, "", name).ok());
        let selected = claim["metadata"]["annotations"][SELECTED_NODE].is_string();
        if waits_for_consumer(claim, cluster.api) && !selected {
            let message = "waiting for first consumer to be created before binding";
            self.events.normal(cluster, claim, "WaitForFirstConsumer", message);
            return Ok(());
        }
        if let Some(volume) = best_volume(claim, cluster.api) {
            return join(claim, &volume, cluster);
        }
        let Some(class) = class else {
            if name.is_empty() {
                let message = "no persistent volumes available for this claim and no storage class is set";
                self.events.normal(cluster, claim, "FailedBinding", message);
            } else {
                let message = format!("storageclass.storage.k8s.io \"{name}\" not found");
                self.events.warning(cluster, claim, "ProvisioningFailed", &message);
            }
            return Ok(());
        };
        let provisioner = class["provisioner"].as_str().unwrap_or_default();
        if provisioner == NO_PROVISIONER || claim["spec"]["volumeName"].is_string() {
            return Ok(());
        }
        let volume = cluster.api.create(provision(claim, &class))?;
        let message = format!("Successfully provisioned volume {}", object::name(&volume));
        self.events.normal(cluster, claim, "ProvisioningSucceeded", &message);
        join(claim, &volume, cluster)
    }
}

/// Whether the claim's class makes volumes only once a pod has a node (`IsDelayBindingMode`).
pub(crate) fn waits_for_consumer(claim: &Value, api: &Api) -> bool {
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
    kinds::by_plural("storageclasses")
        .and_then(|kind| api.get(kind, "", class).ok())
        .is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer")
}

/// The smallest volume that nobody has and that is good enough (`FindMatchingVolume`).
fn best_volume(claim: &Value, api: &Api) -> Option<Arc<Object>> {
    let spec = &claim["spec"];
    let wanted = Quantity::of(&spec["resources"]["requests"]["storage"]);
    let selector = LabelSelector::of(&spec["selector"]);
    let modes = |object: &Value| object["spec"]["accessModes"].as_array().cloned().unwrap_or_default();
    let fits = |volume: &Object| {
        let reference = &volume["spec"]["claimRef"];
        let is_free = reference.is_null() || is_for(reference, claim);
        let text =
            |object: &Value, field: &str| object["spec"][field].as_str().unwrap_or_default().to_owned();
        let present = modes(volume);
        is_free
            && !object::is_terminating(volume)
            && spec["volumeName"].as_str().is_none_or(|name| name == object::name(volume))
            && text(volume, "storageClassName") == text(claim, "storageClassName")
            && volume["spec"]["volumeMode"] == spec["volumeMode"]
            && modes(claim).iter().all(|mode| present.contains(mode))
            && Quantity::of(&volume["spec"]["capacity"]["storage"]) >= wanted
            && selector.as_ref().is_none_or(|selector| selector.matches(volume))
    };
    let volumes = api.objects(PERSISTENT_VOLUMES, None).into_iter().filter(|volume| fits(volume));
    volumes.min_by_key(|volume| {
        (volume["spec"]["claimRef"].is_null(), Quantity::of(&volume["spec"]["capacity"]["storage"]))
    })
}

/// Whether a volume's reference means this claim.
fn is_for(reference: &Value, claim: &Value) -> bool {
    let metadata = &claim["metadata"];
    reference["namespace"] == metadata["namespace"]
        && reference["name"] == metadata["name"]
        && (reference["uid"].is_null() || reference["uid"] == metadata["uid"])
}

/// A new volume of a class, as its provisioner would make it.
fn provision(claim: &Value, class: &Value) -> Value {
    let name = format!("pvc-{}", object::field(claim, "metadata.uid"));
    let mut volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": name, "annotations": { PROVISIONED_BY: class["provisioner"] } },
        "spec": {
            "capacity": { "storage": claim["spec"]["resources"]["requests"]["storage"] },
            "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": class["reclaimPolicy"].as_str().unwrap_or("Delete"),
            "storageClassName": class["metadata"]["name"],
            "volumeMode": claim["spec"]["volumeMode"],
            "csi": { "driver": class["provisioner"], "volumeHandle": name },
        },
    });
    object::set_or_remove(&mut volume["spec"], "mountOptions", &class["mountOptions"]);
    volume
}

/// Gives a volume to a claim, and the claim to the volume (`bind` of `pv_controller.go`).
fn join(claim: &Value, volume: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let (namespace, name) = (object::namespace(claim), object::name(claim));
    let volume_name = object::name(volume);
    let reference = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": namespace,
        "name": name,
        "uid": claim["metadata"]["uid"],
        "resourceVersion": claim["metadata"]["resourceVersion"],
    });
    let bound = cluster.api.update(PERSISTENT_VOLUMES, "", volume_name, |volume| {
        volume["spec"]["claimRef"] = reference;
        annotate(volume, BOUND_BY_CONTROLLER);
    })?;
    set_phase(volume_name, "Bound", cluster)?;
    cluster.api.update(PERSISTENT_VOLUME_CLAIMS, namespace, name, |claim| {
        claim["spec"]["volumeName"] = volume_name.into();
        annotate(claim, BIND_COMPLETED);
        annotate(claim, BOUND_BY_CONTROLLER);
    })?;
    let status = json!({
        "phase": "Bound",
        "accessModes": bound["spec"]["accessModes"],
        "capacity": bound["spec"]["capacity"],
    });
    cluster.api.update_status(PERSISTENT_VOLUME_CLAIMS, namespace, name, |claim| claim["status"] = status)?;
    Ok(())
}

/// What becomes of a volume by its claim (`syncVolume`).
fn follow_claim(volume: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let name = object::name(volume);
    let reference = &volume["spec"]["claimRef"];
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let claim = cluster.api.get(PERSISTENT_VOLUME_CLAIMS, text("namespace"), text("name"));
    let is_claimed = reference.is_object() && claim.is_ok_and(|claim| is_for(reference, &claim));
    if object::is_terminating(volume) {
        let key = Key::new(PERSISTENT_VOLUMES, "", name);
        return if is_claimed { Ok(()) } else { remove_finalizer(&key, VOLUME_PROTECTION, cluster) };
    }
    if !reference.is_object() || reference["uid"].is_null() {
        return set_phase(name, "Available", cluster);
    }
    if is_claimed {
        return Ok(());
    }
    set_phase(name, "Released", cluster)?;
    if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete" {
        found(cluster.api.delete(PERSISTENT_VOLUMES, "", name, &DeleteOptions::default()))?;
    }
    Ok(())
}

/// A claim whose volume is gone has lost it; one that asks for more than its volume has lets that grow.
fn follow_volume(claim: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let (namespace, name) = (object::namespace(claim), object::name(claim));
    let set_status = |change: &dyn Fn(&mut Value)| {
        let set = |claim: &mut Value| change(&mut claim["status"]);
        found(cluster.api.update_status(PERSISTENT_VOLUME_CLAIMS, namespace, name, set))
    };
    let volume_name = claim["spec"]["volumeName"].as_str().unwrap_or_default();
    let Ok(volume) = cluster.api.get(PERSISTENT_VOLUMES, "", volume_name) else {
        return set_status(&|status| *status = json!({ "phase": "Lost" }));
    };
    let (asked, has) = (&claim["spec"]["resources"]["requests"]["storage"], &volume["spec"]["capacity"]);
    // Drivers of CSI have a resizer (`github.com/kubernetes-csi/external-resizer`).
    if volume["spec"]["csi"].is_null() || Quantity::of(asked) <= Quantity::of(&has["storage"]) {
        return Ok(());
    }
    let grow = |volume: &mut Value| volume["spec"]["capacity"]["storage"] = asked.clone();
    found(cluster.api.update(PERSISTENT_VOLUMES, "", volume_name, grow))?;
    set_status(&|status| {
        status["capacity"]["storage"] = asked.clone();
        status["allocatedResources"] = json!({ "storage": asked });
    })
}

fn set_phase(volume: &str, phase: &str, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let now = object::time(cluster.now);
    let set = |volume: &mut Value| {
        if volume["status"]["phase"] != phase {
            volume["status"]["phase"] = phase.into();
            volume["status"]["lastPhaseTransitionTime"] = now.into();
        }
    };
    found(cluster.api.update_status(PERSISTENT_VOLUMES, "", volume, set))
}

fn annotate(object: &mut Value, annotation: &str) {
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][annotation] = "yes".into();
}

fn remove_finalizer(key: &Key, finalizer: &str, cluster: &Cluster<'_>) -> Result<(), ApiError> {
    let remove = |object: &mut Value| {
        let Some(list) = object["metadata"]["finalizers"].as_array() else { return };
        let kept: Vec<Value> = list.iter().filter(|one| *one != finalizer).cloned().collect();
        let kept = if kept.is_empty() { Value::Null } else { kept.into() };
        object::set_or_remove(&mut object["metadata"], "finalizers", &kept);
    };
    found(cluster.api.update(key.kind, &key.namespace, &key.name, remove))
}

/// What is gone needs nothing any more.
fn found<T>(answer: Result<T, ApiError>) -> Result<(), ApiError> {
    match answer {
        Err(error) if error.code != 404 => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
