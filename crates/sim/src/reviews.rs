//! Questions about who someone is and may do: objects that are answered and never stored
//! (`pkg/registry/authentication`, `pkg/registry/authorization`).

use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::auth::{API_AUDIENCE, Tokens, User};
use crate::kinds::Kind;
use crate::object;
use crate::rbac::{self, Attempt, Decision};
use crate::status::ApiError;

const AUTHORIZATION: &str = "authorization.k8s.io";

/// What a review is answered with.
pub(crate) struct Reviewer<'a> {
    pub(crate) api: &'a Api,
    pub(crate) tokens: &'a Tokens,
    /// Who asks.
    pub(crate) user: &'a User,
    /// The namespace in the path.
    pub(crate) namespace: &'a str,
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
                check_access(spec, false)?;
                self.access(self.user, spec)
            }
            "SubjectAccessReview" | "LocalSubjectAccessReview" => {
                check_access(spec, true)?;
                self.check_namespace(kind, spec)?;
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

    fn check_namespace(&self, kind: &Kind, spec: &Value) -> Result<(), ApiError> {
        let namespace = spec["resourceAttributes"]["namespace"].as_str().unwrap_or_default();
        if kind.namespaced && namespace != self.namespace {
            let why = format!("Invalid value: {namespace:?}: must match metadata.namespace");
            return Err(invalid("spec.resourceAttributes.namespace", &why));
        }
        Ok(())
    }
}

/// A review has no kind any more when it is validated.
fn invalid(field: &str, why: &str) -> ApiError {
    ApiError::invalid(AUTHORIZATION, "", "", field, "FieldValueInvalid", why)
}

/// `pkg/apis/authorization/validation/validation.go`.
fn check_access(spec: &Value, names_subject: bool) -> Result<(), ApiError> {
    let refuse =
        |field: &str, value: &str, why: &str| Err(invalid(field, &format!("Invalid value: {value}: {why}")));
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_object(), path.is_object()) {
        (true, true) => {
            let why = "cannot be specified in combination with resourceAttributes";
            return refuse("spec.nonResourceAttributes", &path.to_string(), why);
        }
        (false, false) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            return refuse("spec.resourceAttributes", "\"null\"", why);
        }
        (true, false) | (false, true) => {}
    }
    if names_subject
        && object::field(spec, "user").is_empty()
        && object::strings(&spec["groups"]).next().is_none()
    {
        return refuse("spec.user", "\"\"", "at least one of user or group must be specified");
    }
    Ok(())
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
