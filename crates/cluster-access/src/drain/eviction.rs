//! One call of the eviction API, and what its answer means
//! (<https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/>).

use std::time::Duration;

use k8s_openapi::{
    api::{core::v1::Pod, policy::v1::Eviction},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions},
};
use kube::{Api, Client, api::PostParams, core::Status};
use tokio::time::timeout;

use super::{ANSWER, PodName};
use crate::AccessError;

/// What became of an eviction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The pod is on its way out.
    Accepted,
    /// There is no such pod any more: none of the name, or another one.
    Gone,
    /// A budget allows no disruption now.
    Blocked(String),
    /// Its namespace is being deleted, which takes the pod along.
    NamespaceEnds,
    /// Perhaps later; after so long, if the server says so.
    Later(String, Option<Duration>),
    /// Never.
    Never(String),
}

/// Asks for the eviction of this very pod: one of the same name that took its place stays, as of a StatefulSet.
pub(super) async fn evict(client: &Client, pod: &PodName, grace: Option<Duration>) -> Answer {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let eviction = body(pod, grace);
    let parameters = PostParams::default();
    let asked = pods.create_subresource::<Eviction, Status>("eviction", &pod.name, &parameters, &eviction);
    match timeout(ANSWER, asked).await {
        Err(_) => Answer::Later(AccessError::TimedOut(ANSWER).to_string(), None),
        // With 201 from all servers that there are; others may forward it with 200 or 202.
        Ok(Ok(status)) if status.is_success() => Answer::Accepted,
        Ok(Ok(status)) if status.is_failure() => meaning(&status),
        // It comes from something between us and the API server. If it was evicted, the watch will say so.
        Ok(Ok(_)) => {
            Answer::Later(AccessError::Unreadable("no status of an eviction".to_owned()).to_string(), None)
        }
        Ok(Err(kube::Error::Api(status))) => meaning(&status),
        Ok(Err(error)) => Answer::Later(AccessError::of(&error).to_string(), None),
    }
}

fn body(pod: &PodName, grace: Option<Duration>) -> Eviction {
    let preconditions = Preconditions { uid: Some(pod.uid.clone()), ..Preconditions::default() };
    Eviction {
        metadata: ObjectMeta {
            name: Some(pod.name.clone()),
            namespace: Some(pod.namespace.clone()),
            ..ObjectMeta::default()
        },
        delete_options: Some(DeleteOptions {
            preconditions: Some(preconditions),
            grace_period_seconds: grace.map(|grace| i64::try_from(grace.as_secs()).unwrap_or(i64::MAX)),
            ..DeleteOptions::default()
        }),
    }
}

fn meaning(status: &Status) -> Answer {
    let details = status.details.as_ref();
    let has_cause = |reason: &str| {
        details.is_some_and(|details| details.causes.iter().any(|cause| cause.reason == reason))
    };
    let retry_after = details.map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
    let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
    let message = status.message.clone();
    match status.code {
        404 => Answer::Gone,
        409 if message.contains("UID in precondition") => Answer::Gone,
        429 if has_cause("DisruptionBudget") => {
            let cause = details.and_then(|details| details.causes.first()).map(|cause| cause.message.clone());
            Answer::Blocked(cause.filter(|cause| !cause.is_empty()).unwrap_or(message))
        }
        403 if has_cause("NamespaceTerminating") => Answer::NamespaceEnds,
        500 if message.contains("more than one PodDisruptionBudget") => Answer::Never(message),
        401 | 408 | 409 | 425 | 429 | 500..=599 => Answer::Later(message, retry_after),
        _ => Answer::Never(format!("the cluster answered with {}: {message}", status.code)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_body_names_the_very_pod() {
        let pod = PodName { namespace: "shop".into(), name: "web-0".into(), uid: "u-1".into() };
        let bytes = |grace| serde_json::to_value(body(&pod, grace)).unwrap();
        let expected = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": "web-0", "namespace": "shop"},
            "deleteOptions": {"preconditions": {"uid": "u-1"}},
        });
        assert_eq!(bytes(None), expected);
        assert_eq!(bytes(Some(Duration::from_secs(7)))["deleteOptions"]["gracePeriodSeconds"], 7);
    }

    #[test]
    fn every_answer_has_its_meaning() {
        let answer = |code: u16, message: &str, details: Value| {
            let status = json!({"status": "Failure", "code": code, "message": message, "details": details});
            meaning(&serde_json::from_value(status).unwrap())
        };
        let cause = |reason: &str| json!({"causes": [{"reason": reason, "message": "why"}]});
        assert_eq!(answer(404, "not found", json!({})), Answer::Gone);
        let other = "Operation cannot be fulfilled: Precondition failed: UID in precondition: a, UID in object meta: b";
        assert_eq!(answer(409, other, json!({})), Answer::Gone);
        assert_eq!(answer(429, "Cannot evict", cause("DisruptionBudget")), Answer::Blocked("why".into()));
        let busy = answer(429, "too many", json!({"retryAfterSeconds": 3}));
        assert_eq!(busy, Answer::Later("too many".into(), Some(Duration::from_secs(3))));
        assert_eq!(answer(403, "terminating", cause("NamespaceTerminating")), Answer::NamespaceEnds);
        assert!(
            matches!(answer(403, "no right", json!({})), Answer::Never(why) if why.contains("403: no right"))
        );
        let several = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        assert_eq!(answer(500, several, json!({})), Answer::Never(several.into()));
        for code in [401, 409, 500, 503] {
            assert!(matches!(answer(code, "later", json!({})), Answer::Later(_, None)), "{code}");
        }
    }
}
