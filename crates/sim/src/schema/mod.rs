//! The types of Kubernetes: which fields an object has, and what each of them holds.
//!
//! They are read once from the JSON schemas of `k8s-openapi`, so a new kind costs one line in `roots.rs`.

mod decode;
mod load;
mod path;
pub(crate) mod quantity;
mod roots;
mod time;
mod walk;

use std::collections::BTreeMap;

pub(crate) use self::decode::{Decoded, decode, decode_root};
pub(crate) use self::path::Path;
pub(crate) use self::quantity::Quantity;
pub(crate) use self::roots::Root;
pub(crate) use self::walk::walk;
use crate::kinds::Kind;

/// A type with fields: a struct in Kubernetes' Go source.
#[derive(Debug)]
pub(crate) struct Type {
    /// Full name: `io.k8s.api.core.v1.Container`.
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) fields: BTreeMap<&'static str, Field>,
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
