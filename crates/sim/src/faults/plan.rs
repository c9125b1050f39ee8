//! What shall go wrong, as tests and the admin endpoint say it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RequestLine;

/// What requests are counted as: the verbs of authorization, and the methods of requests that are about no object.
const VERBS: [&str; 12] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "head",
    "list",
    "options",
    "patch",
    "post",
    "put",
    "update",
    "watch",
];
/// A plan has at most this many faults, stuck pods and dead nodes each.
const MAX_ENTRIES: usize = 10_000;
/// No answer is held back for longer.
pub(super) const MAX_LATENCY: Duration = Duration::from_hours(1);

/// Everything that shall go wrong. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FaultPlan {
    /// How long every answer takes, in milliseconds.
    pub latency_millis: u64,
    /// What happens to some requests; the first that is about a request strikes.
    pub requests: Vec<Fault>,
    /// Pods that never end once they are deleted, as `namespace/name`.
    pub stuck_pods: BTreeSet<String>,
    /// Nodes whose kubelets do nothing any more.
    pub dead_nodes: BTreeSet<String>,
}

/// What happens to requests of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fault {
    /// Only to requests with this verb, such as `list`; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// Only to requests about this plural name with its subresource, such as `pods/eviction`; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// How many requests it still happens to; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// How much longer the answer takes, in milliseconds.
    pub latency_millis: u64,
    /// The HTTP status of the answer, from 400 to 599; absent: the true answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// When the client may ask again: the header `Retry-After`; absent: 1 with status 429, else none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// A plan asks for what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No HTTP status of a failure.
    #[error("a fault's status must be from 400 to 599")]
    Status,
    /// No request has this verb.
    #[error("a fault's verb must be one of {}", VERBS.join(", "))]
    Verb,
    /// An answer would take too long.
    #[error("an answer must not take longer than {} seconds", MAX_LATENCY.as_secs())]
    Latency,
    /// The plan is too large.
    #[error("a plan has at most {MAX_ENTRIES} faults, stuck pods and dead nodes each")]
    TooMany,
}

impl FaultPlan {
    /// What is wrong with the cluster and not with the answers of a process.
    pub(super) fn lasting(&self) -> FaultPlan {
        let (stuck_pods, dead_nodes) = (self.stuck_pods.clone(), self.dead_nodes.clone());
        FaultPlan { stuck_pods, dead_nodes, ..FaultPlan::default() }
    }

    pub(super) fn check(&self) -> Result<(), FaultError> {
        if self.requests.len().max(self.stuck_pods.len()).max(self.dead_nodes.len()) > MAX_ENTRIES {
            return Err(FaultError::TooMany);
        }
        let latencies = self.requests.iter().map(|fault| fault.latency_millis).chain([self.latency_millis]);
        if latencies.map(Duration::from_millis).any(|latency| latency > MAX_LATENCY) {
            return Err(FaultError::Latency);
        }
        let mut verbs = self.requests.iter().filter_map(|fault| fault.verb.as_deref());
        if verbs.any(|verb| !VERBS.contains(&verb)) {
            return Err(FaultError::Verb);
        }
        let mut statuses = self.requests.iter().filter_map(|fault| fault.status);
        if statuses.any(|status| !(400..600).contains(&status)) {
            return Err(FaultError::Status);
        }
        Ok(())
    }

    /// What happens to this request, which is counted as one of the fault's times.
    pub(super) fn next_for(&mut self, request: &RequestLine) -> Option<Fault> {
        let index = self.requests.iter().position(|fault| fault.is_about(request))?;
        let fault = self.requests[index].clone();
        match &mut self.requests[index].times {
            Some(times @ 2..) => *times -= 1,
            Some(_) => drop(self.requests.remove(index)),
            None => {}
        }
        Some(fault)
    }
}

impl Fault {
    fn is_about(&self, request: &RequestLine) -> bool {
        let fits = |wanted: &Option<String>, actual: &str| wanted.as_ref().is_none_or(|text| text == actual);
        self.times != Some(0) && fits(&self.verb, &request.verb) && fits(&self.resource, &request.resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &str, resource: &str) -> RequestLine {
        RequestLine { verb: verb.to_owned(), resource: resource.to_owned() }
    }

    #[test]
    fn a_fault_strikes_its_requests_as_often_as_it_says() {
        let fault = Fault {
            verb: Some("create".to_owned()),
            resource: Some("pods/eviction".to_owned()),
            times: Some(2),
            status: Some(429),
            ..Fault::default()
        };
        let always = Fault { verb: Some("get".to_owned()), ..Fault::default() };
        let mut plan = FaultPlan { requests: vec![fault, always], ..FaultPlan::default() };
        assert_eq!(plan.next_for(&request("create", "pods")), None);
        for _ in 0..2 {
            let struck = plan.next_for(&request("create", "pods/eviction"));
            assert_eq!(struck.and_then(|fault| fault.status), Some(429));
            assert!(plan.next_for(&request("get", "nodes")).is_some());
        }
        assert_eq!(plan.next_for(&request("create", "pods/eviction")), None);
        assert_eq!(plan.requests.len(), 1);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let with = |fault: Fault| FaultPlan { requests: vec![fault], ..FaultPlan::default() }.check();
        assert_eq!(with(Fault { status: Some(503), ..Fault::default() }), Ok(()));
        assert_eq!(with(Fault { status: Some(200), ..Fault::default() }), Err(FaultError::Status));
        assert_eq!(with(Fault { latency_millis: u64::MAX, ..Fault::default() }), Err(FaultError::Latency));
        let many = FaultPlan { requests: vec![Fault::default(); MAX_ENTRIES + 1], ..FaultPlan::default() };
        assert_eq!(many.check(), Err(FaultError::TooMany));
    }
}
