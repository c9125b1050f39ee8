//! How far a rolling update may go: `MaxSurge`, `MaxUnavailable` and `ResolveFenceposts` of
//! `pkg/controller/deployment/util`.

use serde_json::Value;

use crate::controllers::workloads::fields::{number, scaled, text};

fn is_rolling(deployment: &Value) -> bool {
    text(deployment, "/spec/strategy/type") == "RollingUpdate"
}

fn setting<'a>(deployment: &'a Value, name: &str) -> &'a Value {
    &deployment["spec"]["strategy"]["rollingUpdate"][name]
}

/// How many pods there may be beyond the wanted ones.
pub(super) fn max_surge(deployment: &Value) -> i64 {
    if !is_rolling(deployment) {
        return 0;
    }
    scaled(setting(deployment, "maxSurge"), number(deployment, "/spec/replicas"), true)
}

/// How many of the wanted pods may be missing. Without any surge it is at least one, or nothing could ever change.
pub(super) fn max_unavailable(deployment: &Value) -> i64 {
    let replicas = number(deployment, "/spec/replicas");
    if !is_rolling(deployment) || replicas == 0 {
        return 0;
    }
    let unavailable = scaled(setting(deployment, "maxUnavailable"), replicas, false);
    let stuck = unavailable == 0 && max_surge(deployment) == 0;
    (if stuck { 1 } else { unavailable }).min(replicas)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn percentages_round_towards_more_pods() {
        let deployment = |replicas: i64, surge: Value, unavailable: Value| {
            json!({ "spec": {
                "replicas": replicas,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable },
                },
            } })
        };
        for (replicas, surge, unavailable, expected) in [
            (10, json!("25%"), json!("25%"), (3, 2)),
            (1, json!("25%"), json!("25%"), (1, 0)),
            (4, json!(0), json!("10%"), (0, 1)),
            (2, json!(5), json!(9), (5, 2)),
            (0, json!("25%"), json!("25%"), (0, 0)),
        ] {
            let deployment = deployment(replicas, surge, unavailable);
            assert_eq!((max_surge(&deployment), max_unavailable(&deployment)), expected);
        }
    }
}
