//! `PersistentVolumeClaimResize`: a claim grows where its class lets it.

use serde_json::Value;

use super::forbidden;
use crate::kinds::{self, Kind};
use crate::schema::Quantity;
use crate::status::ApiError;
use crate::store::Transaction;

pub(super) fn check(store: &Transaction<'_>, kind: &Kind, new: &Value, old: &Value) -> Result<(), ApiError> {
    let asked = |claim: &Value| Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]);
    if asked(new) <= asked(old) {
        return Ok(());
    }
    if old["status"]["phase"] != "Bound" {
        return Err(forbidden(kind, new, "Only bound persistent volume claims can be expanded"));
    }
    let name = new["spec"]["storageClassName"].as_str().unwrap_or_default();
    let class = kinds::by_plural("storageclasses").and_then(|kind| store.get(kind, name));
    if class.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
               support resize";
    Err(forbidden(kind, new, why))
}
