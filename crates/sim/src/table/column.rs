//! The columns of a table.

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::schema::Type;

/// One column: what it is called and what stands in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    description: Description,
    /// 1 for what is shown only by `-o wide`.
    priority: u8,
}

/// Where the description of a column comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Description {
    Words(&'static str),
    /// That of a field, by its path in the object: `status.podIP`.
    Field(&'static str),
}

pub(super) use Description::{Field, Words};

/// The first column of almost every table.
pub(super) const NAME: Column = Column { format: "name", ..text("Name", Field("metadata.name")) };
/// How long ago an object was made.
pub(super) const AGE: Column = text("Age", Field("metadata.creationTimestamp"));
/// The containers of a pod template.
pub(super) const CONTAINERS: Column =
    text("Containers", Words("Names of each container in the template.")).wide();
/// The images of a pod template.
pub(super) const IMAGES: Column =
    text("Images", Words("Images referenced by each container in the template.")).wide();

/// A column of texts.
pub(super) const fn text(name: &'static str, description: Description) -> Column {
    Column { name, kind: "string", format: "", description, priority: 0 }
}

/// A column of integers.
pub(super) const fn integer(name: &'static str, description: Description) -> Column {
    Column { kind: "integer", ..text(name, description) }
}

/// A column of booleans.
pub(super) const fn boolean(name: &'static str, description: Description) -> Column {
    Column { kind: "boolean", ..text(name, description) }
}

/// A column of times.
pub(super) const fn date(name: &'static str, description: Description) -> Column {
    Column { kind: "date", ..text(name, description) }
}

impl Column {
    /// Shown only by `-o wide`.
    pub(super) const fn wide(self) -> Column {
        Column { priority: 1, ..self }
    }

    /// The same column whose texts are names.
    pub(super) const fn named(self) -> Column {
        Column { format: "name", ..self }
    }

    /// The `TableColumnDefinition`.
    pub(super) fn definition(&self, kind: &Kind) -> Value {
        let description = match self.description {
            Words(words) => words,
            Field(path) => describe(kind, path),
        };
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": description,
            "priority": self.priority,
        })
    }
}

/// What the API says about a field; nothing where the type has none of that name.
fn describe(kind: &Kind, path: &str) -> &'static str {
    let mut fields = Type::of(kind).map(|object| &object.fields);
    let mut description = "";
    for name in path.split('.') {
        let Some(field) = fields.and_then(|fields| fields.get(name)) else {
            return "";
        };
        description = field.description;
        fields = field.shape.object().map(|object| &object.fields);
    }
    description
}
