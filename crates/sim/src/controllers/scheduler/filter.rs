//! Whether a pod can go to a node, and how well that would be.

use serde_json::Value;

use super::cache::{Cache, Node};
use super::node_selector::{NodeSelector, Preference};
use super::pod_affinity::PodAffinity;
use super::resources::{self, Resources};
use super::spread::Spread;
use super::verdict::Misfit;
use super::volumes::Volumes;
use crate::api::Api;
use crate::controllers::taints;

/// A pod that looks for a node.
pub(super) struct Candidate<'a> {
    pod: &'a Value,
    requests: Resources,
    pub(super) selector: NodeSelector,
    preferences: Vec<Preference>,
    ports: Vec<Port<'a>>,
    pub(super) volumes: Volumes,
    spread: Spread,
    affinity: PodAffinity,
}

/// A port of the node that a pod takes for itself.
#[derive(PartialEq)]
struct Port<'a> {
    address: &'a str,
    protocol: &'a str,
    number: u64,
}

impl<'a> Candidate<'a> {
    /// Reads what the pod asks for; the text is why it cannot go anywhere.
    pub(super) fn new(pod: &'a Value, cache: &Cache, api: &Api) -> Result<Candidate<'a>, String> {
        Ok(Candidate {
            pod,
            requests: resources::requests(pod),
            selector: NodeSelector::of(pod),
            preferences: Preference::of_pod(pod),
            ports: ports(pod).collect(),
            volumes: Volumes::of(pod, api)?,
            spread: Spread::of(pod, cache),
            affinity: PodAffinity::of(pod, cache, api),
        })
    }

    /// Whether the pod can go to a node, asked in the order of the scheduler's plugins
    /// (`pkg/scheduler/apis/config/v1/default_plugins.go`).
    pub(super) fn check(&self, name: &str, node: &Node, cache: &Cache) -> Result<(), Misfit> {
        let object = &*node.object;
        if object["spec"]["unschedulable"] == true {
            let taint = serde_json::json!({ "key": taints::UNSCHEDULABLE, "effect": "NoSchedule" });
            if !taints::is_tolerated(self.pod, &taint) {
                return Err(Misfit::lasting("node(s) were unschedulable"));
            }
        }
        let mut taints = taints::of(object).filter(|taint| taints::repels(taint));
        if taints.any(|taint| !taints::is_tolerated(self.pod, taint)) {
            return Err(Misfit::lasting("node(s) had untolerated taint(s)"));
        }
        if !self.selector.matches(object) {
            return Err(Misfit::lasting("node(s) didn't match Pod's node affinity/selector"));
        }
        if !self.ports.is_empty() && cache.pods_on(name).any(|other| self.has_port_of(other)) {
            return Err(Misfit::passing("node(s) didn't have free ports for the requested pod ports"));
        }
        self.fits(name, node, cache)?;
        self.volumes.check(object)?;
        self.spread.check(object)?;
        self.affinity.check(object)
    }

    fn has_port_of(&self, other: &Value) -> bool {
        ports(other).any(|taken| {
            self.ports.iter().any(|port| {
                let every = "0.0.0.0";
                let same_address =
                    port.address == taken.address || port.address == every || taken.address == every;
                same_address && port.protocol == taken.protocol && port.number == taken.number
            })
        })
    }

    /// `fitsRequest` of the plugin `NodeResourcesFit`.
    fn fits(&self, name: &str, node: &Node, cache: &Cache) -> Result<(), Misfit> {
        let used = cache.used(name);
        let allocatable = |resource: &str| node.allocatable.get(resource).copied().unwrap_or_default();
        let mut misfit = Misfit { reasons: Vec::new(), is_resolvable: true };
        let pods = used.map_or(0, |used| used.pods.len());
        if i128::try_from(pods + 1).unwrap_or(i128::MAX) * 1000 > allocatable("pods") {
            misfit.reasons.push("Too many pods".to_owned());
        }
        for (resource, wanted) in self.requests.iter().filter(|(_, wanted)| **wanted > 0) {
            let taken = used.and_then(|used| used.requests.get(resource)).copied().unwrap_or_default();
            if *wanted > allocatable(resource).saturating_sub(taken) {
                misfit.reasons.push(format!("Insufficient {resource}"));
                misfit.is_resolvable &= *wanted <= allocatable(resource);
            }
        }
        if misfit.reasons.is_empty() { Ok(()) } else { Err(misfit) }
    }

    /// How good a node is by itself, as far as the scheduler's plugins with their weights are followed: the least
    /// allocated resources (1), preferred nodes (2), taints that are better avoided (3).
    pub(super) fn score(&self, name: &str, node: &Node, cache: &Cache) -> i128 {
        let used = cache.used(name).map(|used| used.scored).unwrap_or_default();
        let free = ["cpu", "memory"].iter().zip(used).map(|(resource, used)| {
            let total = node.allocatable.get(*resource).copied().unwrap_or_default();
            let left = total - used - resources::scored(&self.requests, resource);
            if total > 0 { left.max(0) * 10_000 / total } else { 0 }
        });
        let free = free.sum::<i128>() / 2;
        let object = &*node.object;
        let preferred = self.preferences.iter().filter(|preference| preference.matches(object));
        let preferred: i64 = preferred.map(|preference| preference.weight.clamp(0, 100)).sum();
        let all: i64 = self.preferences.iter().map(|preference| preference.weight.clamp(0, 100)).sum();
        let preferred = i128::from(preferred) * 2 * 10_000 / i128::from(all.max(1));
        let avoided = taints::of(object)
            .any(|taint| taint["effect"] == "PreferNoSchedule" && !taints::is_tolerated(self.pod, taint));
        free + preferred + if avoided { 0 } else { 3 * 10_000 }
    }
}

/// The ports of its node that a pod takes.
fn ports(pod: &Value) -> impl Iterator<Item = Port<'_>> {
    let lists = ["containers", "initContainers"];
    let containers = lists.into_iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    let ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports.filter_map(|port| {
        let text =
            |field: &str, default| port[field].as_str().filter(|text| !text.is_empty()).unwrap_or(default);
        let number = port["hostPort"].as_u64().filter(|number| *number > 0)?;
        Some(Port { address: text("hostIP", "0.0.0.0"), protocol: text("protocol", "TCP"), number })
    })
}
