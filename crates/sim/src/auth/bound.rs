//! Tokens of service accounts as the API gives them out: bound to an object and a time (`TokenRequest`), or kept in a
//! secret. Claims and checks are those of `pkg/serviceaccount/claims.go` and `legacy.go`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::tokens::{API_AUDIENCE, Bearer, Tokens, common};
use super::{User, jwt, service_account_name};
use crate::api::Api;
use crate::kinds::{self, Kind, NODES, PODS, SECRETS, SERVICE_ACCOUNTS};
use crate::object;
use crate::status::ApiError;

/// `--service-account-issuer` as kubeadm sets it.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// Bounds and default of `expirationSeconds` (`pkg/apis/authentication/validation`, `v1/defaults.go`).
const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;
const DEFAULT_SECONDS: i64 = 60 * 60;

/// Answers a `TokenRequest` for a service account (`pkg/registry/core/serviceaccount/storage/token.go`).
pub(crate) fn request_token(
    api: &Api,
    tokens: &Tokens,
    namespace: &str,
    name: &str,
    mut request: Value,
) -> Result<Value, ApiError> {
    let account = api.get(SERVICE_ACCOUNTS, namespace, name)?;
    if !request.is_object() || !(request["spec"].is_null() || request["spec"].is_object()) {
        return Err(ApiError::bad_request("the body is no TokenRequest"));
    }
    let spec = &request["spec"];
    let seconds = spec["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS);
    let refused = match seconds {
        ..SHORTEST => Some("may not specify a duration less than 10 minutes"),
        SHORTEST..=LONGEST => None,
        _ => Some("may not specify a duration larger than 2^32 seconds"),
    };
    if let Some(why) = refused {
        let (field, why) = ("spec.expirationSeconds", format!("Invalid value: {seconds}: {why}"));
        let group = "authentication.k8s.io";
        return Err(ApiError::invalid(group, "TokenRequest", "", field, "FieldValueInvalid", &why));
    }
    let audiences = match strings(&spec["audiences"]) {
        none if none.is_empty() => vec![API_AUDIENCE],
        some => some,
    };
    let now = api.clock().now();
    let expiry = now.saturating_add(Duration::from_secs(seconds.unsigned_abs())).unwrap_or(Timestamp::MAX);
    let mut bound = json!({
        "namespace": namespace,
        "serviceaccount": { "name": name, "uid": account["metadata"]["uid"] },
    });
    if let Some((field, reference)) = bound_object(api, namespace, name, &spec["boundObjectRef"])? {
        bound[field] = reference;
    }
    let claims = json!({
        "aud": audiences,
        "exp": expiry.as_second(),
        "iat": now.as_second(),
        "nbf": now.as_second(),
        "iss": ISSUER,
        "jti": Uuid::new_v4().to_string(),
        "sub": service_account_name(namespace, name),
        "kubernetes.io": bound,
    });
    let token = jwt::sign(tokens.key(), &claims);
    let (audiences, reference) = (json!(audiences), spec["boundObjectRef"].clone());
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["kind"] = "TokenRequest".into();
    request["metadata"] =
        json!({ "name": name, "namespace": namespace, "creationTimestamp": object::time(now) });
    request["spec"] =
        json!({ "audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference });
    request["status"] = json!({ "token": token, "expirationTimestamp": object::time(expiry) });
    Ok(request)
}

/// The object that a token shall end with, as a claim.
fn bound_object(
    api: &Api,
    namespace: &str,
    account: &str,
    reference: &Value,
) -> Result<Option<(&'static str, Value)>, ApiError> {
    if reference.is_null() {
        return Ok(None);
    }
    let wanted = |field: &str| reference[field].as_str().unwrap_or_default();
    let (kind, name) = (wanted("kind"), wanted("name"));
    let (field, kind): (_, &Kind) = match (wanted("apiVersion"), kind) {
        ("v1", "Pod") => ("pod", PODS),
        ("v1", "Secret") => ("secret", SECRETS),
        ("v1", "Node") => ("node", NODES),
        (version, _) => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let message = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(ApiError::bad_request(message));
        }
    };
    let found = api.get(kind, namespace, name)?;
    if field == "pod" && found["spec"]["serviceAccountName"].as_str().unwrap_or("default") != account {
        let message = format!(
            "cannot bind token for serviceaccount \"{account}\" to pod running with different serviceaccount name."
        );
        return Err(ApiError::bad_request(message));
    }
    let uid = wanted("uid");
    if !uid.is_empty() && found["metadata"]["uid"] != uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        return Err(ApiError::conflict(kind, name, &why));
    }
    Ok(Some((field, json!({ "name": name, "uid": found["metadata"]["uid"] }))))
}

/// The token of a secret of the type `kubernetes.io/service-account-token`.
pub(crate) fn legacy_token(tokens: &Tokens, secret: &Value, account: &Value) -> String {
    let (namespace, name) = (object::namespace(account), object::name(account));
    let claims = json!({
        "iss": LEGACY_ISSUER,
        "sub": service_account_name(namespace, name),
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": object::name(secret),
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": account["metadata"]["uid"],
    });
    jwt::sign(tokens.key(), &claims)
}

/// Whom the claims of a token stand for that this server has signed; else why they do not any more.
pub(super) fn bearer_of(
    api: &Api,
    token: &str,
    claims: &Value,
    audiences: &[&str],
) -> Result<Bearer, String> {
    let (good, bound) = match claims["iss"].as_str() {
        Some(LEGACY_ISSUER) => (vec![API_AUDIENCE], legacy_claims(api, token, claims)?),
        Some(ISSUER) => {
            check_times(claims, api.clock().now())?;
            (strings(&claims["aud"]), claims["kubernetes.io"].clone())
        }
        issuer => return Err(format!("unknown issuer {}", issuer.unwrap_or_default())),
    };
    let audiences_of = common(audiences, &good);
    if audiences_of.is_empty() {
        return Err(format!(
            "token audiences {} is invalid for the target audiences {}",
            quoted(&good),
            quoted(audiences)
        ));
    }
    let namespace = bound["namespace"].as_str().unwrap_or_default();
    let account = &bound["serviceaccount"];
    let name = account["name"].as_str().unwrap_or_default();
    still_there(api, SERVICE_ACCOUNTS, namespace, account)?;
    let mut user = User::service_account(namespace, name);
    user.uid = account["uid"].as_str().unwrap_or_default().to_owned();
    for (field, plural) in [("pod", "pods"), ("secret", "secrets"), ("node", "nodes")] {
        if let Some(kind) = kinds::by_plural(plural).filter(|_| bound[field].is_object()) {
            still_there(api, kind, namespace, &bound[field])?;
            if field != "secret" {
                user.extra.extend(extra(field, &bound[field]));
            }
        }
    }
    if let Some(id) = claims["jti"].as_str() {
        let key = "authentication.kubernetes.io/credential-id".to_owned();
        user.extra.insert(key, vec![format!("JTI={id}")]);
    }
    Ok(Bearer { user, audiences: audiences_of })
}

fn check_times(claims: &Value, now: Timestamp) -> Result<(), String> {
    let second = |claim: &str| claims[claim].as_i64().unwrap_or_default();
    if now.as_second() >= second("exp") {
        return Err("service account token has expired".to_owned());
    }
    if now.as_second() < second("nbf") {
        return Err("service account token is not valid yet".to_owned());
    }
    Ok(())
}

/// The claims of a secret's token in the form of the others. It ends with its secret.
fn legacy_claims(api: &Api, token: &str, claims: &Value) -> Result<Value, String> {
    let claim = |name: &str| claims[format!("kubernetes.io/serviceaccount/{name}")].as_str();
    let (namespace, secret) =
        (claim("namespace").unwrap_or_default(), claim("secret.name").unwrap_or_default());
    let gone = || "Token has been invalidated".to_owned();
    let secret = api.get(SECRETS, namespace, secret).map_err(|_| gone())?;
    if secret["data"]["token"] != super::encoded(token) {
        return Err("Token does not match server's copy".to_owned());
    }
    let account = json!({ "name": claim("service-account.name"), "uid": claim("service-account.uid") });
    Ok(json!({ "namespace": namespace, "serviceaccount": account }))
}

/// Whether the object that a token is bound to is there, and still the same.
fn still_there(api: &Api, kind: &Kind, namespace: &str, claim: &Value) -> Result<(), String> {
    let name = claim["name"].as_str().unwrap_or_default();
    let object = api.get(kind, namespace, name).map_err(|error| error.message)?;
    if object["metadata"]["uid"] == claim["uid"] {
        return Ok(());
    }
    let (uid, claimed) = (object::field(&object, "metadata.uid"), object::field(claim, "uid"));
    let what = if kind.plural == "serviceaccounts" { "service account".to_owned() } else { kind.singular() };
    Err(format!("{what} UID ({uid}) does not match claim ({claimed})"))
}

/// What is told of the pod or node that a token is bound to (`pkg/serviceaccount/util.go`).
fn extra(field: &str, claim: &Value) -> BTreeMap<String, Vec<String>> {
    let pair = |part: &str| {
        (format!("authentication.kubernetes.io/{field}-{part}"), vec![object::field(claim, part)])
    };
    BTreeMap::from([pair("name"), pair("uid")])
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A list as Go prints it with `%q`.
fn quoted(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}
