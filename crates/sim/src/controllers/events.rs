//! Events as controllers and kubelets tell them, counted together as `client-go/tools/record/events_cache.go` does, and
//! forgotten after a while.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Again, Cluster, Controller, Key, Queue};
use crate::kinds::EVENTS;
use crate::object;
use crate::status::ApiError;
use crate::store::Change;

/// `defaultAggregateMaxEvents`: events alike in all but their message are told apart up to here.
const MAX_SIMILAR: usize = 10;
/// `defaultAggregateIntervalInSeconds`
const SIMILAR_WITHIN: SignedDuration = SignedDuration::from_secs(600);
/// `defaultSpamBurst`: how many events one source may tell of one object at once.
const SPAM_BURST: i32 = 25;
/// `defaultSpamQPS`: one more of them after each of these.
const SPAM_REFILL: SignedDuration = SignedDuration::from_secs(300);
/// `maxLruCacheEntries`: what is remembered of past events is bounded.
const MAX_REMEMBERED: usize = 4096;
/// `--event-ttl` of the API server.
const TTL: SignedDuration = SignedDuration::from_hours(1);
/// Bytes that a name may have, without the dot and the sixteen digits that the recorder adds.
const MAX_NAME_PREFIX: usize = 253 - 17;

/// Tells the events of one component.
#[derive(Debug)]
pub(crate) struct Recorder {
    component: &'static str,
    similar: HashMap<[String; 4], Similar>,
    budgets: HashMap<[String; 2], Budget>,
}

/// What an event says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    /// The object that it is about, with its `kind` and `apiVersion`.
    pub(crate) about: &'a Value,
    /// The part of the object: `spec.containers{web}`; empty for all of it.
    pub(crate) field_path: &'a str,
    /// The node where the component runs; empty for controllers.
    pub(crate) host: &'a str,
    /// `Normal` or `Warning`.
    pub(crate) event_type: &'static str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// The messages of events that are otherwise alike.
#[derive(Debug)]
struct Similar {
    messages: BTreeSet<String>,
    last: Timestamp,
}

/// How many events may still be told.
#[derive(Debug)]
struct Budget {
    left: i32,
    refilled: Timestamp,
}

impl Recorder {
    pub(crate) fn new(component: &'static str) -> Recorder {
        Recorder { component, similar: HashMap::new(), budgets: HashMap::new() }
    }

    /// Tells that something went as it should.
    pub(crate) fn normal(&mut self, cluster: &Cluster<'_>, about: &Value, reason: &str, message: &str) {
        self.record(
            cluster,
            Event { about, field_path: "", host: "", event_type: "Normal", reason, message },
        );
    }

    /// Tells that something went wrong.
    pub(crate) fn warning(&mut self, cluster: &Cluster<'_>, about: &Value, reason: &str, message: &str) {
        self.record(
            cluster,
            Event { about, field_path: "", host: "", event_type: "Warning", reason, message },
        );
    }

    /// Tells an event. One that was told before counts once more. None is worth failing for.
    pub(crate) fn record(&mut self, cluster: &Cluster<'_>, event: Event<'_>) {
        let combined = self.combine(&event, cluster.now);
        if self.is_spam(&event, cluster.now) {
            return;
        }
        let (message, distinct) = match &combined {
            Some(message) => (message.as_str(), ""),
            None => (event.message, event.message),
        };
        let name = self.name(&event, distinct);
        let at = object::time(cluster.now);
        let namespace = namespace(event.about);
        let counted = cluster.api.update(EVENTS, namespace, &name, |present| {
            let count = present["count"].as_i64().unwrap_or_default();
            present["count"] = count.saturating_add(1).into();
            present["lastTimestamp"] = at.as_str().into();
            present["message"] = message.into();
        });
        if counted.is_ok() {
            return;
        }
        let created = cluster.api.create(json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": name, "namespace": namespace },
            "involvedObject": involved(&event),
            "reason": event.reason,
            "message": message,
            "source": source(self.component, event.host),
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
            "type": event.event_type,
            "eventTime": null,
            "reportingComponent": self.component,
            "reportingInstance": event.host,
        }));
        if let Err(error) = created {
            tracing::debug!(%error, reason = event.reason, "an event is not told");
        }
    }

    /// The message of the one event that stands for many that are alike (`EventAggregate`).
    fn combine(&mut self, event: &Event<'_>, now: Timestamp) -> Option<String> {
        if self.similar.len() >= MAX_REMEMBERED {
            self.similar.retain(|_, similar| now.duration_since(similar.last) <= SIMILAR_WITHIN);
        }
        if self.similar.len() >= MAX_REMEMBERED {
            self.similar.clear();
        }
        let similar = self
            .similar
            .entry([identity(event.about), event.host.into(), event.event_type.into(), event.reason.into()])
            .or_insert_with(|| Similar { messages: BTreeSet::new(), last: now });
        if now.duration_since(similar.last) > SIMILAR_WITHIN {
            similar.messages.clear();
        }
        similar.last = now;
        if similar.messages.len() < MAX_SIMILAR {
            similar.messages.insert(event.message.to_owned());
        } else if !similar.messages.contains(event.message) {
            return Some(format!("(combined from similar events): {}", event.message));
        }
        None
    }

    /// Whether the component has told too much of the object (`EventSourceObjectSpamFilter`).
    fn is_spam(&mut self, event: &Event<'_>, now: Timestamp) -> bool {
        if self.budgets.len() >= MAX_REMEMBERED {
            self.budgets.clear();
        }
        let budget = self
            .budgets
            .entry([identity(event.about), event.host.into()])
            .or_insert(Budget { left: SPAM_BURST, refilled: now });
        let refills = now.duration_since(budget.refilled).as_secs() / SPAM_REFILL.as_secs();
        if refills > 0 {
            budget.left = budget.left.saturating_add(i32::try_from(refills).unwrap_or(i32::MAX));
            budget.left = budget.left.min(SPAM_BURST);
            budget.refilled = now;
        }
        if budget.left == 0 {
            return true;
        }
        budget.left -= 1;
        false
    }

    /// The name of the object and sixteen hexadecimal digits, as `GenerateEventName` has it; the same for events that
    /// count together.
    fn name(&self, event: &Event<'_>, message: &str) -> String {
        let mut digest = Sha256::new();
        let about = identity(event.about);
        for part in
            [self.component, event.host, &about, event.field_path, event.event_type, event.reason, message]
        {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let digest = digest.finalize();
        let digits = hex::encode(&digest[..8]);
        let name = object::name(event.about);
        // Names of objects are of ASCII, except for those that are refused as names of events anyway.
        let prefix = name.get(..MAX_NAME_PREFIX).unwrap_or(name).trim_end_matches(['.', '-']);
        format!("{prefix}.{digits}")
    }
}

