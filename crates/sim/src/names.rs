//! Names that are made from `generateName` (`apiserver/pkg/storage/names`).

use rand::random_range;
use serde_json::Value;

use crate::object;

/// What generated names end in: no vowels and nothing that looks like them (`apimachinery/pkg/util/rand`).
pub(crate) const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const GENERATED_LENGTH: usize = 5;
/// The longest prefix that leaves room for the suffix in 63 characters.
const MAX_PREFIX: usize = 58;

/// Fills `metadata.name` from `generateName` where it is absent.
pub(crate) fn generate(object: &mut Value) {
    if !object::name(object).is_empty() {
        return;
    }
    let Some(prefix) = object["metadata"]["generateName"].as_str().filter(|prefix| !prefix.is_empty()) else {
        return;
    };
    let prefix: String = prefix.chars().take(MAX_PREFIX).collect();
    object["metadata"]["name"] = format!("{prefix}{}", suffix()).into();
}

/// A random end of a name.
pub(crate) fn suffix() -> String {
    (0..GENERATED_LENGTH).map(|_| char::from(ALPHABET[random_range(0..ALPHABET.len())])).collect()
}
