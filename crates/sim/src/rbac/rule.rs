//! One rule of a role (`pkg/apis/rbac/v1/evaluation_helpers.go`).

use serde_json::Value;

use super::Attempt;
pub(super) use crate::object::strings;

/// The rules of a role.
pub(super) fn rules_of(role: &Value) -> &[Value] {
    list(&role["rules"])
}

pub(super) fn allows(rule: &Value, attempt: &Attempt<'_>) -> bool {
    if !has(&rule["verbs"], &[attempt.verb, "*"]) {
        return false;
    }
    if attempt.resource.is_empty() {
        return strings(&rule["nonResourceURLs"]).any(|pattern| covers_path(pattern, attempt.path));
    }
    let resource = attempt.full_resource();
    has(&rule["apiGroups"], &[attempt.group, "*"])
        && strings(&rule["resources"]).any(|pattern| covers_resource(pattern, &resource))
        && (list(&rule["resourceNames"]).is_empty() || has(&rule["resourceNames"], &[attempt.name]))
}

/// `*`, the resource itself, or `*/subresource`.
pub(super) fn covers_resource(pattern: &str, resource: &str) -> bool {
    let any_parent = |subresource: &str| {
        resource.split_once('/').is_some_and(|(_, wanted)| wanted == subresource && !wanted.is_empty())
    };
    pattern == "*" || pattern == resource || pattern.strip_prefix("*/").is_some_and(any_parent)
}

/// The path itself, or a prefix that ends in `*`.
pub(super) fn covers_path(pattern: &str, path: &str) -> bool {
    pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn has(value: &Value, wanted: &[&str]) -> bool {
    strings(value).any(|text| wanted.contains(&text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_and_their_wildcards() {
        let scale = Attempt {
            verb: "update",
            group: "apps",
            resource: "deployments",
            subresource: "scale",
            namespace: "a",
            name: "web",
            path: "",
        };
        let rule = |groups: &str, resource: &str, verb: &str| json!({ "apiGroups": [groups], "resources": [resource], "verbs": [verb] });
        for (rule, allowed) in [
            (rule("apps", "deployments/scale", "update"), true),
            (rule("*", "*", "*"), true),
            (rule("apps", "*/scale", "update"), true),
            (rule("apps", "deployments", "update"), false),
            (rule("apps", "deployments/*", "update"), false),
            (rule("apps", "*/status", "update"), false),
            (rule("", "deployments/scale", "update"), false),
            (rule("apps", "deployments/scale", "patch"), false),
            (json!({ "nonResourceURLs": ["*"], "verbs": ["*"] }), false),
            (json!({}), false),
        ] {
            assert_eq!(allows(&rule, &scale), allowed, "{rule}");
        }
        let mut named = rule("apps", "deployments/scale", "update");
        named["resourceNames"] = json!(["api"]);
        assert!(!allows(&named, &scale));
        named["resourceNames"] = json!(["api", "web"]);
        assert!(allows(&named, &scale));
        assert!(!allows(&named, &Attempt { name: "", ..scale }), "a list names no object");
    }

    #[test]
    fn paths_and_their_prefixes() {
        for (pattern, path, covered) in [
            ("/metrics", "/metrics", true),
            ("/metrics", "/metrics/x", false),
            ("/api/*", "/api/v1", true),
            ("/api/*", "/api", false),
            ("*", "/anything", true),
        ] {
            assert_eq!(covers_path(pattern, path), covered, "{pattern} {path}");
        }
    }
}