/// What tells one object from another, also from a later one of its name.
fn identity(about: &Value) -> String {
    let field = |path| object::field(about, path);
    format!(
        "{}/{}/{}/{}",
        field("kind"),
        object::namespace(about),
        object::name(about),
        field("metadata.uid")
    )
}

/// Events about objects outside of namespaces are kept in `default`.
fn namespace(about: &Value) -> &str {
    match object::namespace(about) {
        "" => "default",
        namespace => namespace,
    }
}

fn involved(event: &Event<'_>) -> Value {
    let about = event.about;
    let mut involved = json!({
        "kind": about["kind"],
        "apiVersion": about["apiVersion"],
        "name": about["metadata"]["name"],
        "uid": about["metadata"]["uid"],
        "resourceVersion": about["metadata"]["resourceVersion"],
    });
    object::set_or_remove(&mut involved, "namespace", &about["metadata"]["namespace"]);
    if !event.field_path.is_empty() {
        involved["fieldPath"] = event.field_path.into();
    }
    involved
}

fn source(component: &str, host: &str) -> Value {
    if host.is_empty() {
        json!({ "component": component })
    } else {
        json!({ "component": component, "host": host })
    }
}

/// Takes events away some time after they were last told, as their lease in etcd does.
pub(crate) struct EventExpiry;

impl Controller for EventExpiry {
    fn observe(&mut self, change: &Change, cluster: &Cluster<'_>, queue: &mut Queue) {
        if let ("events", Some(event)) = (change.kind.plural, change.after()) {
            let at = expires(event).unwrap_or_else(|| cluster.now.saturating_add(TTL).unwrap_or(cluster.now));
            queue.add_at(Key::of(EVENTS, event), at);
        }
    }

    fn reconcile(&mut self, key: &Key, cluster: &Cluster<'_>) -> Result<Again, ApiError> {
        let Ok(event) = cluster.api.get(EVENTS, &key.namespace, &key.name) else { return Ok(None) };
        match expires(&event) {
            Some(at) if at > cluster.now => Ok(Some(at)),
            Some(_) | None => {
                cluster.api.delete(EVENTS, &key.namespace, &key.name, &Default::default()).map(|_| None)
            }
        }
    }
}

/// When an event is forgotten, as far as it says when it was told.
fn expires(event: &Value) -> Option<Timestamp> {
    let told = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    let told: Timestamp = told.iter().find_map(|time| time.as_str()?.parse().ok())?;
    told.saturating_add(TTL).ok()
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::api::Api;
    use crate::controllers::Delays;
    use crate::faults::{FaultPlan, Faults};

    fn events_after(tell: impl Fn(&mut Recorder, &Cluster<'_>, &Value)) -> Vec<(String, i64)> {
        let api = Api::new(100);
        api.create(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "x" } })).unwrap();
        let about = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "x", "uid": "u" },
        });
        let faults = Faults::new(FaultPlan::default(), CancellationToken::new(), None);
        let delays = Delays::none();
        let cluster = Cluster { api: &api, faults: &faults, delays: &delays, now: api.clock().now() };
        tell(&mut Recorder::new("tests"), &cluster, &about);
        let events = api.objects(EVENTS, Some("x"));
        let mut told: Vec<_> = events
            .iter()
            .map(|event| (object::field(event, "message"), event["count"].as_i64().unwrap()))
            .collect();
        told.sort();
        told
    }

    #[test]
    fn the_same_counts_again_and_much_alike_counts_together() {
        let told = events_after(|recorder, cluster, about| {
            for _ in 0..3 {
                recorder.normal(cluster, about, "Same", "the same");
            }
        });
        assert_eq!(told, [("the same".to_owned(), 3)]);
        let told = events_after(|recorder, cluster, about| {
            for number in 0..20 {
                recorder.warning(cluster, about, "Other", &format!("message {number:02}"));
            }
        });
        assert_eq!(told.len(), MAX_SIMILAR + 1);
        assert_eq!(told[0], ("(combined from similar events): message 19".to_owned(), 10));
    }

    #[test]
    fn nobody_tells_more_than_is_worth_reading() {
        let told = events_after(|recorder, cluster, about| {
            for number in 0..200 {
                recorder.normal(cluster, about, &format!("Reason{number}"), "");
            }
        });
        assert_eq!(told.len(), 25);
    }
}
