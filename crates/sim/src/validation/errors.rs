//! The list of what is wrong with an object: `k8s.io/apimachinery/pkg/util/validation/field/errors.go`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::kinds::Kind;
use crate::schema::Path;
use crate::status::{ApiError, Cause};

/// What is wrong, in the order in which it was found.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<Cause>);

impl Errors {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn required(&mut self, path: &Path<'_>, detail: &str) {
        self.add("FieldValueRequired", path, "Required value".to_owned(), detail);
    }

    pub(super) fn forbidden(&mut self, path: &Path<'_>, detail: &str) {
        self.add("FieldValueForbidden", path, "Forbidden".to_owned(), detail);
    }

    pub(super) fn invalid(&mut self, path: &Path<'_>, value: impl Show, detail: &str) {
        self.add("FieldValueInvalid", path, format!("Invalid value: {}", value.show()), detail);
    }

    /// One error for each rule that the value breaks.
    pub(super) fn broken(&mut self, path: &Path<'_>, value: impl Show, rules: &[String]) {
        for rule in rules {
            self.invalid(path, value, rule);
        }
    }

    pub(super) fn duplicate(&mut self, path: &Path<'_>, value: impl Show) {
        self.duplicate_why(path, value, "");
    }

    pub(super) fn duplicate_why(&mut self, path: &Path<'_>, value: impl Show, detail: &str) {
        self.add("FieldValueDuplicate", path, format!("Duplicate value: {}", value.show()), detail);
    }

    pub(super) fn not_found(&mut self, path: &Path<'_>, value: impl Show) {
        self.add("FieldValueNotFound", path, format!("Not found: {}", value.show()), "");
    }

    pub(super) fn unsupported(&mut self, path: &Path<'_>, value: impl Show, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|value| quote(value)).collect();
        let detail = format!("supported values: {}", supported.join(", "));
        self.add("FieldValueNotSupported", path, format!("Unsupported value: {}", value.show()), &detail);
    }

    /// The value itself is not told, since it is long.
    pub(super) fn too_long(&mut self, path: &Path<'_>, most: usize) {
        let detail = format!("may not be more than {most} bytes");
        self.add("FieldValueTooLong", path, "Too long".to_owned(), &detail);
    }

    /// `ValidateImmutableField`.
    pub(super) fn immutable(&mut self, path: &Path<'_>, new: &Value, old: &Value) {
        if new == old {
            return;
        }
        // The printer turns a nil pointer into the text `null`.
        match new {
            Value::Null => self.invalid(path, "null", IMMUTABLE),
            new => self.invalid(path, new, IMMUTABLE),
        }
    }

    fn add(&mut self, reason: &'static str, path: &Path<'_>, body: String, detail: &str) {
        let mut field = path.to_string();
        if field.is_empty() {
            // What `Path.String` makes of the empty path.
            field.push_str("[]");
        }
        let message = if detail.is_empty() { body } else { format!("{body}: {detail}") };
        self.0.push(Cause { reason, field, message });
    }

    /// The answer 422, if anything is wrong.
    pub(super) fn into_result(self, kind: &Kind, name: &str) -> Result<(), ApiError> {
        self.into_result_for(kind.group, kind.kind, name)
    }

    /// The same for what is no object of the registry.
    pub(super) fn into_result_for(self, group: &str, kind: &str, name: &str) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::invalid_object(group, kind, name, self.0)) }
    }
}

const IMMUTABLE: &str = "field is immutable";

/// How `ErrorBody` prints a value.
pub(super) trait Show: Copy {
    fn show(&self) -> String;
}

impl Show for &str {
    fn show(&self) -> String {
        quote(self)
    }
}

impl Show for i64 {
    fn show(&self) -> String {
        self.to_string()
    }
}

/// What is printed as it stands, such as a struct of the server's own, whose fields have other names than in JSON.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(pub(super) &'a str);

impl Show for Raw<'_> {
    fn show(&self) -> String {
        self.0.to_owned()
    }
}

impl Show for &Value {
    fn show(&self) -> String {
        match self {
            Value::String(text) => quote(text),
            // Go's encoder of JSON escapes what is special in HTML.
            other => {
                other.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
            }
        }
    }
}

/// A label selector in the order of its struct: labels before expressions.
pub(super) fn show_selector(selector: &Value) -> String {
    let expression = |item: &Value| {
        let (key, operator, values) = (&item["key"], &item["operator"], &item["values"]);
        let values = if values.is_null() { String::new() } else { format!(",\"values\":{values}") };
        format!("{{\"key\":{key},\"operator\":{operator}{values}}}")
    };
    let mut parts = Vec::new();
    if let Some(labels) = selector["matchLabels"].as_object().filter(|labels| !labels.is_empty()) {
        parts.push(format!("\"matchLabels\":{}", (&Value::Object(labels.clone())).show()));
    }
    if let Some(items) = selector["matchExpressions"].as_array().filter(|items| !items.is_empty()) {
        let items: Vec<String> = items.iter().map(expression).collect();
        parts.push(format!("\"matchExpressions\":[{}]", items.join(",")));
    }
    format!("{{{}}}", parts.join(","))
}

/// `strconv.Quote`.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
