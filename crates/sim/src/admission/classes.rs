//! `DefaultStorageClass` and `DefaultIngressClass`: the class of what names none.

use std::sync::Arc;

use serde_json::Value;

use super::{forbidden, set};
use crate::kinds::{self, Kind};
use crate::object::{self, Object};
use crate::status::ApiError;
use crate::store::Transaction;

/// The annotation that names a class, from before there was a field.
const STORAGE_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const INGRESS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub(super) fn storage(store: &Transaction<'_>, claim: &mut Value) {
    let named = !claim["spec"]["storageClassName"].is_null()
        || !claim["metadata"]["annotations"][STORAGE_ANNOTATION].is_null();
    if named {
        return;
    }
    let mut classes = defaults(store, "storageclasses", "storageclass.kubernetes.io/is-default-class");
    // Of several, the newest.
    classes.sort_by_key(|class| {
        (
            object::field(class, "metadata.creationTimestamp"),
            std::cmp::Reverse(object::name(class).to_owned()),
        )
    });
    if let Some(class) = classes.last() {
        set(claim, "spec", "storageClassName", object::name(class).into());
    }
}

pub(super) fn ingress(store: &Transaction<'_>, kind: &Kind, ingress: &mut Value) -> Result<(), ApiError> {
    let named = !ingress["spec"]["ingressClassName"].is_null()
        || !ingress["metadata"]["annotations"][INGRESS_ANNOTATION].is_null();
    if named {
        return Ok(());
    }
    let classes = defaults(store, "ingressclasses", "ingressclass.kubernetes.io/is-default-class");
    match classes.as_slice() {
        [] => {}
        [class] => set(ingress, "spec", "ingressClassName", object::name(class).into()),
        several => {
            let why = format!("{} default IngressClasses were found, only 1 allowed", several.len());
            return Err(forbidden(kind, ingress, &why));
        }
    }
    Ok(())
}

fn defaults(store: &Transaction<'_>, plural: &str, annotation: &str) -> Vec<Arc<Object>> {
    let classes = kinds::by_plural(plural).map(|kind| store.objects(kind, None)).unwrap_or_default();
    classes.into_iter().filter(|class| class["metadata"]["annotations"][annotation] == "true").collect()
}
