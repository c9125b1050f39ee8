//! Discovery: which groups, versions and resources there are, one document each or all in one
//! (`apiserver/pkg/endpoints/discovery`).

use serde_json::{Map, Value, json};

use super::health;
use crate::kinds::{CONVERTED, KINDS, Kind, REVIEWS, Subresource, TypeName, group_version};
use crate::status::ApiError;

/// Groups in the order of their priority (`pkg/controlplane/instance.go`, `DefaultGenericAPIServicePriorities`):
/// where two groups know a name, clients take the first. Groups that are not named here come last.
const PRIORITY: &[&str] = &[
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
];

/// The body of `/`: what is served outside of objects.
pub(super) fn root() -> Value {
    let mut paths: Vec<String> =
        ["/api", "/apis", "/metrics", "/openapi/v2", "/openapi/v3", "/version"].map(str::to_owned).into();
    for (group, version) in group_versions() {
        let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        paths.extend([format!("{root}/{version}"), root]);
    }
    for endpoint in health::ENDPOINTS {
        paths.push(format!("/{endpoint}"));
        paths.extend(health::CHECKS.map(|check| format!("/{endpoint}/{check}")));
    }
    paths.sort();
    paths.dedup();
    json!({ "paths": paths })
}

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
    let groups: Vec<Value> =
        group_names().into_iter().filter(|name| !name.is_empty()).map(describe).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// The body of `/apis/{group}`.
pub(super) fn group(name: &str) -> Result<Value, ApiError> {
    let known = group_names().into_iter().find(|known| *known == name && !name.is_empty());
    let mut group = describe(known.ok_or_else(ApiError::no_such_resource)?);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Ok(group)
}

/// The body of `/api/v1` and `/apis/{group}/{version}`.
pub(super) fn resources(group: &str, version: &str) -> Result<Value, ApiError> {
    let resources: Vec<Value> =
        resources_of(group, version).into_iter().flat_map(with_subresources).collect();
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

/// The body of `/api` for clients that ask for everything at once.
pub(super) fn aggregated_core() -> Value {
    aggregated(&[aggregated_group("")])
}

/// The body of `/apis` for clients that ask for everything at once.
pub(super) fn aggregated_groups() -> Value {
    let named = group_names().into_iter().filter(|name| !name.is_empty());
    aggregated(&named.map(aggregated_group).collect::<Vec<Value>>())
}

fn aggregated(items: &[Value]) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(group: &str) -> Value {
    let versions = versions_of(group).into_iter().map(|version| {
        let resources: Vec<Value> =
            resources_of(group, version).into_iter().map(aggregated_resource).collect();
        json!({ "version": version, "resources": resources, "freshness": "Current" })
    });
    let mut metadata = json!({ "creationTimestamp": null });
    if !group.is_empty() {
        metadata["name"] = group.into();
    }
    json!({ "metadata": metadata, "versions": versions.collect::<Vec<Value>>() })
}

fn aggregated_resource(kind: &'static Kind) -> Value {
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": type_name(own_type(kind)),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular(),
        "verbs": kind.verbs,
    });
    name_on_command_lines(kind, &mut resource);
    if !kind.subresources.is_empty() {
        let parts = kind.subresources.iter().map(|part| {
            json!({
                "subresource": part.name,
                "responseKind": type_name(part.speaks.unwrap_or(own_type(kind))),
                "verbs": part.verbs,
            })
        });
        resource["subresources"] = parts.collect();
    }
    resource
}

fn own_type(kind: &Kind) -> TypeName {
    TypeName { group: kind.group, version: kind.version, kind: kind.kind }
}

fn type_name(name: TypeName) -> Value {
    json!({ "group": name.group, "version": name.version, "kind": name.kind })
}

/// Short names and categories, where there are any.
fn name_on_command_lines(kind: &Kind, resource: &mut Value) {
    for (field, names) in [("shortNames", kind.short_names), ("categories", kind.categories)] {
        if !names.is_empty() {
            resource[field] = json!(names);
        }
    }
}

fn served() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().chain(CONVERTED).chain(REVIEWS)
}

/// Whether there is the group, or this version of it.
pub(super) fn serves(group: &str, version: Option<&str>) -> bool {
    served().any(|kind| kind.group == group && version.is_none_or(|version| kind.version == version))
}

fn group_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = served().map(|kind| kind.group).collect();
    let rank = |name: &str| PRIORITY.iter().position(|known| *known == name).unwrap_or(PRIORITY.len());
    names.sort_by_key(|name| (rank(name), *name));
    names.dedup();
    names
}

/// The versions of a group, the preferred one first.
fn versions_of(group: &str) -> Vec<&'static str> {
    let mut versions: Vec<&str> = Vec::new();
    for kind in served().filter(|kind| kind.group == group) {
        if !versions.contains(&kind.version) {
            versions.push(kind.version);
        }
    }
    versions
}

/// All groups with their versions.
pub(super) fn group_versions() -> Vec<(&'static str, &'static str)> {
    let pairs =
        group_names().into_iter().flat_map(|group| versions_of(group).into_iter().map(move |v| (group, v)));
    pairs.collect()
}

/// The resources of a group and version, in the order of their names.
pub(super) fn resources_of(group: &str, version: &str) -> Vec<&'static Kind> {
    let mut kinds: Vec<&Kind> =
        served().filter(|kind| kind.group == group && kind.version == version).collect();
    kinds.sort_by_key(|kind| kind.plural);
    kinds
}

fn describe(group: &str) -> Value {
    let versions: Vec<Value> = versions_of(group)
        .into_iter()
        .map(|version| json!({ "groupVersion": group_version(group, version), "version": version }))
        .collect();
    json!({ "name": group, "versions": versions, "preferredVersion": versions.first() })
}

fn with_subresources(kind: &'static Kind) -> Vec<Value> {
    let mut resource = json!({
        "name": kind.plural,
        "singularName": kind.singular(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
    });
    name_on_command_lines(kind, &mut resource);
    let parts = kind.subresources.iter().map(|part| subresource(kind, part));
    std::iter::once(resource).chain(parts).collect()
}

/// A subresource names the group and version of its type where they are not those of the document.
fn subresource(kind: &Kind, part: &Subresource) -> Value {
    let speaks = part.speaks.unwrap_or(own_type(kind));
    let mut resource = Map::from_iter([
        ("name".to_owned(), format!("{}/{}", kind.plural, part.name).into()),
        ("singularName".to_owned(), "".into()),
        ("namespaced".to_owned(), kind.namespaced.into()),
        ("kind".to_owned(), speaks.kind.into()),
        ("verbs".to_owned(), json!(part.verbs)),
    ]);
    if (speaks.group, speaks.version) != (kind.group, kind.version) {
        resource.insert("group".to_owned(), speaks.group.into());
        resource.insert("version".to_owned(), speaks.version.into());
    }
    resource.into()
}
