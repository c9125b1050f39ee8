//! Discovery: which groups, versions and resources there are.

use serde_json::{Value, json};

use crate::kinds::{KINDS, Kind, group_version};
use crate::status::ApiError;

/// The body of `/version`.
pub(super) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": "v1.36.2",
        "gitCommit": "x",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.27.3",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

/// The body of `/api`.
pub(super) fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": address }],
    })
}

/// The body of `/apis`.
pub(super) fn groups() -> Value {
    let mut names: Vec<&str> =
        KINDS.iter().map(|kind| kind.group).filter(|group| !group.is_empty()).collect();
    names.dedup();
    let groups: Vec<Value> = names.into_iter().filter_map(describe).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// The body of `/apis/{group}`.
pub(super) fn group(name: &str) -> Result<Value, ApiError> {
    let mut group = describe(name).filter(|_| !name.is_empty()).ok_or_else(ApiError::no_such_resource)?;
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Ok(group)
}

/// Each group is served in one version.
fn describe(group: &str) -> Option<Value> {
    let kind = KINDS.iter().find(|kind| kind.group == group)?;
    let version = json!({ "groupVersion": kind.api_version(), "version": kind.version });
    Some(json!({ "name": group, "versions": [version], "preferredVersion": version }))
}

/// The body of `/api/v1` and `/apis/{group}/{version}`.
pub(super) fn resources(group: &str, version: &str) -> Result<Value, ApiError> {
    let resources: Vec<Value> = KINDS
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
        .flat_map(with_subresources)
        .collect();
    if resources.is_empty() {
        return Err(ApiError::no_such_resource());
    }
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(group, version),
        "resources": resources,
    }))
}

fn with_subresources(kind: &'static Kind) -> Vec<Value> {
    let mut resource = json!({
        "name": kind.plural,
        "singularName": kind.singular(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    let subresources = kind.subresources.iter().map(|part| {
        json!({
            "name": format!("{}/{}", kind.plural, part.name),
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": part.verbs,
        })
    });
    std::iter::once(resource).chain(subresources).collect()
}
