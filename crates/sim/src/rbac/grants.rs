//! The roles that a user has in a namespace (`pkg/registry/rbac/validation/rule.go`).

use std::sync::Arc;
use std::vec::IntoIter;

use serde_json::Value;

use super::rule::list;
use crate::api::Api;
use crate::auth::{User, service_account_name};
use crate::kinds::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
use crate::object::{self, Object};
use crate::status::ApiError;

/// Goes through the bindings, those of the cluster first, and finds the roles that they give to the user.
pub(crate) struct Grants<'a> {
    api: &'a Api,
    user: &'a User,
    bindings: IntoIter<Arc<Object>>,
    missing: Vec<String>,
}

impl<'a> Grants<'a> {
    /// Where `namespace` is empty, those of the cluster alone.
    pub(crate) fn of(api: &'a Api, user: &'a User, namespace: &str) -> Grants<'a> {
        let mut bindings = api.objects(CLUSTER_ROLE_BINDINGS, None);
        if !namespace.is_empty() {
            bindings.extend(api.objects(ROLE_BINDINGS, Some(namespace)));
        }
        Grants { api, user, bindings: bindings.into_iter(), missing: Vec::new() }
    }

    /// The next role, with what gives it.
    pub(crate) fn next_role(&mut self) -> Option<(String, Arc<Object>)> {
        loop {
            let binding = self.bindings.next()?;
            let Some(subject) =
                list(&binding["subjects"]).iter().find(|subject| is_subject(self.user, subject, &binding))
            else {
                continue;
            };
            match role_of(self.api, &binding) {
                Ok(role) => return Some((describe(&binding, subject), role)),
                Err(missing) => self.missing.push(missing.message),
            }
        }
    }

    /// Which roles were not there.
    pub(crate) fn trouble(&self) -> String {
        match self.missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            several => format!("RBAC: [{}]", several.join(", ")),
        }
    }
}

/// The role that a binding refers to; one that is not there is named as its lister names it.
pub(super) fn role_of(api: &Api, binding: &Value) -> Result<Arc<Object>, ApiError> {
    let name = object::field(binding, "roleRef.name");
    let kind = if binding["roleRef"]["kind"] == "Role" { ROLES } else { CLUSTER_ROLES };
    api.get(kind, object::namespace(binding), &name)
        .map_err(|_| ApiError::not_found_as(kind.group, &kind.singular(), &name))
}

fn is_subject(user: &User, subject: &Value, binding: &Value) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => user.name == name,
        Some("Group") => user.groups.iter().any(|group| group == name),
        Some("ServiceAccount") => {
            let namespace = account_namespace(subject, binding);
            !namespace.is_empty() && user.name == service_account_name(namespace, name)
        }
        _ => false,
    }
}

/// A service account without a namespace is one of the binding's.
fn account_namespace<'a>(subject: &'a Value, binding: &'a Value) -> &'a str {
    subject["namespace"]
        .as_str()
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or(object::namespace(binding))
}

fn describe(binding: &Value, subject: &Value) -> String {
    let (name, namespace) = (object::name(binding), object::namespace(binding));
    let (kind, name) = match namespace {
        "" => ("ClusterRoleBinding", name.to_owned()),
        namespace => ("RoleBinding", format!("{name}/{namespace}")),
    };
    let (role_kind, role) = (object::field(binding, "roleRef.kind"), object::field(binding, "roleRef.name"));
    let mut who = object::field(subject, "name");
    if subject["kind"] == "ServiceAccount" {
        who = format!("{who}/{}", account_namespace(subject, binding));
    }
    let whose = object::field(subject, "kind");
    format!("{kind} \"{name}\" of {role_kind} \"{role}\" to {whose} \"{who}\"")
}
