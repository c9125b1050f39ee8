//! Webhooks: `pkg/apis/admissionregistration/v1/defaults.go`.

use serde_json::json;

use super::fill::{Fields, absent};

pub(super) fn fill(ty: &str, fields: &mut Fields) {
    match ty {
        "v1.MutatingWebhook" => {
            webhook(fields);
            absent(fields, "reinvocationPolicy", "Never");
        }
        "v1.ValidatingWebhook" => webhook(fields),
        "v1.RuleWithOperations" => absent(fields, "scope", "*"),
        "v1.ServiceReference" => absent(fields, "port", 443),
        _ => {}
    }
}

fn webhook(fields: &mut Fields) {
    absent(fields, "failurePolicy", "Fail");
    absent(fields, "matchPolicy", "Equivalent");
    absent(fields, "namespaceSelector", json!({}));
    absent(fields, "objectSelector", json!({}));
    absent(fields, "timeoutSeconds", 10);
}
