//! Volumes: claims get one, and neither goes while it is in use.

use serde_json::Value;

use crate::api::Api;
use crate::kinds;

/// Whether the claim's class makes volumes only once a pod has a node (`IsDelayBindingMode`).
pub(crate) fn waits_for_consumer(claim: &Value, api: &Api) -> bool {
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
    kinds::by_plural("storageclasses")
        .and_then(|kind| api.get(kind, "", class).ok())
        .is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer")
}
