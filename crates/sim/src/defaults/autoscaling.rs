//! Horizontal autoscalers: `pkg/apis/autoscaling/v2/defaults.go`.

use serde_json::{Value, json};

use super::fill::{Fields, absent, map, zero};

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v2.HorizontalPodAutoscalerSpec" => {
            absent(fields, "minReplicas", 1);
            let cpu = json!([{
                "type": "Resource",
                "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } },
            }]);
            zero(fields, "metrics", cpu);
        }
        "v2.HorizontalPodAutoscalerBehavior" => behavior(fields),
        _ => {}
    }
}

/// `GenerateHPAScaleUpRules` and `GenerateHPAScaleDownRules`.
fn behavior(fields: &mut Fields) {
    let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    let pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
    for (direction, policies) in
        [("scaleUp", json!([pods, percent])), ("scaleDown", Value::Array(vec![percent.clone()]))]
    {
        if let Some(rules) = map(fields, direction) {
            if direction == "scaleUp" {
                absent(rules, "stabilizationWindowSeconds", 0);
            }
            absent(rules, "selectPolicy", "Max");
            absent(rules, "policies", policies);
        }
    }
}
