//! Volumes: `ValidateVolumes` and `validateVolumeSource`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::Path;
use crate::validation::errors::Errors;
use crate::validation::format;
use crate::validation::read::{given, is_empty, items, text};

/// What each source needs: its name and the fields that may not be empty.
const SOURCES: &[(&str, &[&str])] = &[
    ("emptyDir", &[]),
    ("hostPath", &["path"]),
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("secret", &["secretName"]),
    ("nfs", &["server", "path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("glusterfs", &["endpoints", "path"]),
    ("flocker", &[]),
    ("persistentVolumeClaim", &["claimName"]),
    ("rbd", &["monitors", "image"]),
    ("cinder", &["volumeID"]),
    ("cephfs", &["monitors"]),
    ("quobyte", &["registry", "volume"]),
    ("downwardAPI", &[]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("configMap", &["name"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("storageos", &[]),
    ("projected", &[]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("csi", &["driver"]),
    ("ephemeral", &["volumeClaimTemplate"]),
    ("image", &["reference"]),
];

/// The names of the volumes that are sound: containers may mount these.
pub(super) fn volumes(errors: &mut Errors, volumes: &Value, path: &Path<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (index, volume) in items(volumes) {
        let path = path.index(index);
        let before = errors.len();
        source(errors, volume, &path);
        let name = text(volume, "name");
        if name.is_empty() {
            errors.required(&path.field("name"), "");
        } else {
            errors.broken(&path.field("name"), name, &format::dns_label(name));
        }
        if names.contains(name) {
            errors.duplicate(&path.field("name"), name);
        }
        if errors.len() == before {
            names.insert(name.to_owned());
        }
    }
    names
}

fn source(errors: &mut Errors, volume: &Value, path: &Path<'_>) {
    let mut sources = 0;
    for (name, required) in SOURCES.iter().filter(|(name, _)| given(volume, name)) {
        let path = path.field(name);
        sources += 1;
        if sources > 1 {
            errors.forbidden(&path, "may not specify more than 1 volume type");
            continue;
        }
        let source = &volume[*name];
        for field in required.iter().filter(|field| is_empty(&source[**field])) {
            errors.required(&path.field(field), "");
        }
        mode(errors, source, &path);
        if *name == "hostPath" && text(source, "path").split('/').any(|part| part == "..") {
            errors.invalid(&path.field("path"), text(source, "path"), "must not contain '..'");
        }
        keys(errors, source, &path);
    }
    if sources == 0 {
        errors.required(path, "must specify a volume type");
    }
}

/// `validateKeyToPath` and the mode of all files.
fn mode(errors: &mut Errors, source: &Value, path: &Path<'_>) {
    if let Some(mode) = source["defaultMode"].as_i64()
        && !(0..=0o777).contains(&mode)
    {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.invalid(&path.field("defaultMode"), mode, why);
    }
}

fn keys(errors: &mut Errors, source: &Value, path: &Path<'_>) {
    let path = path.field("items");
    for (index, item) in items(&source["items"]) {
        let path = path.index(index);
        // Items of the downward API have no key.
        if given(item, "key") && text(item, "key").is_empty() {
            errors.required(&path.field("key"), "");
        }
        let target = text(item, "path");
        if target.is_empty() {
            errors.required(&path.field("path"), "");
        } else if target.starts_with('/') {
            errors.invalid(&path.field("path"), target, "must be a relative path");
        } else if target.split('/').any(|part| part == "..") {
            errors.invalid(&path.field("path"), target, "must not contain '..'");
        }
    }
}
