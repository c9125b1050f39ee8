//! Label and field selectors, with the grammar and the error texts of the API server.

mod field;
mod label;
mod parser;

use serde_json::Value;

pub use self::field::FieldSelector;
pub use self::label::LabelSelector;

/// What a list or a watch is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
}

impl Selector {
    /// Whether the object is one of those selected.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}
