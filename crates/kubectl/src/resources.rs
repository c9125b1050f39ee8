//! What a command is about: types of resources and names of objects.

use crate::values::is_name;

/// Types are separated by commas; each may have a version and a group after it (`deployments.v1.apps`).
pub(crate) fn is_types(text: &str) -> bool {
    text.split(',').all(is_type)
}

fn is_type(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
}

/// `TYPE/NAME`.
pub(crate) fn is_object(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, name)| is_type(kind) && is_name(name))
}

/// Whether Secrets are among these types, by any name that `kubectl` knows for them: it takes capitals, the singular, and a version and
/// a group after a dot. What other groups call `secrets` is taken for the same.
pub(crate) fn names_secrets(text: &str) -> bool {
    text.split(',').any(|kind| {
        let kind = kind.split(['.', '/']).next().unwrap_or_default();
        kind.eq_ignore_ascii_case("secrets") || kind.eq_ignore_ascii_case("secret")
    })
}
