//! Volumes of pods and persistent volumes: modes and the sources' own defaults.

use serde_json::{Value, json};

use super::fill::{Fields, absent, text, zero};
use crate::images;

/// 0644, the mode of files in volumes that are made from objects.
const FILE_MODE: i32 = 0o644;

/// Whether the type is one of these.
pub(super) fn fill(ty: &str, fields: &mut Fields) -> bool {
    match ty {
        "v1.Volume" => volume(fields),
        "v1.ImageVolumeSource" => {
            let policy = images::default_pull_policy(text(fields, "reference"));
            zero(fields, "pullPolicy", policy);
        }
        "v1.SecretVolumeSource"
        | "v1.ConfigMapVolumeSource"
        | "v1.DownwardAPIVolumeSource"
        | "v1.ProjectedVolumeSource" => absent(fields, "defaultMode", FILE_MODE),
        "v1.ServiceAccountTokenProjection" => absent(fields, "expirationSeconds", 3600),
        "v1.HostPathVolumeSource" => absent(fields, "type", ""),
        "v1.ISCSIVolumeSource" | "v1.ISCSIPersistentVolumeSource" => {
            zero(fields, "iscsiInterface", "default");
        }
        "v1.RBDVolumeSource" | "v1.RBDPersistentVolumeSource" => {
            zero(fields, "pool", "rbd");
            zero(fields, "user", "admin");
            zero(fields, "keyring", "/etc/ceph/keyring");
        }
        "v1.AzureDiskVolumeSource" => {
            absent(fields, "cachingMode", "ReadWrite");
            absent(fields, "kind", "Shared");
            absent(fields, "fsType", "ext4");
            absent(fields, "readOnly", false);
        }
        "v1.ScaleIOVolumeSource" | "v1.ScaleIOPersistentVolumeSource" => {
            zero(fields, "storageMode", "ThinProvisioned");
            zero(fields, "fsType", "xfs");
        }
        _ => return false,
    }
    true
}

/// `SetDefaults_Volume`: a volume without a source is an empty directory.
fn volume(fields: &mut Fields) {
    let has_source = fields.iter().any(|(name, value)| name != "name" && *value != Value::Null);
    if !has_source {
        absent(fields, "emptyDir", json!({}));
    }
}
