//! The annotation of `kubectl apply` on the client's side, which lets kubectl go over to the server's side
//! (`internal/lastappliedmanager.go` and `internal/lastappliedupdater.go` of
//! `apimachinery/pkg/util/managedfields`).

use serde_json::Value;

use crate::kinds::group_version;
use crate::managed::{self, FieldSet};
use crate::object;
use crate::schema::Root;

/// Who may go over: whoever applies under another name has not made the annotation.
pub(super) const MANAGER: &str = "kubectl";

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields that are as they were applied last: kubectl may set them, whoever manages them.
pub(super) fn unchanged(root: &'static Root, live: &Value) -> FieldSet {
    let annotation = live["metadata"]["annotations"][ANNOTATION].as_str().unwrap_or_default();
    let Ok(applied) = serde_json::from_str::<Value>(annotation) else { return FieldSet::default() };
    if object::field(&applied, "apiVersion") != group_version(root.group, root.version) {
        return FieldSet::default();
    }
    let mut fields = managed::owned_fields(root.ty, &applied);
    let (changed, gone) = managed::differences(root.ty, &applied, live);
    fields.subtract(&changed);
    fields.cut(&gone);
    fields
}

/// Writes what is applied into the annotation, where there is one.
pub(super) fn renew(object: &mut Value, config: &Value) {
    let Some(annotation) = object["metadata"]["annotations"].get_mut(ANNOTATION) else { return };
    let mut config = config.clone();
    if let Some(annotations) = config["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    *annotation = format!("{config}\n").into();
}
