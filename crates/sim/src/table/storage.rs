//! Volumes, claims, and what provides them.

use serde_json::Value;

use super::Printer;
use super::column::{AGE, Field, NAME, Words, boolean, integer, text};
use super::read::{self, age, flag, list, name, text_or};

pub(super) const PERSISTENT_VOLUME: Printer = Printer {
    columns: &[
        NAME,
        text("Capacity", Field("spec.capacity")),
        text("Access Modes", Field("spec.accessModes")),
        text("Reclaim Policy", Field("spec.persistentVolumeReclaimPolicy")),
        text("Status", Field("status.phase")),
        text("Claim", Field("spec.claimRef")),
        text("StorageClass", Words("StorageClass of the pv")),
        text("VolumeAttributesClass", Words("VolumeAttributesClass of the pv")),
        text("Reason", Field("status.reason")),
        AGE,
        text("VolumeMode", Field("spec.volumeMode")).wide(),
    ],
    cells: |volume, now| {
        let claim = match &volume["spec"]["claimRef"] {
            Value::Null => String::new(),
            claim => format!("{}/{}", read::text(claim, "/namespace"), read::text(claim, "/name")),
        };
        vec![
            name(volume),
            read::quantity(&volume["spec"]["capacity"]["storage"]).into(),
            access_modes(list(volume, "/spec/accessModes")).into(),
            read::text(volume, "/spec/persistentVolumeReclaimPolicy").into(),
            phase(volume).into(),
            claim.into(),
            class(volume).into(),
            text_or(volume, "/spec/volumeAttributesClassName", "<unset>").into(),
            read::text(volume, "/status/reason").into(),
            age(volume, now),
            text_or(volume, "/spec/volumeMode", "<unset>").into(),
        ]
    },
};

pub(super) const PERSISTENT_VOLUME_CLAIM: Printer = Printer {
    columns: &[
        NAME,
        text("Status", Field("status.phase")),
        text("Volume", Field("spec.volumeName")),
        text("Capacity", Field("status.capacity")),
        text("Access Modes", Field("status.accessModes")),
        text("StorageClass", Words("StorageClass of the pvc")),
        text("VolumeAttributesClass", Words("VolumeAttributesClass of the pvc")),
        AGE,
        text("VolumeMode", Field("spec.volumeMode")).wide(),
    ],
    cells: |claim, now| {
        let volume = read::text(claim, "/spec/volumeName");
        let (capacity, modes) = match volume {
            "" => (String::new(), String::new()),
            _ => (
                read::quantity(&claim["status"]["capacity"]["storage"]),
                access_modes(list(claim, "/status/accessModes")),
            ),
        };
        vec![
            name(claim),
            phase(claim).into(),
            volume.into(),
            capacity.into(),
            modes.into(),
            class(claim).into(),
            text_or(claim, "/spec/volumeAttributesClassName", "<unset>").into(),
            age(claim, now),
            text_or(claim, "/spec/volumeMode", "<unset>").into(),
        ]
    },
};

fn phase(object: &Value) -> &str {
    if read::terminating(object) { "Terminating" } else { read::text(object, "/status/phase") }
}

/// The class of a volume or claim; the annotation of old times still counts before the field.
fn class(object: &Value) -> &str {
    let annotation = object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
    annotation.unwrap_or_else(|| read::text(object, "/spec/storageClassName"))
}

/// The modes in short, in one order (`GetAccessModesAsString` of `pkg/apis/core/helper`).
fn access_modes(modes: &[Value]) -> String {
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let present = known.iter().filter(|(mode, _)| modes.iter().any(|given| given == mode));
    present.map(|(_, short)| *short).collect::<Vec<&str>>().join(",")
}

pub(super) const STORAGE_CLASS: Printer = Printer {
    columns: &[
        NAME,
        text("Provisioner", Field("provisioner")),
        text("ReclaimPolicy", Field("reclaimPolicy")),
        text("VolumeBindingMode", Field("volumeBindingMode")),
        text("AllowVolumeExpansion", Field("allowVolumeExpansion")),
        AGE,
    ],
    cells: |class, now| {
        let default = [
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ]
        .iter()
        .any(|annotation| class["metadata"]["annotations"][annotation] == "true");
        let suffix = if default { " (default)" } else { "" };
        vec![
            format!("{}{suffix}", read::text(class, "/metadata/name")).into(),
            read::text(class, "/provisioner").into(),
            text_or(class, "/reclaimPolicy", "Delete").into(),
            text_or(class, "/volumeBindingMode", "Immediate").into(),
            flag(class, "/allowVolumeExpansion").into(),
            age(class, now),
        ]
    },
};

pub(super) const VOLUME_ATTACHMENT: Printer = Printer {
    columns: &[
        NAME,
        text("Attacher", Field("spec.attacher")).named(),
        text("PV", Field("spec.source.persistentVolumeName")),
        text("Node", Field("spec.nodeName")),
        boolean("Attached", Field("status.attached")),
        AGE,
    ],
    cells: |attachment, now| {
        vec![
            name(attachment),
            read::text(attachment, "/spec/attacher").into(),
            read::text(attachment, "/spec/source/persistentVolumeName").into(),
            read::text(attachment, "/spec/nodeName").into(),
            flag(attachment, "/status/attached").into(),
            age(attachment, now),
        ]
    },
};

pub(super) const CSI_NODE: Printer = Printer {
    columns: &[
        NAME,
        integer("Drivers", Words("Drivers indicates the number of CSI drivers registered on the node")),
        AGE,
    ],
    cells: |node, now| vec![name(node), read::size(node, "/spec/drivers").into(), age(node, now)],
};

pub(super) const CSI_DRIVER: Printer = Printer {
    columns: &[
        NAME,
        boolean("AttachRequired", Field("spec.attachRequired")),
        boolean("PodInfoOnMount", Field("spec.podInfoOnMount")),
        boolean("StorageCapacity", Field("spec.storageCapacity")),
        text("TokenRequests", Field("spec.tokenRequests")),
        boolean("RequiresRepublish", Field("spec.requiresRepublish")),
        text("Modes", Field("spec.volumeLifecycleModes")),
        AGE,
    ],
    cells: |driver, now| {
        let modes: Vec<&str> =
            list(driver, "/spec/volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
        let audiences = driver["spec"]["tokenRequests"].as_array().map(|requests| {
            requests.iter().map(|request| read::text(request, "/audience")).collect::<Vec<&str>>().join(",")
        });
        vec![
            name(driver),
            driver["spec"]["attachRequired"].as_bool().unwrap_or(true).into(),
            flag(driver, "/spec/podInfoOnMount").into(),
            flag(driver, "/spec/storageCapacity").into(),
            audiences.unwrap_or_else(|| "<unset>".to_owned()).into(),
            flag(driver, "/spec/requiresRepublish").into(),
            if modes.is_empty() { "<none>".to_owned() } else { modes.join(",") }.into(),
            age(driver, now),
        ]
    },
};
