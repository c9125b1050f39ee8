//! `ResourceQuota`: how much a namespace may hold (`apiserver/pkg/admission/plugin/resourcequota/controller.go`).
//!
//! What is used is counted when it matters, not read from the status of the quota.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::forbidden;
use crate::kinds::{self, Kind};
use crate::object::{self, Object};
use crate::schema::Quantity;
use crate::status::ApiError;
use crate::store::Transaction;

/// By the name of the resource.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

pub(super) fn check(store: &Transaction<'_>, kind: &Kind, object: &Value) -> Result<(), ApiError> {
    let (namespace, Some(quotas)) = (object::namespace(object), kinds::by_plural("resourcequotas")) else {
        return Ok(());
    };
    let asked = usage(kind, object);
    for quota in store.objects(quotas, Some(namespace)) {
        let hard: BTreeMap<&String, &Value> =
            quota["spec"]["hard"].as_object().into_iter().flatten().collect();
        let name = object::name(&quota);
        unsaid(kind, object, &hard, name)?;
        let counted: Vec<&String> =
            hard.keys().copied().filter(|resource| asked.contains_key(*resource)).collect();
        if counted.is_empty() {
            continue;
        }
        let used = used(kind, &store.objects(kind, Some(namespace)));
        let sum = |resource: &String| asked[resource] + used.get(resource).copied().unwrap_or(Quantity::ZERO);
        let exceeded: Vec<&String> =
            counted.into_iter().filter(|resource| sum(resource) > Quantity::of(hard[*resource])).collect();
        if exceeded.is_empty() {
            continue;
        }
        let list = |amount: &dyn Fn(&String) -> String| {
            let pairs: Vec<String> =
                exceeded.iter().map(|resource| format!("{resource}={}", amount(resource))).collect();
            pairs.join(",")
        };
        let why = format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            list(&|resource| asked[resource].to_string()),
            list(&|resource| used.get(resource).copied().unwrap_or(Quantity::ZERO).to_string()),
            list(&|resource| Quantity::of(hard[resource]).to_string()),
        );
        return Err(forbidden(kind, object, &why));
    }
    Ok(())
}

/// What a quota bounds, every container must say (`podEvaluator.Constraints`).
fn unsaid(
    kind: &Kind,
    object: &Value,
    hard: &BTreeMap<&String, &Value>,
    quota: &str,
) -> Result<(), ApiError> {
    if kind.plural != "pods" {
        return Ok(());
    }
    let mut missing = Vec::new();
    for resource in hard.keys() {
        let (list, name) = match resource.split_once('.') {
            Some((list @ ("requests" | "limits"), name @ ("cpu" | "memory"))) => (list, name),
            None if ["cpu", "memory"].contains(&resource.as_str()) => ("requests", resource.as_str()),
            _ => continue,
        };
        let containers = object["spec"]["containers"].as_array().into_iter().flatten();
        let silent: Vec<&str> = containers
            .filter(|container| container["resources"][list][name].is_null())
            .filter_map(|container| container["name"].as_str())
            .collect();
        if !silent.is_empty() {
            missing.push(format!("{resource} for: {}", silent.join(",")));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!("failed quota: {quota}: must specify {}", missing.join("; "));
    Err(forbidden(kind, object, &why))
}

/// What objects of one kind use together.
pub(crate) fn used(kind: &Kind, objects: &[Arc<Object>]) -> Amounts {
    let mut total = Amounts::new();
    for object in objects {
        if kind.plural == "pods" && matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        {
            continue;
        }
        for (resource, amount) in usage(kind, object) {
            *total.entry(resource).or_insert(Quantity::ZERO) += amount;
        }
    }
    total
}

/// What one object uses of everything that a quota can bound.
fn usage(kind: &Kind, object: &Value) -> Amounts {
    let one = Quantity::of(&Value::from(1));
    let mut usage =
        Amounts::from([(kind.plural.to_owned(), one), (format!("count/{}", kind.qualified()), one)]);
    let mut add = |resource: String, amount: &Value| {
        *usage.entry(resource).or_insert(Quantity::ZERO) += Quantity::of(amount);
    };
    match kind.plural {
        "pods" => {
            for container in object["spec"]["containers"].as_array().into_iter().flatten() {
                for list in ["requests", "limits"] {
                    for (name, amount) in container["resources"][list].as_object().into_iter().flatten() {
                        add(format!("{list}.{name}"), amount);
                        if list == "requests" {
                            add(name.clone(), amount);
                        }
                    }
                }
            }
        }
        "persistentvolumeclaims" => {
            add("requests.storage".to_owned(), &object["spec"]["resources"]["requests"]["storage"]);
        }
        "services" => {
            let kind = object["spec"]["type"].as_str().unwrap_or_default();
            if kind == "LoadBalancer" {
                add("services.loadbalancers".to_owned(), &Value::from(1));
            }
            if kind == "NodePort" || kind == "LoadBalancer" {
                let ports = object["spec"]["ports"].as_array().map_or(0, Vec::len);
                add("services.nodeports".to_owned(), &Value::from(ports));
            }
        }
        _ => {}
    }
    usage
}
