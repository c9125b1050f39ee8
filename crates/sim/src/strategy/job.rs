//! A job's selector and labels: `generateSelector` in `pkg/registry/batch/job/strategy.go`.

use serde_json::{Map, Value};

use super::part_of;
use crate::object;

/// Gives the pods of the job labels with its name and uid, and selects them by the uid. The job itself gets the
/// labels of its pods where it has none of its own, as `SetDefaults_Job` has it.
pub(super) fn generate_selector(job: &mut Value) {
    let (name, uid) = (object::name(job).to_owned(), object::field(job, "metadata.uid"));
    let Some(spec) = part_of(job, "spec") else { return };
    if spec.get("manualSelector") != Some(&Value::Bool(true)) {
        if let Some(labels) = nested(spec, &["template", "metadata", "labels"]) {
            for (key, value) in [
                ("job-name", &name),
                ("batch.kubernetes.io/job-name", &name),
                ("controller-uid", &uid),
                ("batch.kubernetes.io/controller-uid", &uid),
            ] {
                labels.entry(key).or_insert_with(|| value.as_str().into());
            }
        }
        if let Some(labels) = nested(spec, &["selector", "matchLabels"]) {
            labels.entry("batch.kubernetes.io/controller-uid").or_insert_with(|| uid.into());
        }
    }
    let labels = spec.get("template").map(|template| template["metadata"]["labels"].clone());
    if let Some(labels @ Value::Object(_)) = labels
        && let Some(metadata) = part_of(job, "metadata")
        && metadata.get("labels").and_then(Value::as_object).is_none_or(Map::is_empty)
    {
        metadata.insert("labels".to_owned(), labels);
    }
}

/// The map at a path, made where it is absent.
fn nested<'a>(map: &'a mut Map<String, Value>, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    path.iter().try_fold(map, |map, field| {
        let value = map.entry(*field).or_insert(Value::Null);
        if value.is_null() {
            *value = Map::new().into();
        }
        value.as_object_mut()
    })
}
