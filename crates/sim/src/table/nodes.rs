//! Nodes, namespaces, leases, priority and runtime classes: what belongs to the cluster (`printNode` and its like).

use serde_json::Value;

use super::Printer;
use super::column::{AGE, Field, NAME, Words, boolean, integer, text};
use super::read::{self, age, count, flag, list, name};

pub(super) const NODE: Printer = Printer {
    columns: &[
        NAME,
        text("Status", Words("The status of the node")),
        text("Roles", Words("The roles of the node")),
        AGE,
        text("Version", Field("status.nodeInfo.kubeletVersion")),
        text("Internal-IP", Field("status.addresses")).wide(),
        text("External-IP", Field("status.addresses")).wide(),
        text("OS-Image", Field("status.nodeInfo.osImage")).wide(),
        text("Kernel-Version", Field("status.nodeInfo.kernelVersion")).wide(),
        text("Container-Runtime", Field("status.nodeInfo.containerRuntimeVersion")).wide(),
    ],
    cells: |node, now| {
        let info = |field: &str| read::text_or(&node["status"]["nodeInfo"], field, "<unknown>").into();
        vec![
            name(node),
            node_status(node).into(),
            roles(node).into(),
            age(node, now),
            read::text(node, "/status/nodeInfo/kubeletVersion").into(),
            address(node, "InternalIP").into(),
            address(node, "ExternalIP").into(),
            info("/osImage"),
            info("/kernelVersion"),
            info("/containerRuntimeVersion"),
        ]
    },
};

fn node_status(node: &Value) -> String {
    let ready = match read::condition(node, "Ready") {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let disabled = if flag(node, "/spec/unschedulable") { ",SchedulingDisabled" } else { "" };
    format!("{ready}{disabled}")
}

/// By the labels `node-role.kubernetes.io/ROLE` and `kubernetes.io/role` (`findNodeRoles`).
fn roles(node: &Value) -> String {
    let labels = read::map(node, "/metadata/labels").into_iter().flatten();
    let mut roles: Vec<&str> = labels
        .filter_map(|(label, value)| match label.strip_prefix("node-role.kubernetes.io/") {
            None if label == "kubernetes.io/role" => value.as_str(),
            role => role,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let mut addresses = list(node, "/status/addresses").iter();
    addresses
        .find(|address| address["type"] == kind)
        .map_or("<none>", |address| read::text(address, "/address"))
}

pub(super) const NAMESPACE: Printer = Printer {
    columns: &[NAME, text("Status", Words("The status of the namespace")), AGE],
    cells: |namespace, now| {
        vec![name(namespace), read::text(namespace, "/status/phase").into(), age(namespace, now)]
    },
};

pub(super) const LEASE: Printer = Printer {
    columns: &[NAME, text("Holder", Field("spec.holderIdentity")), AGE],
    cells: |lease, now| vec![name(lease), read::text(lease, "/spec/holderIdentity").into(), age(lease, now)],
};

pub(super) const PRIORITY_CLASS: Printer = Printer {
    columns: &[
        NAME,
        integer("Value", Field("value")),
        boolean("Global-Default", Field("globalDefault")),
        AGE,
        text("PreemptionPolicy", Field("preemptionPolicy")),
    ],
    cells: |class, now| {
        vec![
            name(class),
            count(class, "/value").into(),
            flag(class, "/globalDefault").into(),
            age(class, now),
            read::text(class, "/preemptionPolicy").into(),
        ]
    },
};

pub(super) const RUNTIME_CLASS: Printer = Printer {
    columns: &[NAME, text("Handler", Words("")), AGE],
    cells: |class, now| vec![name(class), read::text(class, "/handler").into(), age(class, now)],
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_and_roles() {
        let node = |ready: &str, unschedulable: bool| {
            json!({
                "metadata": { "labels": { "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/": "",
                    "kubernetes.io/role": "infra", "node-role.kubernetes.io/infra": "" } },
                "spec": { "unschedulable": unschedulable },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] },
            })
        };
        assert_eq!(node_status(&node("True", false)), "Ready");
        assert_eq!(node_status(&node("True", true)), "Ready,SchedulingDisabled");
        assert_eq!(node_status(&node("Unknown", false)), "NotReady");
        assert_eq!(node_status(&json!({})), "Unknown");
        assert_eq!(roles(&node("True", false)), "infra,worker");
        assert_eq!(roles(&json!({})), "<none>");
    }
}
