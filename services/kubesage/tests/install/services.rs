//! What no schema knows of the services' objects: that what they name is there, and what must not be seen.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    kustomizations::{Rendered, render},
    manifests::K8S,
    objects::{container, has_port, ingress_paths, list, name, pod, route_rules, serves, takes},
    site::tests,
};

tests! {
    selectors_lead_to_pods needs ["kubectl"],
    policies_are_for_pods_and_ports_that_are_there needs ["kubectl"],
    each_service_is_monitored_once needs ["kubectl"],
    references_lead_to_objects needs ["kubectl"],
    secrets_come_from_outside needs ["kubectl"],
    nothing_internal_is_seen_from_outside needs ["kubectl"],
    both_ways_in_lead_to_the_same_services needs ["kubectl"],
}

const NAMESPACE: &str = "kubesage";
const SECRET: &str = "kubesage";
const SERVICES: [&str; 4] = ["cluster", "onboarding", "optimizer", "user-auth"];

/// All that can be applied: the base, what is made of it, and the base with each component.
pub(crate) async fn installations() -> Result<Vec<Rendered>> {
    let all = render("services").await?.into_iter();
    let all: Vec<Rendered> = all.filter(|one| !one.folder.starts_with("services/base/")).collect();
    for one in &all {
        let deployments: BTreeSet<&str> = one.of_kind("Deployment").map(name).collect();
        assert_eq!(deployments, BTreeSet::from(SERVICES), "{}", one.folder);
        for object in one.objects.iter().filter(|object| object["kind"] != "Namespace") {
            assert_eq!(object["metadata"]["namespace"], NAMESPACE, "{}: {}", one.folder, name(object));
        }
        let labels = &one.find("Namespace", NAMESPACE)?["metadata"]["labels"];
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted", "{}", one.folder);
    }
    Ok(all)
}

async fn selectors_lead_to_pods() -> Result<()> {
    for one in installations().await? {
        for workload in one.workloads() {
            let own = one.selected(&workload["spec"]["selector"]).with_context(|| one.folder.clone())?;
            assert_eq!(own, [workload], "{}", one.folder);
        }
        for service in one.of_kind("Service") {
            let what = || format!("{}: {}", one.folder, name(service));
            let selector = json!({"matchLabels": service["spec"]["selector"]});
            let selected = one.selected(&selector).with_context(what)?;
            assert_eq!(selected.len(), 1, "{}", what());
            for port in list(&service["spec"]["ports"]) {
                assert!(has_port(selected[0], &port["targetPort"])?, "{}: {port}", what());
            }
        }
        let mut budgets = BTreeSet::new();
        for budget in one.of_kind("PodDisruptionBudget") {
            let selected = one.selected(&budget["spec"]["selector"]).with_context(|| one.folder.clone())?;
            assert_eq!(selected, [one.find("Deployment", name(budget))?], "{}", one.folder);
            budgets.insert(name(budget));
        }
        assert_eq!(budgets, BTreeSet::from(SERVICES), "{}", one.folder);
    }
    Ok(())
}

async fn policies_are_for_pods_and_ports_that_are_there() -> Result<()> {
    for one in installations().await? {
        for policy in one.of_kind("NetworkPolicy") {
            check_policy(&one, policy).with_context(|| format!("{}: {}", one.folder, name(policy)))?;
        }
    }
    Ok(())
}

fn check_policy(one: &Rendered, policy: &Value) -> Result<()> {
    let subjects = one.selected(&policy["spec"]["podSelector"])?;
    for rule in list(&policy["spec"]["ingress"]) {
        have_ports(&subjects, rule)?;
        for peer in pods_of_the_namespace(&rule["from"]) {
            one.selected(peer)?;
        }
    }
    for rule in list(&policy["spec"]["egress"]) {
        for peer in pods_of_the_namespace(&rule["to"]) {
            have_ports(&one.selected(peer)?, rule)?;
        }
    }
    Ok(())
}

/// The selectors of those peers that are pods of Kubesage's own namespace.
fn pods_of_the_namespace(peers: &Value) -> impl Iterator<Item = &Value> {
    let own = list(peers).iter().filter(|peer| peer["namespaceSelector"].is_null());
    own.map(|peer| &peer["podSelector"]).filter(|selector| selector.is_object())
}

fn have_ports(workloads: &[&Value], rule: &Value) -> Result<()> {
    for workload in workloads {
        for port in list(&rule["ports"]) {
            ensure!(has_port(workload, &port["port"])?, "{} has no port {port}", name(workload));
        }
    }
    Ok(())
}

