use anyhow::{Context, Result};

use crate::common::{Kubectl, has, tests};

tests! { "describe" on AnyCluster:
    a_node,
    a_pod,
    a_deployment,
    a_service,
    a_job,
    a_disruption_budget,
    a_namespace,
    a_claim,
}

async fn a_node(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    let pod = kubectl.object("pod", "solo").await?;
    let node = pod["spec"]["nodeName"].as_str().context("it has a node")?;
    has(
        &kubectl.ok(&["describe", "node", node]).await?,
        &[
            node,
            "Unschedulable:      false",
            "Lease:",
            "HolderIdentity",
            "Conditions:",
            "Ready",
            "Capacity:",
            "Allocatable:",
            "Kubelet Version:",
            "Non-terminated Pods:",
            "solo",
            "Allocated resources:",
            "Events:",
        ],
    )
}

async fn a_pod(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    has(
        &kubectl.ok(&["describe", "pod", "solo"]).await?,
        &[
            "Name:             solo",
            "Service Account:  default",
            "Labels:           app=solo",
            "Status:           Running",
            "Containers:",
            "State:          Running",
            "Ready:          True",
            "Conditions:",
            "PodScheduled",
            "QoS Class:                   BestEffort",
            "Tolerations:",
            "Events:",
        ],
    )
}

async fn a_deployment(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 2).await?;
    has(
        &kubectl.ok(&["describe", "deployment", "web"]).await?,
        &[
            "Name:                   web",
            "Selector:               app=web",
            "Replicas:               2 desired | 2 updated | 2 total | 2 available | 0 unavailable",
            "StrategyType:           RollingUpdate",
            "RollingUpdateStrategy:  25% max unavailable, 25% max surge",
            "Available      True    MinimumReplicasAvailable",
            "Progressing    True    NewReplicaSetAvailable",
            "NewReplicaSet:   web-",
        ],
    )
}

async fn a_service(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 1).await?;
    kubectl.ok(&["expose", "deployment", "web", "--port=80", "--target-port=8080"]).await?;
    has(
        &kubectl.ok(&["describe", "service", "web"]).await?,
        &[
            "Name:                     web",
            "Selector:                 app=web",
            "Type:                     ClusterIP",
            "Port:                     <unset>  80/TCP",
            "TargetPort:               8080/TCP",
            "Session Affinity:         None",
        ],
    )
}

async fn a_job(kubectl: Kubectl) -> Result<()> {
    kubectl.ok(&["create", "job", "once", "--image=registry.k8s.io/pause:3.10", "--", "true"]).await?;
    has(
        &kubectl.ok(&["describe", "job", "once"]).await?,
        &["Name:", "Parallelism:", "Completions:", "Pods Statuses:", "Pod Template:"],
    )
}

async fn a_disruption_budget(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 2).await?;
    kubectl.ok(&["create", "pdb", "guard", "--selector=app=web", "--min-available=1"]).await?;
    let allowed = "--for=jsonpath={.status.disruptionsAllowed}=1";
    kubectl.ok(&["wait", allowed, "pdb", "guard", "--timeout=30s"]).await?;
    let words = [
        "Min available:  1",
        "Selector:       app=web",
        "Allowed disruptions:  1",
        "Current:              2",
    ];
    has(&kubectl.ok(&["describe", "pdb", "guard"]).await?, &words)?;
    let table = kubectl.table(&["get", "pdb"]).await?;
    assert_eq!(table.rows[0][..4], ["guard", "1", "N/A", "1"]);
    Ok(())
}

async fn a_namespace(kubectl: Kubectl) -> Result<()> {
    let namespace = kubectl.namespace();
    let words = [namespace, "Status:", "Active", "No resource quota.", "No LimitRange resource."];
    has(&kubectl.ok(&["describe", "namespace", namespace]).await?, &words)
}

async fn a_claim(kubectl: Kubectl) -> Result<()> {
    kubectl
        .apply(
            "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: room}
spec:
  storageClassName: none-such
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
",
        )
        .await?;
    let words = [
        "Name:          room",
        "StorageClass:  none-such",
        "Status:        Pending",
        "VolumeMode:    Filesystem",
    ];
    has(&kubectl.ok(&["describe", "pvc", "room"]).await?, &words)?;
    let table = kubectl.table(&["get", "pvc"]).await?;
    assert_eq!([table.cell("STATUS")?, table.cell("STORAGECLASS")?], ["Pending", "none-such"]);
    Ok(())
}
