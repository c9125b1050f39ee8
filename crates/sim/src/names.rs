//! The rules for names of objects, and the making of generated ones.
//!
//! Texts and patterns follow `k8s.io/apimachinery/pkg/util/validation`.

use rand::random_range;
use serde_json::Value;

use crate::kinds::{Kind, NameRule};
use crate::object;
use crate::status::ApiError;

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
                          must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex \
                          used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
pub(crate) const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
                              '-' or '.', and must start and end with an alphanumeric character (e.g. \
                              'example.com', regex used for validation is \
                              '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// What generated names end in: no vowels and nothing that looks like them (`apimachinery/pkg/util/rand`).
pub(crate) const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const GENERATED_LENGTH: usize = 5;
/// The longest prefix that leaves room for the suffix in 63 characters (`apiserver/pkg/storage/names`).
const MAX_PREFIX: usize = 58;

/// Fills `metadata.name` from `generateName` where it is absent.
pub(crate) fn generate(object: &mut Value) {
    if !object::name(object).is_empty() {
        return;
    }
    let Some(prefix) = object["metadata"]["generateName"].as_str().filter(|prefix| !prefix.is_empty()) else {
        return;
    };
    let mut name: String = prefix.chars().take(MAX_PREFIX).collect();
    name.extend((0..GENERATED_LENGTH).map(|_| char::from(ALPHABET[random_range(0..ALPHABET.len())])));
    object["metadata"]["name"] = name.into();
}

/// Refuses a name that the kind does not allow.
pub(crate) fn validate(kind: &Kind, name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        let why = "Required value: name or generateName is required";
        return Err(ApiError::invalid(kind.group, kind.kind, "", "metadata.name", "FieldValueRequired", why));
    }
    let Some(rule) = violation(kind.names, name) else {
        return Ok(());
    };
    let why = format!("Invalid value: \"{name}\": {rule}");
    Err(ApiError::invalid(kind.group, kind.kind, name, "metadata.name", "FieldValueInvalid", &why))
}

fn violation(rule: NameRule, name: &str) -> Option<&'static str> {
    match rule {
        NameRule::Label if name.len() > 63 => Some("must be no more than 63 bytes"),
        NameRule::Label if !is_label(name) => Some(LABEL_RULE),
        NameRule::Subdomain if name.len() > 253 => Some("must be no more than 253 bytes"),
        NameRule::Subdomain if !is_subdomain(name) => Some(SUBDOMAIN_RULE),
        NameRule::PathSegment if name == "." || name == ".." => Some("may not be '.' or '..'"),
        NameRule::PathSegment if name.contains(['/', '%']) => Some("may not contain '/' or '%'"),
        NameRule::Label | NameRule::Subdomain | NameRule::PathSegment => None,
    }
}

fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match text.as_bytes() {
        [] => false,
        bytes => {
            bytes.iter().all(|&byte| allowed(byte) || byte == b'-')
                && bytes.first().copied().is_some_and(allowed)
                && bytes.last().copied().is_some_and(allowed)
        }
    }
}

/// Whether the text is an RFC 1123 subdomain; its length is not looked at.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}
