//! The status of disruption budgets: how many pods there should be, how many are well, and so how many may go
//! (`pkg/controller/disruption/disruption.go`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Again, Cluster, Controller, Key, Queue, Recorder, later};
use crate::api::{Api, Part, WriteOptions};
use crate::kinds::{self, DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS};
use crate::object::{self, Object};
use crate::selector::LabelSelector;
use crate::status::ApiError;
use crate::store::Change;

/// `DeletionTimeout`: an eviction that has led to no deletion until then is forgotten.
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);

/// Looks after disruption budgets.
pub(crate) struct Disruption {
    /// The selectors of the budgets by namespace and name.
    budgets: HashMap<String, BTreeMap<String, LabelSelector>>,
    events: Recorder,
}

impl Default for Disruption {
    fn default() -> Disruption {
        Disruption { budgets: HashMap::new(), events: Recorder::new("controllermanager") }
    }
}

impl Controller for Disruption {
    fn observe(&mut self, change: &Change, _: &Cluster<'_>, queue: &mut Queue) {
        let (object, namespace) = (&change.object, object::namespace(&change.object));
        let before = change.before.as_deref().map(|before| &**before);
        match change.kind.plural {
            "poddisruptionbudgets" => {
                let budgets = self.budgets.entry(namespace.to_owned()).or_default();
                if change.deleted {
                    budgets.remove(object::name(object));
                    if budgets.is_empty() {
                        self.budgets.remove(namespace);
                    }
                } else {
                    let selector = LabelSelector::of(&object["spec"]["selector"]);
                    // One that selects nothing is counted too, once.
                    let none = || LabelSelector::parse("!a,a").unwrap_or_default();
                    budgets.insert(object::name(object).to_owned(), selector.unwrap_or_else(none));
                    queue.add(Key::of(POD_DISRUPTION_BUDGETS, object));
                }
            }
            "pods" if change.deleted || before.is_none_or(|before| counts(before) != counts(object)) => {
                for (name, selector) in self.budgets.get(namespace).into_iter().flatten() {
                    if selector.matches(object) || before.is_some_and(|before| selector.matches(before)) {
                        queue.add(Key::new(POD_DISRUPTION_BUDGETS, namespace, name));
                    }
                }
            }
            "deployments" | "replicasets" | "statefulsets" | "replicationcontrollers"
                if change.deleted
                    || before
                        .is_none_or(|before| before["spec"]["replicas"] != object["spec"]["replicas"]) =>
            {
                for name in self.budgets.get(namespace).into_iter().flat_map(BTreeMap::keys) {
                    queue.add(Key::new(POD_DISRUPTION_BUDGETS, namespace, name));
                }
            }
            _ => {}
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let (namespace, name) = (&key.namespace, &key.name);
        let Ok(budget) = cluster.api.get(POD_DISRUPTION_BUDGETS, namespace, name) else { return Ok(None) };
        let mut pods = cluster.api.objects(PODS, Some(namespace));
        let selector = LabelSelector::of(&budget["spec"]["selector"]);
        pods.retain(|pod| selector.as_ref().is_some_and(|selector| selector.matches(pod)));
        if pods.is_empty() {
            self.events.normal(cluster, &budget, "NoPods", "No matching pods found");
        }
        let status = match expected(&budget["spec"], &pods, cluster.api) {
            Ok(expected) => {
                self.tell_unmanaged(&budget, &expected.unmanaged, cluster);
                self.status(&budget, &pods, &expected, cluster)
            }
            Err(why) => {
                let message = format!("Failed to calculate the number of expected pods: {why}");
                self.events.warning(cluster, &budget, "CalculateExpectedPodCountFailed", &message);
                failed(&budget, &why, cluster.now)
            }
        };
        let recheck = recheck(&status);
        let version = &budget["metadata"]["resourceVersion"];
        let write = |present: &mut Value| {
            // An eviction has counted on the old numbers meanwhile: its change brings the budget back here.
            if present["metadata"]["resourceVersion"] == *version {
                present["status"] = status;
            }
            Ok(())
        };
        let kind = POD_DISRUPTION_BUDGETS;
        match cluster.api.update_with(kind, namespace, name, Part::Status, &WriteOptions::default(), write) {
            Err(error) if error.code != 404 => Err(error),
            Ok(_) | Err(_) => Ok(recheck),
        }
    }
}

impl Disruption {
    fn tell_unmanaged(&mut self, budget: &Value, unmanaged: &[String], cluster: &Cluster<'_>) {
        if unmanaged.is_empty() {
            return;
        }
        let message = format!(
            "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the \
             status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for \
             these pods please set \".spec.minAvailable\" field of the PDB to an integer value.",
            selector_text(&budget["spec"]["selector"])
        );
        self.events.warning(cluster, budget, "UnmanagedPods", &message);
    }

