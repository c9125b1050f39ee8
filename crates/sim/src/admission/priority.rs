//! `Priority`: the number behind a priority class.

use serde_json::Value;

use super::{forbidden, set};
use crate::kinds::{Kind, PRIORITY_CLASSES};
use crate::object;
use crate::status::ApiError;
use crate::store::Transaction;

const PREEMPTS: &str = "PreemptLowerPriority";

pub(super) fn pod(store: &Transaction<'_>, kind: &Kind, pod: &mut Value) -> Result<(), ApiError> {
    let mut name = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if name.is_empty() {
        let classes = store.objects(PRIORITY_CLASSES, None);
        // Of several defaults the lowest counts.
        classes
            .into_iter()
            .filter(|class| class["globalDefault"] == true)
            .min_by_key(|class| class["value"].as_i64())
    } else {
        store.get(PRIORITY_CLASSES, &name).cloned()
    };
    let (priority, preemption) = match class {
        Some(class) => {
            object::name(&class).clone_into(&mut name);
            let preemption = class["preemptionPolicy"].as_str().unwrap_or(PREEMPTS).to_owned();
            (class["value"].as_i64().unwrap_or_default(), preemption)
        }
        None if name.is_empty() => (0, PREEMPTS.to_owned()),
        None => {
            return Err(forbidden(kind, pod, &format!("no PriorityClass with name {name} was found")));
        }
    };
    if let Some(given) = pod["spec"]["priority"].as_i64().filter(|given| *given != priority) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission \
             controller computed {priority} from the given PriorityClass name"
        );
        return Err(forbidden(kind, pod, &why));
    }
    if !name.is_empty() {
        set(pod, "spec", "priorityClassName", name.into());
    }
    set(pod, "spec", "priority", priority.into());
    if pod["spec"]["preemptionPolicy"].is_null() {
        set(pod, "spec", "preemptionPolicy", preemption.into());
    }
    Ok(())
}

/// A replacement that does not say them has the old pod's priority and preemption policy.
pub(super) fn keep(new: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        if new["spec"][field].is_null() && !old["spec"][field].is_null() {
            set(new, "spec", field, old["spec"][field].clone());
        }
    }
}

pub(super) fn class(store: &Transaction<'_>, kind: &Kind, class: &Value) -> Result<(), ApiError> {
    if class["globalDefault"] != true {
        return Ok(());
    }
    let classes = store.objects(PRIORITY_CLASSES, None);
    match classes.iter().find(|other| other["globalDefault"] == true) {
        Some(other) => {
            let name = object::name(other);
            let why =
                format!("PriorityClass {name} is already marked as default. Only one default can exist");
            Err(forbidden(kind, class, &why))
        }
        None => Ok(()),
    }
}
