//! The types of Kubernetes: which fields an object has, and what each of them holds.
//!
//! They are read once from the JSON schemas of `k8s-openapi`, so a new kind costs one line in `roots.rs`. What these
//! schemas leave out stands in `facts.txt`.

mod decode;
mod duplicates;
mod facts;
mod load;
mod path;
pub(crate) mod quantity;
mod roots;
mod time;
mod walk;

use std::collections::BTreeMap;

pub(crate) use self::decode::{
    Decoded, Dialect, base64_error, complete, decode, decode_fields, decode_root, json_type,
};
pub(crate) use self::duplicates::duplicates;
pub(crate) use self::path::Path;
pub(crate) use self::quantity::Quantity;
pub(crate) use self::roots::Root;
pub(crate) use self::time::read_time;
pub(crate) use self::walk::walk;
use crate::kinds::Kind;

/// A type with fields: a struct in Kubernetes' Go source.
#[derive(Debug)]
pub(crate) struct Type {
    /// Full name: `io.k8s.api.core.v1.Container`.
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) fields: BTreeMap<&'static str, Field>,
    /// Whether server-side apply owns objects of this type as a whole.
    pub(crate) atomic: bool,
    /// The fields that are written even when a client left them out.
    completed: Vec<&'static str>,
}

/// One field of a [`Type`].
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) description: &'static str,
    pub(crate) shape: Shape,
    /// Whether the published schema lists the field as required.
    pub(crate) required: bool,
    /// What becomes of the field when it holds nothing.
    pub(crate) zero: Zero,
    /// The name of its Go type, where that is not the plain one: `v1.PullPolicy`.
    go_type: Option<&'static str>,
    /// How a strategic merge patch treats it.
    pub(crate) merge: Merge,
    /// Whether a strategic merge patch may tell with `$retainKeys` which keys stay.
    pub(crate) retain_keys: bool,
    /// How server-side apply shares it among its owners.
    pub(crate) topology: Topology,
}

/// `patchStrategy` and `patchMergeKey` of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Objects are merged, lists replaced.
    Default,
    /// The whole value is replaced.
    Replace,
    /// Elements of a list are merged by the value of this key.
    ByKey(&'static str),
    /// A list of scalars is the union of both.
    Set,
}

/// `listType` and `mapType` of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One owner for all of it.
    Atomic,
    /// An object or map, each entry with its owners.
    Granular,
    /// A list of distinct scalars, each with its owners.
    Set,
    /// A list of objects told apart by these keys, each field with its owners.
    ByKeys(Vec<&'static str>),
}

/// What is written for a field that was left out or holds the zero value of its Go type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// A value without `omitempty`, or a struct by value: the zero value is written.
    Written,
    /// A value with `omitempty`: nothing is written.
    Dropped,
    /// A pointer: nothing is written where nothing was given, but a zero that was given stays.
    Kept,
    /// A pointer without `omitempty`: `null` is written where nothing was given.
    Null,
}

/// What a field, an element or an entry holds.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    String,
    Integer {
        bits: u8,
    },
    Number,
    Boolean,
    /// Seconds, in UTC.
    Time,
    /// Microseconds, in UTC.
    MicroTime,
    Quantity,
    IntOrString,
    /// Base64.
    Bytes,
    Object(&'static Type),
    List(Box<Shape>),
    /// A map from strings.
    Map(Box<Shape>),
    /// Any JSON, such as `FieldsV1`.
    Any,
}

impl Type {
    /// The type of a kind's objects.
    pub(crate) fn of(kind: &Kind) -> Option<&'static Type> {
        Root::of(kind).map(|root| root.ty)
    }

    /// The fields that the published schema lists as required.
    pub(crate) fn required(&self) -> impl Iterator<Item = &'static str> {
        // `k8s-openapi` adds the metadata of objects, which it always has.
        let required = self.fields.iter().filter(|(name, field)| field.required && **name != "metadata");
        required.map(|(name, _)| *name)
    }

    /// `Container`, as Go names it.
    pub(crate) fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

impl Shape {
    /// The type of the objects in this value, however deep in lists and maps.
    pub(crate) fn object(&self) -> Option<&'static Type> {
        match self {
            Shape::Object(ty) => Some(ty),
            Shape::List(inner) | Shape::Map(inner) => inner.object(),
            Shape::String
            | Shape::Integer { .. }
            | Shape::Number
            | Shape::Boolean
            | Shape::Time
            | Shape::MicroTime
            | Shape::Quantity
            | Shape::IntOrString
            | Shape::Bytes
            | Shape::Any => None,
        }
    }
}