    /// `updatePdbStatus`
    fn status(
        &mut self,
        budget: &Value,
        pods: &[Arc<Object>],
        expected: &Expected,
        cluster: &Cluster<'_>,
    ) -> Value {
        let mut disrupted = Map::new();
        for pod in pods.iter().filter(|pod| !object::is_terminating(pod)) {
            let time = &budget["status"]["disruptedPods"][object::name(pod)];
            match expires(time) {
                Some(at) if at > cluster.now => {
                    disrupted.insert(object::name(pod).to_owned(), time.clone());
                }
                Some(_) => {
                    let (namespace, name) = (object::namespace(budget), object::name(budget));
                    let message =
                        format!("Pod was expected by PDB {namespace}/{name} to be deleted but it wasn't");
                    self.events.warning(cluster, pod, "NotDeleted", &message);
                }
                None => {}
            }
        }
        let is_healthy = |pod: &Object| {
            !object::is_terminating(pod)
                && !disrupted.contains_key(object::name(pod))
                && object::is_true(pod, "Ready")
        };
        let healthy = pods.iter().filter(|pod| is_healthy(pod)).count();
        let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
        let allowed = if expected.pods <= 0 { 0 } else { (healthy - expected.healthy).max(0) };
        let mut status = json!({
            "observedGeneration": budget["metadata"]["generation"],
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": expected.healthy,
            "expectedPods": expected.pods,
            "conditions": budget["status"]["conditions"],
        });
        if !disrupted.is_empty() {
            status["disruptedPods"] = disrupted.into();
        }
        let (value, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        with_condition(status, value, reason, "", cluster.now)
    }
}

/// What a budget asks for.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    /// How many pods there should be.
    pods: i64,
    /// How many of them must be healthy.
    healthy: i64,
    /// Pods without a controller, where that makes the numbers doubtful.
    unmanaged: Vec<String>,
}

/// `getExpectedPodCount`; the text is why it cannot be told.
fn expected(spec: &Value, pods: &[Arc<Object>], api: &Api) -> Result<Expected, String> {
    let (limit, is_unavailable) = match &spec["maxUnavailable"] {
        Value::Null => (&spec["minAvailable"], false),
        limit => (limit, true),
    };
    if limit.is_null() {
        return Ok(Expected { pods: 0, healthy: 0, unmanaged: Vec::new() });
    }
    if let (Some(number), false) = (limit.as_i64(), is_unavailable) {
        let pods = i64::try_from(pods.len()).unwrap_or(i64::MAX);
        return Ok(Expected { pods, healthy: number, unmanaged: Vec::new() });
    }
    let (pods, unmanaged) = expected_scale(pods, api)?;
    let number = scaled(limit, pods)?;
    let healthy = if is_unavailable { (pods - number).max(0) } else { number };
    Ok(Expected { pods, healthy, unmanaged })
}

/// `GetScaledValueFromIntOrPercent`, rounding up.
fn scaled(limit: &Value, total: i64) -> Result<i64, String> {
    if let Some(number) = limit.as_i64() {
        return Ok(number);
    }
    let percent =
        limit.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<i64>().ok());
    let percent = percent.ok_or_else(|| {
        format!("invalid value for IntOrString: invalid type: string is not a percentage: {limit}")
    })?;
    let product = i128::from(percent) * i128::from(total);
    let up = i128::from(product > 0 && product % 100 != 0);
    Ok(i64::try_from(product / 100 + up).unwrap_or(i64::MAX))
}

/// `getExpectedScale`: how many pods the controllers of these pods want, and the pods that have none.
fn expected_scale(pods: &[Arc<Object>], api: &Api) -> Result<(i64, Vec<String>), String> {
    let mut unmanaged = Vec::new();
    let mut scales: BTreeMap<String, i64> = BTreeMap::new();
    for pod in pods {
        let references = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let Some(reference) = references.into_iter().find(|reference| reference["controller"] == true) else {
            unmanaged.push(object::name(pod).to_owned());
            continue;
        };
        if scales.contains_key(reference["uid"].as_str().unwrap_or_default()) {
            continue;
        }
        let controller = scale_of(reference, object::namespace(pod), api)?;
        let (uid, scale) =
            controller.ok_or_else(|| format!("found no controllers for pod \"{}\"", object::name(pod)))?;
        scales.insert(uid, scale);
    }
    Ok((scales.values().sum(), unmanaged))
}

