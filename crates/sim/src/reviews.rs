//! Questions about who someone is and may do: objects that are answered and never stored
//! (`pkg/registry/authentication`, `pkg/registry/authorization`).

use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::auth::{API_AUDIENCE, Tokens, User};
use crate::kinds::Kind;
use crate::object;
use crate::rbac::{self, Attempt, Decision};
use crate::status::ApiError;
use crate::validation;

/// What a review is answered with.
pub(crate) struct Reviewer<'a> {
    pub(crate) api: &'a Api,
    pub(crate) tokens: &'a Tokens,
    /// Who asks.
    pub(crate) user: &'a User,
}

impl Reviewer<'_> {
    /// Answers the review in the body of a request, which is a map.
    pub(crate) fn answer(&self, kind: &Kind, mut review: Value) -> Result<Value, ApiError> {
        object::check_shape(kind, &review)?;
        let spec = &review["spec"];
        let status = match kind.kind {
            "TokenReview" => self.token(spec)?,
            "SelfSubjectReview" => json!({ "userInfo": self.user.info() }),
            "SelfSubjectRulesReview" => self.rules(spec)?,
            "SelfSubjectAccessReview" => {
                validation::access_review(kind, &review)?;
                self.access(self.user, spec)
            }
            "SubjectAccessReview" | "LocalSubjectAccessReview" => {
                validation::access_review(kind, &review)?;
                self.access(&subject(spec), spec)
            }
            _ => return Err(ApiError::method_not_allowed()),
        };
        review["status"] = status;
        Ok(review)
    }

    fn token(&self, spec: &Value) -> Result<Value, ApiError> {
        let token = spec["token"].as_str().unwrap_or_default();
        if token.is_empty() {
            return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
        }
        let asked: Vec<&str> = object::strings(&spec["audiences"]).collect();
        let audiences = if asked.is_empty() { vec![API_AUDIENCE] } else { asked };
        Ok(match self.tokens.authenticate(self.api, token, &audiences) {
            Ok(bearer) => json!({
                "authenticated": true, "user": bearer.user.info(), "audiences": bearer.audiences,
            }),
            Err(why) => json!({ "user": {}, "error": why }),
        })
    }

    /// What `kubectl auth can-i --list` shows.
    fn rules(&self, spec: &Value) -> Result<Value, ApiError> {
        let namespace = spec["namespace"].as_str().unwrap_or_default();
        if namespace.is_empty() {
            return Err(ApiError::bad_request("no namespace on request"));
        }
        let (rules, trouble) = rbac::rules_for(self.api, self.user, namespace);
        let of = |main: &str, fields: &[&str]| -> Vec<Value> {
            let wanted =
                rules.iter().filter(|rule| rule[main].as_array().is_some_and(|list| !list.is_empty()));
            wanted.map(|rule| part(rule, fields)).collect()
        };
        let mut status = json!({
            "resourceRules": of("resources", &["verbs", "apiGroups", "resources", "resourceNames"]),
            "nonResourceRules": of("nonResourceURLs", &["verbs", "nonResourceURLs"]),
            "incomplete": !trouble.is_empty(),
        });
        if !trouble.is_empty() {
            status["evaluationError"] = trouble.into();
        }
        Ok(status)
    }

    fn access(&self, user: &User, spec: &Value) -> Value {
        let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
        let of = |attributes: &'_ Value, field: &str| object::field(attributes, field);
        let wanted = if resource.is_object() { resource } else { path };
        let [verb, group, plural, subresource, namespace, name, path] =
            ["verb", "group", "resource", "subresource", "namespace", "name", "path"]
                .map(|field| of(wanted, field));
        let attempt = Attempt {
            verb: &verb,
            group: &group,
            resource: &plural,
            subresource: &subresource,
            namespace: &namespace,
            name: &name,
            path: &path,
        };
        let Decision { allowed, reason } = rbac::decide(self.api, user, &attempt);
        let mut status = json!({ "allowed": allowed });
        if !reason.is_empty() {
            status["reason"] = reason.into();
        }
        status
    }
}

/// The user whom a review asks about.
fn subject(spec: &Value) -> User {
    let groups = object::strings(&spec["groups"]).map(str::to_owned).collect();
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: object::field(spec, "user"),
        uid: object::field(spec, "uid"),
        groups,
        extra: extra
            .map(|(key, values)| (key.clone(), object::strings(values).map(str::to_owned).collect()))
            .collect(),
    }
}

/// Those of the fields that a rule has.
fn part(rule: &Value, fields: &[&str]) -> Value {
    let present = fields.iter().filter(|field| !rule[**field].is_null());
    Value::Object(present.map(|field| ((*field).to_owned(), rule[*field].clone())).collect::<Map<_, _>>())
}
