//! The `eviction` subresource: a deletion that asks the pod's disruption budget first
//! (`pkg/registry/core/pod/storage/eviction.go`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Api, DeleteOptions, Deleted, Part, WriteOptions};
use crate::kinds::{POD_DISRUPTION_BUDGETS, PODS};
use crate::object::{self, Object};
use crate::selector::LabelSelector;
use crate::status::ApiError;

/// `MaxDisruptedPodSize`: a budget with more unconfirmed evictions than this allows no further one.
const MAX_DISRUPTED_PODS: usize = 2_000;

impl Api {
    /// Evicts a pod: takes one disruption from its budget, marks it as disrupted, deletes it.
    ///
    /// # Errors
    /// 404 when it is not there, 409 when a precondition does not hold, 429 when its budget allows no disruption
    /// now, 500 when it has several budgets.
    pub fn evict(&self, namespace: &str, name: &str, options: &DeleteOptions) -> Result<(), ApiError> {
        self.evict_with(namespace, name, options, &WriteOptions::default())
    }

    pub(crate) fn evict_with(
        &self,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
        write: &WriteOptions,
    ) -> Result<(), ApiError> {
        let pod = self.get(PODS, namespace, name)?;
        let at_this_version = |mut options: DeleteOptions| {
            let version = &mut options.preconditions.resource_version;
            *version = version.take().or_else(|| Some(object::field(&pod, "metadata.resourceVersion")));
            options
        };
        if needs_no_budget(&pod) {
            // A pod that is being deleted already may change meanwhile, which matters to nobody.
            let settled = !object::is_terminating(&pod);
            let options = if settled { at_this_version(options.clone()) } else { options.clone() };
            return self.mark_and_delete(namespace, name, options, write).map(drop);
        }
        let budgets = self.budgets_of(&pod);
        let budget = match budgets.as_slice() {
            [] => return self.mark_and_delete(namespace, name, options.clone(), write).map(drop),
            [budget] => budget,
            _ => return Err(ApiError::several_disruption_budgets()),
        };
        if object::is_true(&pod, "Ready") || !may_evict_unhealthy(budget) {
            self.take_disruption(namespace, object::name(budget), name, write)?;
            return self.mark_and_delete(namespace, name, options.clone(), write).map(drop);
        }
        // The pod may have become healthy meanwhile, and then its budget counts.
        let asked_for_version = options.preconditions.resource_version.is_some();
        match self.mark_and_delete(namespace, name, at_this_version(options.clone()), write) {
            Err(error) if error.code == 409 && !asked_for_version => {
                Err(ApiError::budget_not_processed(object::name(budget)))
            }
            answer => answer.map(drop),
        }
    }

    /// The budgets whose selector the pod matches.
    fn budgets_of(&self, pod: &Value) -> Vec<Arc<Object>> {
        let mut budgets = self.objects(POD_DISRUPTION_BUDGETS, Some(object::namespace(pod)));
        budgets.retain(|budget| {
            LabelSelector::of(&budget["spec"]["selector"]).is_some_and(|selector| selector.matches(pod))
        });
        budgets
    }

    /// `checkAndDecrement`.
    fn take_disruption(
        &self,
        namespace: &str,
        budget: &str,
        pod: &str,
        write: &WriteOptions,
    ) -> Result<(), ApiError> {
        let now = object::time(self.clock.now());
        let take = |budget: &mut Value| {
            let name = object::name(budget).to_owned();
            let number = |field: &str| budget["status"][field].as_i64().unwrap_or_default();
            let generation = budget["metadata"]["generation"].as_i64().unwrap_or_default();
            if number("observedGeneration") < generation {
                return Err(ApiError::budget_not_processed(&name));
            }
            let allowed = number("disruptionsAllowed");
            if allowed < 0 {
                return Err(ApiError::budget_forbidden(&name, "pdb disruptions allowed is negative"));
            }
            if budget["status"]["disruptedPods"].as_object().map_or(0, serde_json::Map::len)
                > MAX_DISRUPTED_PODS
            {
                let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
                return Err(ApiError::budget_forbidden(&name, why));
            }
            if allowed == 0 {
                return Err(ApiError::budget_exhausted(&why_exhausted(budget)));
            }
            budget["status"]["disruptionsAllowed"] = (allowed - 1).into();
            if allowed == 1 {
                forbid_disruptions(budget, &now);
            }
            budget["status"]["disruptedPods"][pod] = now.as_str().into();
            Ok(())
        };
        self.update_with(POD_DISRUPTION_BUDGETS, namespace, budget, Part::Status, write, take).map(drop)
    }

    /// `addConditionAndDeletePod`.
    fn mark_and_delete(
        &self,
        namespace: &str,
        name: &str,
        mut options: DeleteOptions,
        write: &WriteOptions,
    ) -> Result<Deleted, ApiError> {
        if !write.dry_run {
            let now = object::time(self.clock.now());
            let preconditions = options.preconditions.clone();
            let marked = self.update_with(PODS, namespace, name, Part::Status, write, |pod| {
                preconditions.check(PODS, pod)?;
                let mark = json!({
                    "type": "DisruptionTarget",
                    "status": "True",
                    "lastProbeTime": null,
                    "lastTransitionTime": now,
                    "reason": "EvictionByEvictionAPI",
                    "message": "Eviction API: evicting",
                });
                object::set_condition(pod, mark);
                Ok(())
            })?;
            // The mark has made a version of its own.
            if let Some(version) = &mut options.preconditions.resource_version {
                *version = object::field(&marked, "metadata.resourceVersion");
            }
        }
        self.delete_with(PODS, namespace, name, &options, write)
    }
}

/// `canIgnorePDB`: the pod is no use to anybody any more, or not yet.
fn needs_no_budget(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    ["Succeeded", "Failed", "Pending"].contains(&phase) || object::is_terminating(pod)
}

/// What the budget's `unhealthyPodEvictionPolicy` says of pods that are not ready.
fn may_evict_unhealthy(budget: &Value) -> bool {
    if budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" {
        return true;
    }
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or_default();
    number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0
}

fn why_exhausted(budget: &Value) -> String {
    let name = object::name(budget);
    let condition = object::condition(budget, "DisruptionAllowed");
    if let Some(condition) = condition
        && condition["status"] == "False"
        && condition["reason"] == "SyncFailed"
    {
        let message = condition["message"].as_str().unwrap_or_default();
        return format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        );
    }
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or_default();
    format!(
        "The disruption budget {name} needs {} healthy pods and has {} currently",
        number("desiredHealthy"),
        number("currentHealthy"),
    )
}

/// `UpdateDisruptionAllowedCondition` for a budget that has just been used up.
fn forbid_disruptions(budget: &mut Value, now: &str) {
    let condition = json!({
        "type": "DisruptionAllowed",
        "status": "False",
        "observedGeneration": budget["metadata"]["generation"],
        "lastTransitionTime": now,
        "reason": "InsufficientPods",
        "message": "",
    });
    object::set_condition(budget, condition);
}