/// The uid of what decides how many pods there are, and its decision.
fn scale_of(reference: &Value, namespace: &str, api: &Api) -> Result<Option<(String, i64)>, String> {
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let Some(kind) = kinds::named(text("apiVersion"), text("kind")) else { return Ok(None) };
    let Ok(owner) = api.get(kind, namespace, text("name")) else { return Ok(None) };
    if owner["metadata"]["uid"] != reference["uid"] {
        return Ok(None);
    }
    let references = owner["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let deployment = references
        .into_iter()
        .find(|reference| reference["controller"] == true && reference["kind"] == DEPLOYMENTS.kind)
        .filter(|_| std::ptr::eq(kind, REPLICA_SETS));
    if let Some(reference) = deployment {
        return scale_of(reference, namespace, api);
    }
    if !kind.subresources.iter().any(|subresource| subresource.name == "scale") {
        return Err(format!("{} does not implement the scale subresource", kind.qualified()));
    }
    let replicas = owner["spec"]["replicas"].as_i64().unwrap_or(1);
    Ok(Some((object::field(&owner, "metadata.uid"), replicas)))
}

/// `failSync`
fn failed(budget: &Value, why: &str, now: Timestamp) -> Value {
    let mut status = budget["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    status["disruptionsAllowed"] = 0.into();
    with_condition(status, "False", "SyncFailed", why, now)
}

/// The condition `DisruptionAllowed`; the time of its last transition stays where its status does.
fn with_condition(status: Value, value: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    let mut object = Value::Object(Map::from_iter([("status".to_owned(), status)]));
    let present =
        object::condition(&object, "DisruptionAllowed").filter(|present| present["status"] == value);
    let since =
        present.map_or_else(|| object::time(now).into(), |present| present["lastTransitionTime"].clone());
    let mut condition = json!({
        "type": "DisruptionAllowed",
        "status": value,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    });
    if let Some(generation) = object["status"]["observedGeneration"].as_i64() {
        condition["observedGeneration"] = generation.into();
    }
    object::set_condition(&mut object, condition);
    object["status"].take()
}

/// When an eviction that was noted at `time` is forgotten.
fn expires(time: &Value) -> Option<Timestamp> {
    time.as_str()?.parse().ok().map(|at| later(at, DELETION_TIMEOUT))
}

fn recheck(status: &Value) -> Again {
    status["disruptedPods"].as_object().into_iter().flatten().filter_map(|(_, time)| expires(time)).min()
}

/// What of a pod a budget counts by.
fn counts(pod: &Value) -> impl PartialEq + use<'_> {
    (
        &pod["metadata"]["labels"],
        &pod["metadata"]["ownerReferences"],
        object::is_terminating(pod),
        object::condition(pod, "Ready").map(|ready| &ready["status"]),
    )
}

/// A selector as Go prints it.
fn selector_text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let labels: String =
        labels.map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default())).collect();
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let expressions: String = expressions
        .map(|expression| {
            let values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let values: Vec<&str> = values.collect();
            let text = |field: &str| expression[field].as_str().unwrap_or_default();
            let (key, operator) = (text("key"), text("operator"));
            format!(
                "LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},",
                values.join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_percentages_rounded_up() {
        for (limit, total, expected) in [
            (json!(3), 10, 3),
            (json!("50%"), 10, 5),
            (json!("50%"), 7, 4),
            (json!("0%"), 7, 0),
            (json!("1%"), 7, 1),
            (json!("100%"), 7, 7),
            (json!("30%"), 0, 0),
        ] {
            assert_eq!(scaled(&limit, total), Ok(expected), "{limit} of {total}");
        }
        assert!(scaled(&json!("many"), 1).is_err());
    }

    #[test]
    fn a_budget_asks_for_what_the_controllers_want() {
        let api = Api::new(100);
        let deployment = api
            .restore(json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": { "name": "a", "namespace": "x" }, "spec": { "replicas": 7 },
            }))
            .unwrap();
        let owner = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "controller": true,
            "uid": deployment["metadata"]["uid"],
        });
        let pod = |owners: Value| {
            let metadata = json!({ "name": "p", "namespace": "x", "ownerReferences": owners });
            Arc::new(Object::new(json!({ "metadata": metadata })))
        };
        let owned = vec![pod(json!([owner])); 5];
        for (spec, pods, healthy) in [
            (json!({ "minAvailable": 4 }), 5, 4),
            (json!({ "minAvailable": "50%" }), 7, 4),
            (json!({ "minAvailable": "100%" }), 7, 7),
            (json!({ "maxUnavailable": 2 }), 7, 5),
            (json!({ "maxUnavailable": "30%" }), 7, 4),
            (json!({ "maxUnavailable": 9 }), 7, 0),
            (json!({ "maxUnavailable": 0 }), 7, 7),
        ] {
            let expected = expected(&spec, &owned, &api).unwrap();
            assert_eq!((expected.pods, expected.healthy), (pods, healthy), "{spec}");
        }
        let lone = vec![pod(Value::Null)];
        let percent = json!({ "maxUnavailable": "30%" });
        assert_eq!(expected(&percent, &lone, &api).unwrap().unmanaged, ["p"]);
        let other = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "b", "uid": "u", "controller": true }]);
        assert_eq!(
            expected(&percent, &[pod(other)], &api).unwrap_err(),
            "found no controllers for pod \"p\""
        );
    }
}
