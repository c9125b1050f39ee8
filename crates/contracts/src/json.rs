//! What is wrong with a JSON text, without the text.

/// The kind of error and its place. The error's own message quotes values, which may be keys, or megabytes.
pub fn json_place(error: &serde_json::Error) -> String {
    format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column())
}
