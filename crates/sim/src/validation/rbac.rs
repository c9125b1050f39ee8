//! Roles and bindings: `pkg/apis/rbac/validation/validation.go`.

use serde_json::Value;

use super::errors::{Errors, Raw, quote};
use super::format;
use super::read::{is_empty, items, text};
use crate::kinds::Kind;
use crate::schema::Path;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn role(errors: &mut Errors, kind: &Kind, role: &Value) {
    let root = Path::ROOT;
    let rules = root.field("rules");
    for (index, rule) in items(&role["rules"]) {
        let path = rules.index(index);
        if is_empty(&rule["verbs"]) {
            errors.required(&path.field("verbs"), "verbs must contain at least one value");
        }
        if !is_empty(&rule["nonResourceURLs"]) {
            let path = path.field("nonResourceURLs");
            if kind.namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                errors.invalid(&path, &rule["nonResourceURLs"], why);
            }
            if !is_empty(&rule["apiGroups"]) || !is_empty(&rule["resources"]) {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                errors.invalid(&path, &rule["nonResourceURLs"], why);
            }
            continue;
        }
        if is_empty(&rule["apiGroups"]) {
            errors.required(&path.field("apiGroups"), "resource rules must supply at least one api group");
        }
        if is_empty(&rule["resources"]) {
            errors.required(&path.field("resources"), "resource rules must supply at least one resource");
        }
    }
}

pub(super) fn binding(errors: &mut Errors, kind: &Kind, binding: &Value) {
    let root = Path::ROOT;
    let (role, path) = (&binding["roleRef"], root.field("roleRef"));
    let group = text(role, "apiGroup");
    if group != GROUP {
        errors.unsupported(&path.field("apiGroup"), group, &[GROUP]);
    }
    let kinds: &[&str] = if kind.namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let role_kind = text(role, "kind");
    if !kinds.contains(&role_kind) {
        errors.unsupported(&path.field("kind"), role_kind, kinds);
    }
    match text(role, "name") {
        "" => errors.required(&path.field("name"), ""),
        name => errors.broken(&path.field("name"), name, &format::path_segment(name)),
    }
    let subjects = root.field("subjects");
    for (index, subject) in items(&binding["subjects"]) {
        self::subject(errors, kind, subject, &subjects.index(index));
    }
}

/// `ValidateRoleBindingSubject`.
fn subject(errors: &mut Errors, kind: &Kind, subject: &Value, path: &Path<'_>) {
    let [name, group] = ["name", "apiGroup"].map(|field| text(subject, field));
    if name.is_empty() {
        errors.required(&path.field("name"), "");
    }
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.broken(&path.field("name"), name, &format::dns_subdomain(name));
            }
            if !group.is_empty() {
                errors.unsupported(&path.field("apiGroup"), group, &[""]);
            }
            if !kind.namespaced && text(subject, "namespace").is_empty() {
                errors.required(&path.field("namespace"), "");
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.unsupported(&path.field("apiGroup"), group, &[GROUP]);
            }
        }
        other => errors.unsupported(&path.field("kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

/// What a binding grants stays; the value is an `rbac.RoleRef`, whose fields have no JSON names.
pub(super) fn binding_update(errors: &mut Errors, new: &Value, old: &Value) {
    let role = &new["roleRef"];
    if *role != old["roleRef"] {
        let [group, kind, name] = ["apiGroup", "kind", "name"].map(|field| quote(text(role, field)));
        let shown = format!("{{\"APIGroup\":{group},\"Kind\":{kind},\"Name\":{name}}}");
        let root = Path::ROOT;
        errors.invalid(&root.field("roleRef"), Raw(&shown), "cannot change roleRef");
    }
}
