//! Nodes as EKS makes them.

use serde_json::{Value, json};

/// A machine of EC2; memory in MiB, pods as the AWS VPC CNI allows (`eni-max-pods.txt`).
pub(super) struct InstanceType {
    name: &'static str,
    cpus: u32,
    memory: u32,
    pods: u32,
    architecture: &'static str,
}

pub(super) const INSTANCE_TYPES: [InstanceType; 4] = [
    InstanceType { name: "m5.xlarge", cpus: 4, memory: 15_843, pods: 58, architecture: "amd64" },
    InstanceType { name: "c6i.xlarge", cpus: 4, memory: 7_714, pods: 58, architecture: "amd64" },
    InstanceType { name: "m6g.large", cpus: 2, memory: 7_750, pods: 29, architecture: "arm64" },
    InstanceType { name: "r5.large", cpus: 2, memory: 15_704, pods: 29, architecture: "amd64" },
];
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

/// The name of the node with this index.
pub(super) fn name(index: usize) -> String {
    let address = address(index);
    format!("ip-{}.ec2.internal", address.replace('.', "-"))
}

/// The address of the node with this index.
pub(super) fn address(index: usize) -> String {
    format!("10.0.{}.{}", 32 + index / 200, 10 + index % 200)
}

/// A healthy node; every second one is a spot instance.
pub(super) fn node(index: usize, ready_since: &str, seen: &str) -> Value {
    let machine = &INSTANCE_TYPES[index % INSTANCE_TYPES.len()];
    let zone = ZONES[index % ZONES.len()];
    let name = name(index);
    let (group, capacity_type) =
        if index.is_multiple_of(2) { ("core", "ON_DEMAND") } else { ("spot", "SPOT") };
    let digest = crc32fast::hash(name.as_bytes());
    let resources = |cpu: String, memory_mib: u32| {
        json!({
            "cpu": cpu,
            "ephemeral-storage": "83873772Ki",
            "hugepages-2Mi": "0",
            "memory": format!("{}Ki", memory_mib * 1024),
            "pods": machine.pods.to_string(),
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "beta.kubernetes.io/arch": machine.architecture,
                "beta.kubernetes.io/instance-type": machine.name,
                "beta.kubernetes.io/os": "linux",
                "eks.amazonaws.com/capacityType": capacity_type,
                "eks.amazonaws.com/nodegroup": group,
                "kubernetes.io/arch": machine.architecture,
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": machine.name,
                "topology.kubernetes.io/region": "us-east-1",
                "topology.kubernetes.io/zone": zone,
            },
            "annotations": { "node.alpha.kubernetes.io/ttl": "0" },
        },
        "spec": { "providerID": format!("aws:///{zone}/i-0{digest:08x}{:08x}", digest.rotate_left(13)) },
        "status": {
            "capacity": resources(machine.cpus.to_string(), machine.memory),
            // What the kubelet and the system reserve on EKS: 80 millicores and about 1 GiB.
            "allocatable": resources(format!("{}m", machine.cpus * 1000 - 80), machine.memory - 990),
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available", ready_since, seen),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure", ready_since, seen),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available", ready_since, seen),
                condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", ready_since, seen),
            ],
            "addresses": [
                { "type": "InternalIP", "address": address(index) },
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
                "architecture": machine.architecture,
            },
        },
    })
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
