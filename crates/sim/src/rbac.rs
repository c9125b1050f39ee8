//! Who may do what: evaluation of the RBAC objects in the store (`plugin/pkg/auth/authorizer/rbac`).

use std::sync::Arc;

use serde_json::Value;

use crate::api::Api;
use crate::auth::{MASTERS, User};
use crate::kinds;
use crate::object::Object;
use crate::status::ApiError;

/// What someone wants to do.
#[derive(Debug, Default)]
pub(crate) struct Attempt<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// Plural name; empty for a path that is not a resource.
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    /// Empty at the cluster scope.
    pub(crate) namespace: &'a str,
    /// Empty where no single object is meant.
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
}

/// Refuses what no binding allows, with the words of `handlers/responsewriters/errors.go`.
pub(crate) fn authorize(api: &Api, user: &User, attempt: &Attempt<'_>) -> Result<(), ApiError> {
    if user.groups.iter().any(|group| group == MASTERS) || allowed(api, user, attempt)? {
        return Ok(());
    }
    Err(ApiError::forbidden(attempt.group, attempt.resource, attempt.name, &attempt.sentence(user)))
}

impl Attempt<'_> {
    fn sentence(&self, user: &User) -> String {
        let Attempt { verb, group, path, namespace, .. } = self;
        let user = &user.name;
        if self.resource.is_empty() {
            return format!("User \"{user}\" cannot {verb} path \"{path}\"");
        }
        let scope = match *namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let resource = self.full_resource();
        format!("User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}")
    }

    fn full_resource(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    fn is_allowed_by(&self, rule: &Value) -> bool {
        if !has(&rule["verbs"], &[self.verb, "*"]) {
            return false;
        }
        if self.resource.is_empty() {
            return strings(&rule["nonResourceURLs"]).any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => self.path.starts_with(prefix),
                None => self.path == pattern,
            });
        }
        let any_parent = format!("*/{}", self.subresource);
        let resources = [self.full_resource(), "*".to_owned(), any_parent];
        has(&rule["apiGroups"], &[self.group, "*"])
            && strings(&rule["resources"]).any(|resource| resources.iter().any(|wanted| wanted == resource))
            && (strings(&rule["resourceNames"]).next().is_none() || has(&rule["resourceNames"], &[self.name]))
    }
}

fn allowed(api: &Api, user: &User, attempt: &Attempt<'_>) -> Result<bool, ApiError> {
    let mut bindings = objects(api, "clusterrolebindings", None)?;
    if !attempt.namespace.is_empty() {
        bindings.extend(objects(api, "rolebindings", Some(attempt.namespace))?);
    }
    Ok(bindings
        .iter()
        .filter(|binding| list(&binding["subjects"]).iter().any(|subject| is_subject(user, subject)))
        .filter_map(|binding| role_of(api, binding))
        .any(|role| list(&role["rules"]).iter().any(|rule| attempt.is_allowed_by(rule))))
}

fn objects(api: &Api, plural: &str, namespace: Option<&str>) -> Result<Vec<Arc<Object>>, ApiError> {
    let kind = kinds::by_plural(plural).ok_or_else(ApiError::no_such_resource)?;
    Ok(api.objects(kind, namespace))
}

/// The role that a binding refers to, where it is there.
fn role_of(api: &Api, binding: &Value) -> Option<Arc<Object>> {
    let plural = if binding["roleRef"]["kind"] == "Role" { "roles" } else { "clusterroles" };
    let namespace = binding["metadata"]["namespace"].as_str().unwrap_or_default();
    api.get(kinds::by_plural(plural)?, namespace, binding["roleRef"]["name"].as_str()?).ok()
}

fn is_subject(user: &User, subject: &Value) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => user.name == name,
        Some("Group") => user.groups.iter().any(|group| group == name),
        Some("ServiceAccount") => {
            let namespace = subject["namespace"].as_str().unwrap_or_default();
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    list(value).iter().filter_map(Value::as_str)
}

fn has(value: &Value, wanted: &[&str]) -> bool {
    strings(value).any(|text| wanted.contains(&text))
}