/// Although there is one Service more that leads to user-auth.
async fn each_service_is_monitored_once() -> Result<()> {
    for one in installations().await? {
        for monitor in one.of_kind("ServiceMonitor") {
            let mut monitored = BTreeSet::new();
            for service in one.of_kind("Service") {
                if takes(&monitor["spec"]["selector"], &service["metadata"]["labels"])? {
                    let endpoints = list(&monitor["spec"]["endpoints"]);
                    assert!(endpoints.iter().all(|endpoint| serves(service, &endpoint["port"])), "{monitor}");
                    monitored.insert(name(service));
                }
            }
            assert_eq!(monitored, BTreeSet::from(SERVICES), "{}", one.folder);
        }
    }
    Ok(())
}

async fn references_lead_to_objects() -> Result<()> {
    for one in installations().await? {
        check_references(&one).with_context(|| one.folder.clone())?;
    }
    Ok(())
}

fn check_references(one: &Rendered) -> Result<()> {
    for deployment in one.of_kind("Deployment") {
        let account = pod(deployment)["serviceAccountName"].as_str().context("a service account")?;
        one.find("ServiceAccount", account)?;
    }
    for scaler in one.of_kind("HorizontalPodAutoscaler") {
        let target = &scaler["spec"]["scaleTargetRef"];
        assert_eq!(target["kind"], "Deployment");
        let scaled = one.find("Deployment", target["name"].as_str().context("a name")?)?;
        // Else each time that it is applied it would undo what was scaled.
        ensure!(scaled["spec"]["replicas"].is_null(), "{} has a number of replicas", name(scaled));
    }
    let ingresses = ingress_paths(one).map(|path| &path["backend"]["service"]);
    let ingresses = ingresses.map(|service| (&service["name"], &service["port"]["name"]));
    let backends = route_rules(one).flat_map(|rule| list(&rule["backendRefs"]));
    let backends = backends.map(|backend| (&backend["name"], &backend["port"]));
    for (service, port) in ingresses.chain(backends) {
        let found = one.find("Service", service.as_str().context("a name")?)?;
        ensure!(serves(found, port), "{service} has no port {port}");
    }
    Ok(())
}

async fn secrets_come_from_outside() -> Result<()> {
    let page = fs::read_to_string(format!("{K8S}/../docs/kubernetes.md"))?;
    for one in installations().await? {
        assert_eq!(one.of_kind("Secret").count(), 0, "{}", one.folder);
        for workload in one.workloads() {
            for variable in list(&container(workload)?["env"]) {
                let secret = &variable["valueFrom"]["secretKeyRef"];
                let Some(key) = secret["key"].as_str() else { continue };
                assert_eq!(secret["name"], SECRET, "{}: {variable}", one.folder);
                assert!(page.contains(&format!("`{key}`")), "docs/kubernetes.md does not tell of {key}");
            }
        }
    }
    Ok(())
}

/// Metrics and health, the services' documents, and where services ask whose a key is.
async fn nothing_internal_is_seen_from_outside() -> Result<()> {
    let internal = ["/metrics", "/livez", "/readyz", "/docs", "/openapi.json", "/api/v1/auth/verify"];
    for one in installations().await? {
        let paths = ingress_paths(&one).map(|path| &path["path"]);
        let matches = route_rules(&one).flat_map(|rule| list(&rule["matches"]));
        for path in paths.chain(matches.map(|request| &request["path"]["value"])) {
            let path = path.as_str().context("a path")?;
            assert!(!internal.iter().any(|internal| internal.starts_with(path)), "{}: {path}", one.folder);
        }
    }
    Ok(())
}

/// An Ingress and a route of the Gateway API are two texts of one thing.
async fn both_ways_in_lead_to_the_same_services() -> Result<()> {
    let all = installations().await?;
    let of = |component: &str| {
        let folder = format!("services/components/{component}");
        let one = all.iter().find(|one| one.folder == folder).context(folder)?;
        let by_ingress = ingress_paths(one).map(|path| (&path["path"], &path["backend"]["service"]["name"]));
        let by_route = route_rules(one).flat_map(|rule| {
            let service = &rule["backendRefs"][0]["name"];
            list(&rule["matches"]).iter().map(move |request| (&request["path"]["value"], service))
        });
        let ways = by_ingress.chain(by_route).map(|(path, service)| format!("{path} to {service}"));
        anyhow::Ok(ways.collect::<BTreeSet<String>>())
    };
    let (ingress, gateway) = (of("ingress-nginx")?, of("gateway-api")?);
    assert!(!ingress.is_empty());
    assert_eq!(ingress, gateway);
    Ok(())
}
