//! The operations of a document: their names, parameters, bodies and answers.

use serde_json::{Map, Value, json};

use super::components::{list_name, meta, reference, type_of};
use crate::kinds::{Kind, Subresource, TypeName};
use crate::schema::{Root, Type};

/// The media types of patches.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

const WRITE: &[(&str, &str)] =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const DELETE: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const LIST: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

/// One thing that can be done at a path.
pub(super) struct Operation {
    pub(super) kind: &'static Kind,
    pub(super) part: Option<&'static Subresource>,
    pub(super) verb: &'static str,
    /// Whether it reaches into all namespaces.
    pub(super) everywhere: bool,
}

impl Operation {
    pub(super) fn method(&self) -> &'static str {
        match self.verb {
            "create" => "post",
            "update" => "put",
            "patch" => "patch",
            "delete" | "deletecollection" => "delete",
            _ => "get",
        }
    }

    /// The type that goes over the wire.
    fn speaks(&self) -> TypeName {
        let Kind { group, version, kind, .. } = *self.kind;
        self.part.and_then(|part| part.speaks).unwrap_or(TypeName { group, version, kind })
    }

    /// `patchCoreV1NamespacedPodStatus` (`GetOperationIDAndTags` in `pkg/controlplane` builds the same).
    fn id(&self) -> String {
        let verb = match self.verb {
            "update" => "replace",
            "get" => "read",
            "deletecollection" => "deleteCollection",
            verb => verb,
        };
        let group = self.kind.group.split(".k8s.io").next().unwrap_or_default();
        let group: String =
            if group.is_empty() { "Core".to_owned() } else { group.split('.').map(capitalized).collect() };
        let version = capitalized(self.kind.version);
        let scope = if self.kind.namespaced && !self.everywhere { "Namespaced" } else { "" };
        let part = self.part.map(|part| capitalized(part.name)).unwrap_or_default();
        let all = if self.everywhere { "ForAllNamespaces" } else { "" };
        format!("{verb}{group}{version}{scope}{}{part}{all}", self.kind.kind)
    }

    /// `x-kubernetes-action`, which names the verb as Kubernetes does.
    fn action(&self) -> &'static str {
        match self.verb {
            "create" => "post",
            "update" => "put",
            verb => verb,
        }
    }

    fn parameters(&self) -> Vec<Value> {
        let (lists, force): (&[&[(&str, &str)]], bool) = match self.verb {
            "create" | "update" => (&[WRITE], false),
            "patch" => (&[WRITE], true),
            "delete" => (&[DELETE], false),
            "deletecollection" => (&[DELETE, LIST], false),
            "list" => (&[LIST], false),
            _ => (&[], false),
        };
        let force = force.then_some(("force", "boolean"));
        let all = lists.iter().flat_map(|list| list.iter().copied()).chain(force);
        all.map(|(name, ty)| parameter("query", name, ty)).collect()
    }

    fn body(&self, ty: &Type) -> Option<Value> {
        let (media_types, schema): (&[&str], Value) = match self.verb {
            "create" | "update" => (&["*/*"], reference(ty.name)),
            "patch" => (PATCHES, meta("Patch")),
            "delete" | "deletecollection" => (&["*/*"], meta("DeleteOptions")),
            _ => return None,
        };
        let content: Map<String, Value> = media_types
            .iter()
            .map(|media_type| ((*media_type).to_owned(), json!({ "schema": schema })))
            .collect();
        let required = !self.verb.starts_with("delete");
        Some(if required {
            json!({ "content": content, "required": true })
        } else {
            json!({ "content": content })
        })
    }

    fn answer(&self, ty: &Type) -> Value {
        let schema = match self.verb {
            "list" => reference(&list_name(ty)),
            "delete" | "deletecollection" => meta("Status"),
            "get" if self.part.is_some_and(|part| part.name == "log") => json!({ "type": "string" }),
            _ => reference(ty.name),
        };
        json!({ "description": "OK", "content": { "application/json": { "schema": schema } } })
    }
}

/// The operation as the document has it.
pub(super) fn describe(operation: &Operation) -> Value {
    let speaks = operation.speaks();
    let ty = type_of(speaks).or_else(|| Root::of(operation.kind).map(|root| root.ty));
    let mut described = json!({
        "operationId": operation.id(),
        "tags": [tag(operation.kind)],
        "x-kubernetes-action": operation.action(),
        "x-kubernetes-group-version-kind":
            { "group": speaks.group, "version": speaks.version, "kind": speaks.kind },
        "responses": { "401": { "description": "Unauthorized" } },
    });
    let parameters = operation.parameters();
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(ty) = ty {
        let status = if operation.verb == "create" { "201" } else { "200" };
        described["responses"][status] = operation.answer(ty);
        if let Some(body) = operation.body(ty) {
            described["requestBody"] = body;
        }
    }
    described
}

/// The parameters that are part of a path, and `pretty`.
pub(super) fn path_parameters(path: &str) -> Vec<Value> {
    let named = ["name", "namespace"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
    let mut parameters: Vec<Value> = named
        .map(|name| {
            let mut parameter = parameter("path", name, "string");
            parameter["required"] = true.into();
            parameter
        })
        .collect();
    parameters.push(parameter("query", "pretty", "string"));
    parameters
}

fn parameter(place: &str, name: &str, ty: &str) -> Value {
    json!({ "in": place, "name": name, "schema": { "type": ty, "uniqueItems": true } })
}

fn tag(kind: &Kind) -> String {
    let group = kind.group.split(".k8s.io").next().unwrap_or_default();
    format!("{}_{}", if group.is_empty() { "core" } else { group }, kind.version).replace('.', "")
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
