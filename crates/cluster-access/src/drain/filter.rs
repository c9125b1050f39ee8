//! Which pods a drain evicts, which it leaves, and for which it wants consent: kubectl's filters, in kubectl's order
//! (<https://github.com/kubernetes/kubectl/blob/v0.36.0/pkg/drain/filters.go>).

use std::{collections::HashSet, fmt};

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::OwnerReference};
use serde::Serialize;

use super::DrainOptions;

/// The kubelet's copy of a pod that it runs from a file of its own.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What a drain does with a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is evicted, although something speaks against that which was consented to.
    Evict {
        /// What speaks against it.
        although: Vec<Peculiarity>,
    },
    /// It stays on the node: evicted, it would come back at once.
    Stay {
        /// Why.
        because: Peculiarity,
    },
    /// It would be lost, or lose something: nobody has said that this is meant.
    Refuse {
        /// Why.
        because: Peculiarity,
    },
}

/// What makes a pod unlike one that is simply made anew elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Peculiarity {
    /// Its DaemonSet runs it on this node whatever happens.
    DaemonSet,
    /// Its DaemonSet is gone: nobody makes it anew.
    OrphanOfDaemonSet,
    /// The node's kubelet runs it from a file.
    Mirror,
    /// It has data in an `emptyDir`, which ends with it.
    LocalData,
    /// Nobody makes it anew.
    NoController,
}

impl fmt::Display for Peculiarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DaemonSet => "it is of a DaemonSet (--ignore-daemonsets leaves such pods)",
            Self::OrphanOfDaemonSet => "its DaemonSet is gone and nobody makes it anew (--force evicts it)",
            Self::Mirror => "it is run from a file of the node",
            Self::LocalData => "its data in an emptyDir is lost (--delete-emptydir-data consents)",
            Self::NoController => "it has no controller and nobody makes it anew (--force evicts it)",
        })
    }
}

/// The DaemonSets that there are, by namespace and name.
pub(super) type DaemonSets = HashSet<(String, String)>;

pub(super) fn verdict(pod: &Pod, daemon_sets: &DaemonSets, options: &DrainOptions) -> Verdict {
    let is_finished = is_finished(pod);
    let mut although = Vec::new();
    let controller = controller(pod);
    if let Some(owner) = daemon_set(pod).filter(|_| !is_finished) {
        if daemon_sets.contains(&owner) {
            let because = Peculiarity::DaemonSet;
            return if options.ignore_daemon_sets {
                Verdict::Stay { because }
            } else {
                Verdict::Refuse { because }
            };
        }
        if !options.force {
            return Verdict::Refuse { because: Peculiarity::OrphanOfDaemonSet };
        }
        although.push(Peculiarity::OrphanOfDaemonSet);
    }
    if pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR)) {
        return Verdict::Stay { because: Peculiarity::Mirror };
    }
    let consents = [
        (has_local_data(pod), options.delete_empty_dir_data, Peculiarity::LocalData),
        (controller.is_none(), options.force, Peculiarity::NoController),
    ];
    for (applies, is_consented, because) in consents {
        match (applies && !is_finished, is_consented) {
            (false, _) => {}
            (true, true) => although.push(because),
            (true, false) => return Verdict::Refuse { because },
        }
    }
    Verdict::Evict { although }
}

/// Whether no drain evicts it, whatever is consented to, as long as its DaemonSet is there.
pub(super) fn stays(pod: &Pod) -> bool {
    let options = DrainOptions {
        force: true,
        ignore_daemon_sets: true,
        delete_empty_dir_data: true,
        ..DrainOptions::default()
    };
    matches!(verdict(pod, &daemon_set(pod).into_iter().collect(), &options), Verdict::Stay { .. })
}

/// The DaemonSet that the pod is of, by namespace and name.
pub(super) fn daemon_set(pod: &Pod) -> Option<(String, String)> {
    let owner = controller(pod).filter(|owner| owner.kind == "DaemonSet")?;
    Some((pod.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()))
}

pub(super) fn controller(pod: &Pod) -> Option<&OwnerReference> {
    pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn has_local_data(pod: &Pod) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    volumes.into_iter().flatten().any(|volume| volume.empty_dir.is_some())
}

/// It has ended, and is no use to anybody any more.
pub(super) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

pub(super) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether it serves.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(mut of: Value) -> Pod {
        of["metadata"]["namespace"] = "shop".into();
        serde_json::from_value(of).unwrap()
    }

    fn owned_by(kind: &str, name: &str) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true}])
    }

    #[test]
    fn it_decides_as_kubectl_does() {
        let web = json!({"metadata": {"ownerReferences": owned_by("ReplicaSet", "web")}});
        let logs = json!({"metadata": {"ownerReferences": owned_by("DaemonSet", "logs")}});
        let orphan = json!({"metadata": {"ownerReferences": owned_by("DaemonSet", "gone")}});
        let mirror = json!({"metadata": {"annotations": {MIRROR: "x"}}});
        let bare = json!({"metadata": {}});
        let mut cache = web.clone();
        cache["spec"] = json!({"containers": [], "volumes": [{"name": "v", "emptyDir": {}}]});
        let mut done = cache.clone();
        done["status"]["phase"] = "Succeeded".into();
        let mut done_bare = bare.clone();
        done_bare["status"]["phase"] = "Failed".into();
        let mut done_logs = logs.clone();
        done_logs["status"]["phase"] = "Failed".into();
        let mut bare_cache = cache.clone();
        bare_cache["metadata"] = json!({});

        let evict = |although: &[Peculiarity]| Verdict::Evict { although: although.to_vec() };
        let refuse = |because| Verdict::Refuse { because };
        let stay = |because| Verdict::Stay { because };
        use Peculiarity::{DaemonSet, LocalData, Mirror, NoController, OrphanOfDaemonSet};
        // What is decided without any consent, and with all of them.
        for (of, without, with) in [
            (&web, evict(&[]), evict(&[])),
            (&logs, refuse(DaemonSet), stay(DaemonSet)),
            (&orphan, refuse(OrphanOfDaemonSet), evict(&[OrphanOfDaemonSet])),
            (&mirror, stay(Mirror), stay(Mirror)),
            (&bare, refuse(NoController), evict(&[NoController])),
            (&cache, refuse(LocalData), evict(&[LocalData])),
            (&bare_cache, refuse(LocalData), evict(&[LocalData, NoController])),
            (&done, evict(&[]), evict(&[])),
            (&done_bare, evict(&[]), evict(&[])),
            (&done_logs, evict(&[]), evict(&[])),
        ] {
            let daemon_sets = DaemonSets::from([("shop".to_owned(), "logs".to_owned())]);
            let pod = pod(of.clone());
            assert_eq!(verdict(&pod, &daemon_sets, &DrainOptions::default()), without, "{of}");
            let consenting = DrainOptions {
                force: true,
                ignore_daemon_sets: true,
                delete_empty_dir_data: true,
                ..DrainOptions::default()
            };
            assert_eq!(verdict(&pod, &daemon_sets, &consenting), with, "{of}");
        }
    }
}
