//! Events: `legacyValidateEvent` of `pkg/apis/core/validation/events.go`.

use serde_json::Value;

use super::errors::Errors;
use super::format;
use super::read::text;
use crate::schema::Path;

/// Bytes of a field at most.
const LIMITS: [(&str, usize); 4] =
    [("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024)];

pub(super) fn event(errors: &mut Errors, event: &Value) {
    let root = Path::ROOT;
    let (own, about) = (text(&event["metadata"], "namespace"), text(&event["involvedObject"], "namespace"));
    let is_new = !event["eventTime"].is_null();
    let fits = match (is_new, about) {
        (false, "") => own == "default",
        (false, about) => own == about,
        // The namespace of events about what has none.
        (true, "") => own == "default" || own == "kube-system",
        (true, _) => true,
    };
    if !fits {
        let path = root.field("involvedObject");
        errors.invalid(&path.field("namespace"), about, "does not match event.namespace");
    }
    if is_new {
        complete(errors, event);
    }
}

/// What an event says that has a time of its own.
fn complete(errors: &mut Errors, event: &Value) {
    let root = Path::ROOT;
    let (path, reporter) = (root.field("reportingComponent"), text(event, "reportingComponent"));
    if reporter.is_empty() {
        errors.required(&path, "");
    }
    errors.broken(&path, reporter, &format::qualified_name(reporter));
    for (field, most) in LIMITS {
        let (path, said) = (root.field(field), text(event, field));
        if said.is_empty() && field != "message" {
            errors.required(&path, "");
        }
        if said.len() > most {
            errors.invalid(&path, "", &format!("can have at most {most} characters"));
        }
    }
}
