//! Who may do what: evaluation of the RBAC objects in the store (`plugin/pkg/auth/authorizer/rbac`).

mod escalation;
mod grants;
mod rule;

use serde_json::Value;

pub(crate) use self::escalation::check as check_escalation;
pub(crate) use self::grants::Grants;
use crate::api::Api;
use crate::auth::{MASTERS, User};
use crate::status::ApiError;

/// The API group of roles and bindings.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

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

/// Whether someone may, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    /// Empty where there is nothing to say.
    pub(crate) reason: String,
}

/// Whether a binding allows the attempt.
pub(crate) fn decide(api: &Api, user: &User, attempt: &Attempt<'_>) -> Decision {
    if user.groups.iter().any(|group| group == MASTERS) {
        return Decision { allowed: true, reason: String::new() };
    }
    let mut grants = Grants::of(api, user, attempt.namespace);
    while let Some((source, role)) = grants.next_role() {
        if rule::rules_of(&role).iter().any(|rule| rule::allows(rule, attempt)) {
            return Decision { allowed: true, reason: format!("RBAC: allowed by {source}") };
        }
    }
    Decision { allowed: false, reason: grants.trouble() }
}

/// Refuses what no binding allows.
pub(crate) fn authorize(api: &Api, user: &User, attempt: &Attempt<'_>) -> Result<(), ApiError> {
    let Decision { allowed, reason } = decide(api, user, attempt);
    if allowed {
        return Ok(());
    }
    Err(attempt.refusal(user, &reason))
}

/// Every rule that applies to a user in a namespace, and what stood in the way of finding more.
pub(crate) fn rules_for(api: &Api, user: &User, namespace: &str) -> (Vec<Value>, String) {
    let mut grants = Grants::of(api, user, namespace);
    let mut rules = Vec::new();
    while let Some((_, role)) = grants.next_role() {
        rules.extend_from_slice(rule::rules_of(&role));
    }
    (rules, grants.trouble())
}

impl Attempt<'_> {
    /// The words of `handlers/responsewriters/errors.go`, with the reason where there is one.
    pub(crate) fn refusal(&self, user: &User, reason: &str) -> ApiError {
        let mut why = self.sentence(user);
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        ApiError::forbidden(self.group, self.resource, self.name, &why)
    }

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
}
