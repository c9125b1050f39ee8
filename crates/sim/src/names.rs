//! Generated names, and what a name of a subdomain must look like.
//!
//! Texts and patterns follow `k8s.io/apimachinery/pkg/util/validation`.

use rand::random_range;
use serde_json::Value;

use crate::object;

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
