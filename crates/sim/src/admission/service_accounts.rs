//! `ServiceAccount`: who a pod is, and the token by which the API server knows it.

use serde_json::{Value, json};

use super::{forbidden, list, set};
use crate::kinds::{Kind, SERVICE_ACCOUNTS};
use crate::status::ApiError;
use crate::store::Transaction;
use crate::{names, object};

const DEFAULT: &str = "default";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// `WarnOnlyBoundTokenExpirationSeconds`: an hour, and what tells such tokens from others.
const EXPIRATION_SECONDS: i32 = 60 * 60 + 7;

pub(super) fn pod(store: &Transaction<'_>, kind: &Kind, pod: &mut Value) -> Result<(), ApiError> {
    if pod["spec"]["serviceAccountName"].as_str().unwrap_or_default().is_empty() {
        set(pod, "spec", "serviceAccountName", DEFAULT.into());
    }
    let name = pod["spec"]["serviceAccountName"].as_str().unwrap_or_default().to_owned();
    set(pod, "spec", "serviceAccount", name.as_str().into());

    let namespace = object::namespace(pod).to_owned();
    let account = store.get(SERVICE_ACCOUNTS, &object::key(SERVICE_ACCOUNTS, &namespace, &name)).cloned();
    let account = match account {
        Some(account) => Value::clone(&account),
        // The plugin waits for the controller that gives every namespace this one.
        None if name == DEFAULT => Value::Null,
        None => {
            let why = format!(
                "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
            );
            return Err(forbidden(kind, pod, &why));
        }
    };
    if wants_token(pod, &account) {
        mount_token(pod);
    }
    let secrets = &account["imagePullSecrets"];
    if secrets.is_array() && pod["spec"]["imagePullSecrets"].is_null() {
        set(pod, "spec", "imagePullSecrets", secrets.clone());
    }
    Ok(())
}

/// `shouldAutomount`: the pod decides, then its account.
fn wants_token(pod: &Value, account: &Value) -> bool {
    let field = "automountServiceAccountToken";
    pod["spec"][field].as_bool().or(account[field].as_bool()).unwrap_or(true)
}

/// `mountServiceAccountToken`: every container that has nothing at the path gets the volume there.
fn mount_token(pod: &mut Value) {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let prefix = "kube-api-access-";
    let present = volumes.filter_map(|volume| volume["name"].as_str()).find(|name| name.starts_with(prefix));
    let (name, is_new) = match present {
        Some(name) => (name.to_owned(), false),
        None => (format!("{prefix}{}", names::suffix()), true),
    };
    let mount = json!({ "name": name, "readOnly": true, "mountPath": MOUNT_PATH });
    let mut mounted = false;
    for containers in ["initContainers", "containers"] {
        let containers = pod["spec"].get_mut(containers).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let mounts = container.entry("volumeMounts").or_insert(Value::Null);
            if mounts.is_null() {
                *mounts = Value::Array(Vec::new());
            }
            if let Some(mounts) = mounts.as_array_mut()
                && !mounts.iter().any(|present| present["mountPath"] == MOUNT_PATH)
            {
                mounts.push(mount.clone());
                mounted = true;
            }
        }
    }
    if let Some(volumes) = list(pod, "spec", "volumes")
        && mounted
        && is_new
    {
        volumes.push(json!({ "name": name, "projected": token() }));
    }
}

/// `TokenVolumeSource`, with the certificate of services that the recorded server projects too.
fn token() -> Value {
    let certificate = |name: &str, key: &str| json!({ "configMap": { "name": name, "items": [{ "key": key, "path": key }] } });
    json!({
        "sources": [
            { "serviceAccountToken": { "expirationSeconds": EXPIRATION_SECONDS, "path": "token" } },
            certificate("kube-root-ca.crt", "ca.crt"),
            { "downwardAPI": { "items": [{
                "path": "namespace",
                "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" },
            }] } },
            certificate("openshift-service-ca.crt", "service-ca.crt"),
        ],
        "defaultMode": 0o644,
    })
}
