//! From the JSON schemas of `k8s-openapi` to types.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::facts::{Facts, FieldFacts, TypeFacts};
use super::{Field, Shape, Type, Zero};

const DEFINITION: &str = "#/$defs/";

/// The definitions that are not read as structs, since their JSON form is another.
const SCALARS: &[(&str, Shape)] = &[
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", Shape::Quantity),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", Shape::MicroTime),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", Shape::Time),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", Shape::IntOrString),
];

/// All types among the definitions, by full name. They live as long as the program.
pub(super) fn types(definitions: &Map<String, Value>) -> BTreeMap<&'static str, &'static Type> {
    let mut loader = Loader { definitions, facts: &Facts::read(), types: BTreeMap::new(), open: Vec::new() };
    for name in definitions.keys() {
        loader.definition(name);
    }
    loader.types
}

struct Loader<'a> {
    definitions: &'a Map<String, Value>,
    facts: &'a Facts,
    types: BTreeMap<&'static str, &'static Type>,
    /// The types that are being read, to notice those that contain themselves.
    open: Vec<&'a str>,
}

impl<'a> Loader<'a> {
    /// A type within itself (only in the schemas of custom resources) counts as any JSON.
    fn definition(&mut self, name: &'a str) -> Shape {
        if let Some((_, shape)) = SCALARS.iter().find(|(scalar, _)| *scalar == name) {
            return shape.clone();
        }
        if let Some(ty) = self.types.get(name) {
            return Shape::Object(ty);
        }
        let schema = &self.definitions[name];
        let Some(properties) = schema["properties"].as_object().filter(|_| !self.open.contains(&name)) else {
            return Shape::Any;
        };
        let facts = self.facts.of(name);
        self.open.push(name);
        let mut fields = BTreeMap::new();
        for (field, property) in properties {
            let required =
                schema["required"].as_array().is_some_and(|all| all.iter().any(|name| name == field));
            fields.insert(leak(field), self.field(facts, field, property, required));
        }
        self.open.pop();
        let written = fields.iter().filter(|(_, field)| matches!(field.zero, Zero::Written | Zero::Null));
        let completed = written.map(|(name, _)| *name).collect();
        let atomic = facts.is_some_and(|facts| facts.atomic);
        let ty = Type { name: leak(name), description: description(schema), fields, atomic, completed };
        let ty: &'static Type = Box::leak(Box::new(ty));
        self.types.insert(ty.name, ty);
        Shape::Object(ty)
    }

    fn field(&mut self, facts: Option<&TypeFacts>, name: &str, property: &'a Value, required: bool) -> Field {
        let shape = self.shape(property);
        let FieldFacts { zero, go_type, merge, retain_keys, topology } =
            FieldFacts::of(facts, name, &shape, required);
        let description = description(property);
        Field { description, shape, required, zero, go_type, merge, retain_keys, topology }
    }

    fn shape(&mut self, schema: &'a Value) -> Shape {
        if let Some(reference) = schema["$ref"].as_str() {
            return reference.strip_prefix(DEFINITION).map_or(Shape::Any, |name| self.definition(name));
        }
        match (schema["type"].as_str(), schema["format"].as_str()) {
            (Some("string"), Some("byte")) => Shape::Bytes,
            (Some("string"), _) => Shape::String,
            (Some("integer"), Some("int64")) => Shape::Integer { bits: 64 },
            (Some("integer"), _) => Shape::Integer { bits: 32 },
            (Some("number"), _) => Shape::Number,
            (Some("boolean"), _) => Shape::Boolean,
            (Some("array"), _) => Shape::List(Box::new(self.shape(&schema["items"]))),
            (Some("object"), _) if schema["additionalProperties"].is_object() => {
                Shape::Map(Box::new(self.shape(&schema["additionalProperties"])))
            }
            _ => Shape::Any,
        }
    }
}

fn description(schema: &Value) -> &'static str {
    schema["description"].as_str().map_or("", leak)
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}
