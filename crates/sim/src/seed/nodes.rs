//! Nodes as EKS makes them.

use cloud::{Architecture, Lifecycle};
use serde_json::{Value, json};

use crate::cloud::catalog::{KINDS, Kind, ZONES};

/// The types of the seeded nodes, by turns; the demo and the documents tell of them.
pub(super) const INSTANCE_TYPES: [&str; 4] = ["m5.xlarge", "c6i.xlarge", "m6g.large", "r5.large"];

/// The machine that a node runs on.
pub(crate) struct Machine<'a> {
    /// Its type.
    pub(crate) kind: &'a Kind,
    /// Where it is.
    pub(crate) zone: &'a str,
    /// How it is paid for.
    pub(crate) lifecycle: Lifecycle,
    /// The name of its EKS node group.
    pub(crate) node_group: &'a str,
    /// Its id.
    pub(crate) instance_id: &'a str,
    /// Its address.
    pub(crate) address: &'a str,
}

/// The name of the node with this index.
pub(super) fn name(index: usize) -> String {
    name_of(&address(index))
}

/// The address of the node with this index.
pub(super) fn address(index: usize) -> String {
    format!("10.0.{}.{}", 32 + index / 200, 10 + index % 200)
}

/// The name of the node with this address.
pub(crate) fn name_of(address: &str) -> String {
    format!("ip-{}.ec2.internal", address.replace('.', "-"))
}

/// A healthy node; every second one is a spot instance.
pub(super) fn node(index: usize, ready_since: &str, seen: &str) -> Value {
    let instance_type = INSTANCE_TYPES[index % INSTANCE_TYPES.len()];
    let kind = KINDS.iter().find(|kind| kind.name == instance_type).expect("the region has the seeded types");
    let (node_group, lifecycle) =
        if index.is_multiple_of(2) { ("core", Lifecycle::OnDemand) } else { ("spot", Lifecycle::Spot) };
    let address = address(index);
    let digest = crc32fast::hash(name_of(&address).as_bytes());
    let machine = Machine {
        kind,
        zone: ZONES[index % ZONES.len()],
        lifecycle,
        node_group,
        instance_id: &format!("i-0{digest:08x}{:08x}", digest.rotate_left(13)),
        address: &address,
    };
    let mut node = registered(&machine);
    node["status"]["conditions"] = json!([
        condition(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
            ready_since,
            seen
        ),
        condition(
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
            ready_since,
            seen
        ),
        condition(
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
            ready_since,
            seen
        ),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", ready_since, seen),
    ]);
    node
}

/// A node as its kubelet registers it, without its conditions.
pub(crate) fn registered(machine: &Machine<'_>) -> Value {
    let Machine { kind, zone, lifecycle, node_group, instance_id, address } = machine;
    let name = name_of(address);
    let digest = crc32fast::hash(name.as_bytes());
    let architecture = match kind.architecture {
        Architecture::Amd64 => "amd64",
        Architecture::Arm64 => "arm64",
    };
    let capacity_type = match lifecycle {
        Lifecycle::OnDemand => "ON_DEMAND",
        Lifecycle::Spot => "SPOT",
    };
    let resources = |cpu: String, memory_mib: u32| {
        json!({
            "cpu": cpu,
            "ephemeral-storage": "83873772Ki",
            "hugepages-2Mi": "0",
            "memory": format!("{}Ki", memory_mib * 1024),
            "pods": kind.max_pods.to_string(),
        })
    };
    let memory = memory_of(kind);
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "beta.kubernetes.io/arch": architecture,
                "beta.kubernetes.io/instance-type": kind.name,
                "beta.kubernetes.io/os": "linux",
                "eks.amazonaws.com/capacityType": capacity_type,
                "eks.amazonaws.com/nodegroup": node_group,
                "kubernetes.io/arch": architecture,
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": kind.name,
                "topology.kubernetes.io/region": "us-east-1",
                "topology.kubernetes.io/zone": zone,
            },
            "annotations": { "node.alpha.kubernetes.io/ttl": "0" },
        },
        "spec": { "providerID": format!("aws:///{zone}/{instance_id}") },
        "status": {
            "capacity": resources(kind.vcpus.to_string(), memory),
            // What the kubelet and the system reserve on EKS: 80 millicores and about 1 GiB.
            "allocatable": resources(format!("{}m", kind.vcpus * 1000 - 80), memory - 990),
            "addresses": [
                { "type": "InternalIP", "address": address },
                { "type": "Hostname", "address": name },
                { "type": "InternalDNS", "address": name },
            ],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
            "nodeInfo": {
                "machineID": format!("ec2{digest:08x}"),
                "systemUUID": format!("ec2{digest:08x}"),
                "bootID": format!("{digest:08x}-boot"),
                "kernelVersion": "6.12.40-63.114.amzn2023",
                "osImage": "Amazon Linux 2023.9.20261105",
                "containerRuntimeVersion": "containerd://2.1.4",
                "kubeletVersion": "v1.36.2-eks-5e1d9c2",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": architecture,
            },
        },
    })
}

/// The memory in MiB that the kernel of such a machine finds: less than was bought.
fn memory_of(kind: &Kind) -> u32 {
    match kind.name {
        "c6i.xlarge" => 7_714,
        "m6g.large" => 7_750,
        "r5.large" => 15_704,
        _ => kind.memory_mib * 967 / 1000,
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, since: &str, seen: &str) -> Value {
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        "lastHeartbeatTime": seen,
    })
}
