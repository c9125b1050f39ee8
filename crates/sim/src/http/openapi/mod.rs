//! OpenAPI v3: what `kubectl explain` and clients that check objects read, one document for a group and version.

mod components;
mod operations;
mod paths;
pub(super) mod v2;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha512};

use super::discovery;
use crate::kinds::Kind;

/// A printed document and the hash of its content, by its path below `/openapi/v3`: `apis/apps/v1`.
static DOCUMENTS: LazyLock<BTreeMap<String, (Bytes, String)>> = LazyLock::new(|| {
    let documents = discovery::group_versions().into_iter().map(|(group, version)| {
        let kinds = discovery::resources_of(group, version);
        let document = Bytes::from(describe(&kinds).to_string());
        let hash = Sha512::digest(&document).iter().map(|byte| format!("{byte:02X}")).collect();
        (path(group, version), (document, hash))
    });
    documents.collect()
});

/// The body of `/openapi/v3`: where the documents are. The hash in an address changes with the document.
pub(super) fn root() -> Value {
    let paths: Map<String, Value> = DOCUMENTS
        .iter()
        .map(|(path, (_, hash))| {
            let address = format!("/openapi/v3/{path}?hash={hash}");
            (path.clone(), json!({ "serverRelativeURL": address }))
        })
        .collect();
    json!({ "paths": paths })
}

/// The document of a group and version, printed.
pub(super) fn document(group: &str, version: &str) -> Option<Bytes> {
    DOCUMENTS.get(&path(group, version)).map(|(document, _)| document.clone())
}

fn path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn describe(kinds: &[&'static Kind]) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.36.2" },
        "paths": paths::of(kinds),
        "components": {
            "schemas": components::schemas(kinds),
            "securitySchemes": {
                "BearerToken": {
                    "description": "Bearer Token authentication",
                    "in": "header",
                    "name": "authorization",
                    "type": "apiKey",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(group: &str, version: &str) -> Value {
        serde_json::from_slice(&document(group, version).unwrap()).unwrap()
    }

    /// All `$ref`s in a document.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_group_and_version_has_a_document_whose_references_hold() {
        let root = root();
        for (group, version) in discovery::group_versions() {
            let address = root["paths"][path(group, version)]["serverRelativeURL"].as_str().unwrap();
            assert!(address.starts_with(&format!("/openapi/v3/{}?hash=", path(group, version))));
            let document = read(group, version);
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(!found.is_empty());
            for reference in found {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{group} {version}: {reference}");
            }
        }
    }

    #[test]
    fn schemas_tell_fields_defaults_and_patch_strategies() {
        let schemas = &read("apps", "v1")["components"]["schemas"];
        let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
        let gvk = json!([{ "group": "apps", "kind": "Deployment", "version": "v1" }]);
        assert_eq!(deployment["x-kubernetes-group-version-kind"], gvk);
        let spec = &deployment["properties"]["spec"];
        assert_eq!(spec["default"], json!({}));
        let reference = json!([{ "$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec" }]);
        assert_eq!(spec["allOf"], reference);
        let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
        assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
        assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
        assert_eq!(schemas["io.k8s.api.core.v1.Container"]["required"], json!(["name"]));
    }

    #[test]
    fn patches_take_the_parameters_that_kubectl_looks_for() {
        let document = read("", "v1");
        let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-action"], "patch");
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
        assert_eq!(patch["operationId"], "patchCoreV1NamespacedPod");
        let names: Vec<&str> = patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        let paths = document["paths"].as_object().unwrap();
        assert!(paths["/api/v1/pods"].get("post").is_none());
        assert!(paths.contains_key("/api/v1/namespaces/{namespace}/pods/{name}/eviction"));
    }
}
