//! Hashes as they stand in labels and names.

use serde_json::Value;

/// `alphanums` of `apimachinery/pkg/util/rand`, by which `SafeEncodeString` writes digits.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The hash of a template, which `collisions` changes where two templates have the same (`ComputeHash` in
/// `pkg/controller/controller_utils.go`). The API server keeps objects in one order, so that it is stable.
pub(crate) fn of_template(template: &Value, collisions: i64) -> String {
    let mut text = template.to_string();
    if collisions != 0 {
        text.push_str(&collisions.to_string());
    }
    let digits = crc32fast::hash(text.as_bytes()).to_string();
    digits.bytes().map(|digit| char::from(SAFE[usize::from(digit) % SAFE.len()])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_collision_changes_the_hash() {
        let template = json!({ "spec": { "containers": [] } });
        let hash = of_template(&template, 0);
        assert_eq!(hash, of_template(&template.clone(), 0));
        assert_ne!(hash, of_template(&template, 1));
        assert!(!hash.is_empty() && hash.bytes().all(|byte| SAFE.contains(&byte)), "{hash}");
    }
}
