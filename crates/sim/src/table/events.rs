//! Events (`printEvent`).

use jiff::Timestamp;
use serde_json::Value;

use super::Printer;
use super::column::{Field, NAME, text};
use super::duration;
use super::read::{self, count, name, text_or};

pub(super) const EVENT: Printer = Printer {
    columns: &[
        text("Last Seen", Field("lastTimestamp")),
        text("Type", Field("type")),
        text("Reason", Field("reason")),
        text("Object", Field("involvedObject")),
        text("Subobject", Field("involvedObject.fieldPath")).wide(),
        text("Source", Field("source")).wide(),
        text("Message", Field("message")),
        text("First Seen", Field("firstTimestamp")).wide(),
        text("Count", Field("count")).wide(),
        NAME.wide(),
    ],
    cells,
};

fn cells(event: &Value, now: Timestamp) -> Vec<Value> {
    let first = read::time(event, "/firstTimestamp").or_else(|| read::time(event, "/eventTime"));
    let (last, times) = if event["series"].is_object() {
        (read::time(event, "/series/lastObservedTime"), count(event, "/series/count"))
    } else {
        // An event of the new API that came once has no count.
        (read::time(event, "/lastTimestamp").or(first), count(event, "/count").max(1))
    };
    vec![
        duration::since(last, now).into(),
        read::text(event, "/type").into(),
        read::text(event, "/reason").into(),
        target(event).into(),
        read::text(event, "/involvedObject/fieldPath").into(),
        source(event).into(),
        read::text(event, "/message").trim().into(),
        duration::since(first, now).into(),
        times.into(),
        name(event),
    ]
}

fn target(event: &Value) -> String {
    let kind = read::text(event, "/involvedObject/kind").to_lowercase();
    match read::text(event, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

/// Who says it and from where.
fn source(event: &Value) -> String {
    let component = text_or(event, "/source/component", read::text(event, "/reportingComponent"));
    match text_or(event, "/source/host", read::text(event, "/reportingInstance")) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn old_and_new_events() {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let old = json!({
            "metadata": { "name": "e" }, "type": "Warning", "reason": "BackOff", "count": 7, "message": " again\n",
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:59:00Z",
            "involvedObject": { "kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}" },
            "source": { "component": "kubelet", "host": "n" },
        });
        let expected =
            ["60s", "Warning", "BackOff", "pod/p", "spec.containers{c}", "kubelet, n", "again", "60m"];
        assert_eq!(cells(&old, now)[..8], expected);
        assert_eq!(cells(&old, now)[8], 7);
        let new = json!({ "eventTime": "2026-01-01T00:59:30.000000Z", "reportingComponent": "scheduler", "involvedObject": {} });
        assert_eq!(
            [&cells(&new, now)[0], &cells(&new, now)[5], &cells(&new, now)[8]],
            [&json!("30s"), &json!("scheduler"), &json!(1)]
        );
    }
}
