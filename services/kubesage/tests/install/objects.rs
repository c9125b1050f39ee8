//! Rendered objects, and how they lead to each other.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::kustomizations::Rendered;

/// The label by which the parts of Kubesage are told apart.
pub(crate) const NAME: &str = "app.kubernetes.io/name";

impl Rendered {
    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    pub(crate) fn find(&self, kind: &str, searched: &str) -> Result<&Value> {
        let found = self.objects.iter().find(|object| object["kind"] == kind && name(object) == searched);
        found.with_context(|| format!("there is no {kind} {searched}"))
    }

    /// What makes pods.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.of_kind("Deployment").chain(self.of_kind("StatefulSet"))
    }

    /// The workloads whose pods a selector takes: some, and one of each name that it has.
    pub(crate) fn selected(&self, selector: &Value) -> Result<Vec<&Value>> {
        let mut found = Vec::new();
        for workload in self.workloads() {
            if takes(selector, labels(workload))? {
                found.push(workload);
            }
        }
        ensure!(!found.is_empty(), "no pod is taken by {selector}");
        for searched in named(selector) {
            let is_there = found.iter().any(|workload| labels(workload)[NAME] == *searched);
            ensure!(is_there, "no pod is called {searched}");
        }
        Ok(found)
    }
}

pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The elements of a list; none where there is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The fields of an object; none where there is no object.
pub(crate) fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

pub(crate) fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

/// Of a workload's pods.
fn labels(workload: &Value) -> &Value {
    &workload["spec"]["template"]["metadata"]["labels"]
}

/// The one container of a workload's pods.
pub(crate) fn container(workload: &Value) -> Result<&Value> {
    match list(&pod(workload)["containers"]) {
        [only] => Ok(only),
        several => bail!("{} has {} containers", name(workload), several.len()),
    }
}

/// Whether a port, by its name or number, is one of the container's.
pub(crate) fn has_port(workload: &Value, port: &Value) -> Result<bool> {
    let ports = list(&container(workload)?["ports"]);
    Ok(ports.iter().any(|known| known["name"] == *port || known["containerPort"] == *port))
}

/// Whether a port, by its name or number, is one of the Service's.
pub(crate) fn serves(service: &Value, port: &Value) -> bool {
    let ports = list(&service["spec"]["ports"]);
    ports.iter().any(|known| known["name"] == *port || known["port"] == *port)
}

/// Whether a selector takes these labels. `In` is the one operator that is used here.
pub(crate) fn takes(selector: &Value, labels: &Value) -> Result<bool> {
    let mut all = fields(&selector["matchLabels"]).all(|(label, value)| labels[label] == *value);
    for expression in list(&selector["matchExpressions"]) {
        ensure!(expression["operator"] == "In", "{expression}: no other operator than In is known here");
        let label = expression["key"].as_str().context("a key")?;
        all &= list(&expression["values"]).contains(&labels[label]);
    }
    Ok(all)
}

/// The names of which a selector takes any.
fn named(selector: &Value) -> impl Iterator<Item = &Value> {
    let expressions = list(&selector["matchExpressions"]).iter();
    let of_names = expressions.filter(|expression| expression["key"] == NAME);
    of_names.flat_map(|expression| list(&expression["values"]))
}

/// The paths of every Ingress.
pub(crate) fn ingress_paths(one: &Rendered) -> impl Iterator<Item = &Value> {
    let rules = one.of_kind("Ingress").flat_map(|ingress| list(&ingress["spec"]["rules"]));
    rules.flat_map(|rule| list(&rule["http"]["paths"]))
}

/// The rules of every route of the Gateway API.
pub(crate) fn route_rules(one: &Rendered) -> impl Iterator<Item = &Value> {
    one.of_kind("HTTPRoute").flat_map(|route| list(&route["spec"]["rules"]))
}
