//! The schemas of a document, in the form in which `kube-openapi` prints them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::kinds::{Kind, TypeName};
use crate::schema::{Field, Merge, Root, Shape, Topology, Type, Zero};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// The schemas of the kinds with all that they hold, and of what every operation speaks.
pub(super) fn schemas(kinds: &[&'static Kind]) -> Value {
    let mut schemas = Schemas(BTreeMap::new());
    for kind in kinds {
        let Some(root) = Root::of(kind) else { continue };
        schemas.add(root.ty);
        if kind.verbs.contains(&"list") {
            schemas.0.insert(list_name(root.ty), list(kind, root.ty));
        }
        for spoken in kind.subresources.iter().filter_map(|part| part.speaks) {
            if let Some(ty) = type_of(spoken) {
                schemas.add(ty);
            }
        }
    }
    for name in ["DeleteOptions", "ListMeta", "Status"] {
        if let Some(ty) = Type::named(&format!("{META}.{name}")) {
            schemas.add(ty);
        }
    }
    let patch = json!({
        "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
        "type": "object",
    });
    schemas.0.insert(format!("{META}.Patch"), patch);
    json!(schemas.0)
}

/// The address of a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The address of a schema of `meta.k8s.io`.
pub(super) fn meta(name: &str) -> Value {
    reference(&format!("{META}.{name}"))
}

/// The type that a subresource speaks.
pub(super) fn type_of(name: TypeName) -> Option<&'static Type> {
    Root::find(name.group, name.version, name.kind).map(|root| root.ty)
}

/// The name of the schema of lists.
pub(super) fn list_name(ty: &Type) -> String {
    format!("{}List", ty.name)
}

fn list(kind: &Kind, ty: &Type) -> Value {
    let name = format!("{}List", kind.kind);
    json!({
        "description": format!("{name} is a list of {}.", kind.plural),
        "type": "object",
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "allOf": [meta("ListMeta")], "default": {} },
            "items": { "type": "array", "items": { "allOf": [reference(ty.name)], "default": {} } },
        },
        "required": ["items"],
        "x-kubernetes-group-version-kind":
            [{ "group": kind.group, "version": kind.version, "kind": name }],
    })
}

struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    fn add(&mut self, ty: &'static Type) {
        if self.0.contains_key(ty.name) {
            return;
        }
        self.0.insert(ty.name.to_owned(), Value::Null);
        let mut properties = Map::new();
        for (name, field) in &ty.fields {
            properties.insert((*name).to_owned(), self.property(field));
        }
        let required: Vec<&str> = ty.required().collect();
        let mut schema = json!({ "description": ty.description, "type": "object", "properties": properties });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if ty.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        let names: Vec<Value> = Root::all()
            .filter(|root| std::ptr::eq(root.ty, ty))
            .map(|root| json!({ "group": root.group, "version": root.version, "kind": root.kind }))
            .collect();
        if !names.is_empty() {
            schema["x-kubernetes-group-version-kind"] = names.into();
        }
        self.0.insert(ty.name.to_owned(), schema);
    }

    fn property(&mut self, field: &Field) -> Value {
        let mut schema = self.shape(&field.shape);
        schema["description"] = field.description.into();
        if field.zero == Zero::Written
            && let Some(default) = default(&field.shape)
        {
            schema["default"] = default;
        }
        let mut strategies = Vec::new();
        match field.merge {
            Merge::Default => {}
            Merge::Replace => strategies.push("replace"),
            Merge::Set => strategies.push("merge"),
            Merge::ByKey(key) => {
                strategies.push("merge");
                schema["x-kubernetes-patch-merge-key"] = key.into();
            }
        }
        if field.retain_keys {
            strategies.push("retainKeys");
        }
        if !strategies.is_empty() {
            schema["x-kubernetes-patch-strategy"] = strategies.join(",").into();
        }
        describe_topology(field, &mut schema);
        schema
    }

    /// The schema of a value, without what is told of the field.
    fn shape(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::String => json!({ "type": "string" }),
            Shape::Integer { bits } => json!({ "type": "integer", "format": format!("int{bits}") }),
            Shape::Number => json!({ "type": "number", "format": "double" }),
            Shape::Boolean => json!({ "type": "boolean" }),
            Shape::Bytes => json!({ "type": "string", "format": "byte" }),
            Shape::Any => json!({ "type": "object" }),
            Shape::List(element) => json!({ "type": "array", "items": self.element(element) }),
            Shape::Map(element) => json!({ "type": "object", "additionalProperties": self.element(element) }),
            Shape::Object(ty) => {
                self.add(ty);
                json!({ "allOf": [reference(ty.name)] })
            }
            Shape::Time => {
                self.scalar(&format!("{META}.Time"), &json!({ "type": "string", "format": "date-time" }))
            }
            Shape::MicroTime => {
                self.scalar(&format!("{META}.MicroTime"), &json!({ "type": "string", "format": "date-time" }))
            }
            Shape::Quantity => {
                self.scalar(QUANTITY, &json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }))
            }
            Shape::IntOrString => self.scalar(
                INT_OR_STRING,
                &json!({ "oneOf": [{ "type": "integer" }, { "type": "string" }], "format": "int-or-string" }),
            ),
        }
    }

    fn element(&mut self, shape: &Shape) -> Value {
        let mut schema = self.shape(shape);
        if let Some(default) = default(shape) {
            schema["default"] = default;
        }
        schema
    }

    fn scalar(&mut self, name: &str, schema: &Value) -> Value {
        self.0.entry(name.to_owned()).or_insert_with(|| schema.clone());
        json!({ "allOf": [reference(name)] })
    }
}

/// The zero value of what Go holds by value.
fn default(shape: &Shape) -> Option<Value> {
    match shape {
        Shape::String => Some("".into()),
        Shape::Integer { .. } | Shape::Number => Some(0.into()),
        Shape::Boolean => Some(false.into()),
        Shape::Object(_) | Shape::Time | Shape::MicroTime | Shape::Quantity | Shape::IntOrString => {
            Some(json!({}))
        }
        Shape::Bytes | Shape::List(_) | Shape::Map(_) | Shape::Any => None,
    }
}

fn describe_topology(field: &Field, schema: &mut Value) {
    match (&field.topology, &field.shape) {
        (Topology::Granular, _) => {}
        (Topology::Set, _) => schema["x-kubernetes-list-type"] = "set".into(),
        (Topology::ByKeys(keys), _) => {
            schema["x-kubernetes-list-type"] = "map".into();
            schema["x-kubernetes-list-map-keys"] = keys.clone().into();
        }
        (Topology::Atomic, Shape::List(_)) => schema["x-kubernetes-list-type"] = "atomic".into(),
        (Topology::Atomic, Shape::Map(_) | Shape::Object(_)) => {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        (Topology::Atomic, _) => {}
    }
}
