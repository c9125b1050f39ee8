//! An online shop: four nodes, fifteen namespaces, and a few things that go wrong.

use serde_json::json;

use super::bootstrap::{default_storage_class, namespace};
use super::nodes::{INSTANCE_TYPES, node};
use super::pods::{self, Container, Pod, State};
use super::workloads::{Controller, Workload};
use super::{Garden, suffix};
use crate::object;
use crate::status::ApiError;

const NODES: usize = INSTANCE_TYPES.len();
const DAY: u32 = 24;

const NAMESPACES: &[&str] = &[
    "accounts",
    "cart",
    "catalog",
    "checkout",
    "ingress",
    "logging",
    "monitoring",
    "orders",
    "payments",
    "search",
    "storefront",
];

type Row = (Controller, &'static str, &'static str, usize, &'static str, u32, u32, u16, State);

/// Namespace, name, replicas, image, millicores, MiB, port, and how the last pod fares.
#[rustfmt::skip]
const WORKLOADS: &[Row] = {
    use Controller::{DaemonSet, Deployment, StatefulSet};
    use State::{CrashLoop, ImagePull, Running, Unschedulable};
    &[
        (DaemonSet, "kube-system", "aws-node", NODES, "602401143452.dkr.ecr.us-east-1.amazonaws.com/amazon-k8s-cni:v1.21.1", 50, 64, 0, Running),
        (DaemonSet, "kube-system", "kube-proxy", NODES, "602401143452.dkr.ecr.us-east-1.amazonaws.com/eks/kube-proxy:v1.36.2", 100, 64, 0, Running),
        (Deployment, "kube-system", "coredns", 2, "registry.k8s.io/coredns/coredns:v1.13.1", 100, 170, 53, Running),
        (Deployment, "kube-system", "metrics-server", 1, "registry.k8s.io/metrics-server/metrics-server:v0.8.0", 100, 200, 443, Running),
        (Deployment, "ingress", "ingress-nginx-controller", 2, "registry.k8s.io/ingress-nginx/controller-nginx:v1.14.0", 100, 256, 443, Running),
        (Deployment, "storefront", "storefront-web", 4, "registry.shop.example/storefront-nginx:5.12.0", 100, 128, 8080, Running),
        (Deployment, "cart", "cart-api", 3, "registry.shop.example/cart-api:3.4.1", 150, 256, 8080, Running),
        (StatefulSet, "cart", "cart-redis", 1, "docker.io/library/redis:8.2", 100, 512, 6379, Running),
        (Deployment, "checkout", "checkout-api", 3, "registry.shop.example/checkout-api:4.0.2", 200, 384, 8080, Running),
        (Deployment, "checkout", "checkout-worker", 2, "registry.shop.example/checkout-worker:4.0.2", 150, 256, 0, Running),
        (Deployment, "payments", "payments-api", 2, "registry.shop.example/payments-api:2.18.0", 200, 384, 8443, Running),
        (Deployment, "payments", "fraud-rules", 1, "registry.shop.example/fraud-rules:2.9.1", 100, 256, 8080, CrashLoop),
        (Deployment, "catalog", "catalog-api", 3, "registry.shop.example/catalog-api:7.1.0", 150, 256, 8080, Running),
        (StatefulSet, "catalog", "catalog-postgres", 1, "docker.io/library/postgres:18.1", 250, 1024, 5432, Running),
        (Deployment, "search", "search-api", 2, "registry.shop.example/search-api:1.33.0", 200, 256, 8080, Running),
        (StatefulSet, "search", "search-index", 3, "docker.io/opensearchproject/opensearch:3.3.0", 100, 9216, 9200, Unschedulable),
        (Deployment, "orders", "orders-api", 2, "registry.shop.example/orders-api:6.2.3", 150, 256, 8080, Running),
        (StatefulSet, "orders", "orders-postgres", 1, "docker.io/library/postgres:18.1", 250, 1024, 5432, Running),
        (Deployment, "accounts", "accounts-api", 2, "registry.shop.example/accounts-api:3.0.7", 100, 256, 8080, Running),
        (Deployment, "accounts", "recommendations", 2, "registry.shop.example/recommendations:0.9.0-rc4", 200, 512, 8080, ImagePull),
        (StatefulSet, "monitoring", "prometheus", 1, "quay.io/prometheus/prometheus:v3.7.3", 300, 2048, 9090, Running),
        (StatefulSet, "monitoring", "alertmanager", 1, "quay.io/prometheus/alertmanager:v0.29.0", 50, 64, 9093, Running),
        (Deployment, "monitoring", "grafana", 1, "docker.io/grafana/grafana:12.3.0", 100, 256, 3000, Running),
        (DaemonSet, "monitoring", "node-exporter", NODES, "quay.io/prometheus/node-exporter:v1.10.2", 50, 32, 9100, Running),
        (DaemonSet, "logging", "fluent-bit", NODES, "cr.fluentbit.io/fluent/fluent-bit:4.2.0", 50, 64, 2020, Running),
    ]
};

/// Namespace, name and one entry.
const CONFIG_MAPS: &[(&str, &str, &str, &str)] = &[
    (
        "kube-system",
        "coredns",
        "Corefile",
        ".:53 {\n    errors\n    health\n    kubernetes cluster.local\n    cache 30\n}\n",
    ),
    ("storefront", "storefront-features", "features.yaml", "newCheckout: true\nrecommendations: false\n"),
    ("payments", "payments-limits", "limits.yaml", "maxAmount: 5000\ncurrency: USD\n"),
    ("monitoring", "prometheus-rules", "shop.yaml", "groups: []\n"),
];

pub(super) fn plant(garden: &Garden<'_>) -> Result<(), ApiError> {
    default_storage_class(garden)?;
    let (since, now) = (garden.ago(41 * DAY), garden.ago(0));
    for index in 0..NODES {
        garden.plant(node(index, &since, &now), 41 * DAY)?;
    }
    for name in NAMESPACES {
        namespace(garden, name, 90 * DAY)?;
    }
    for (first_node, (controller, namespace, name, replicas, image, cpu, memory, port, last)) in
        WORKLOADS.iter().copied().enumerate()
    {
        // A daemon set begins on the first node, so that each node has one of its pods.
        let first_node = if controller == Controller::DaemonSet { 0 } else { first_node };
        let container = Container { image, cpu, memory, port };
        let workload = Workload {
            controller,
            namespace,
            name,
            replicas,
            container,
            last,
            age_hours: 34 * DAY,
            first_node,
            nodes: NODES,
        };
        workload.plant(garden)?;
        workload.plant_budget(garden)?;
    }
    for (namespace, name, key, text) in CONFIG_MAPS {
        let config_map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": namespace },
            "data": { *key: text },
        });
        garden.plant(config_map, 34 * DAY)?;
    }
    plant_nightly_report(garden)
}

/// A cron job with its last job, which is complete, and that job's pod.
fn plant_nightly_report(garden: &Garden<'_>) -> Result<(), ApiError> {
    let (namespace, name) = ("orders", "orders-report");
    let image = "registry.shop.example/orders-report:1.5.0";
    let template = pods::template(name, Container { image, cpu: 250, memory: 512, port: 0 }, "OnFailure");
    // The last time that its schedule told: half past two, every day, in UTC.
    let seconds_ago = (garden.now.as_second() - (2 * 60 + 30) * 60).rem_euclid(24 * 60 * 60);
    let minute = (garden.now.as_second() - seconds_ago) / 60;
    let at = garden.at(-seconds_ago);
    let metadata = json!({ "name": name, "namespace": namespace });
    let cron_job = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata,
        "spec": {
            "schedule": "30 2 * * *",
            "concurrencyPolicy": "Forbid",
            "suspend": false,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": { "spec": { "template": { "spec": template } } },
        },
        "status": { "lastScheduleTime": at, "lastSuccessfulTime": at },
    });
    let cron_job = garden.plant(cron_job, 34 * DAY)?;

    // The controller names jobs by the scheduled time in minutes.
    let job_name = format!("{name}-{minute}");
    let labels = json!({ "job-name": job_name, "batch.kubernetes.io/job-name": job_name });
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name,
            "namespace": namespace,
            "labels": labels,
            "annotations": { "batch.kubernetes.io/cronjob-scheduled-timestamp": at },
            "ownerReferences": [object::controller_reference(&cron_job)],
        },
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "suspend": false,
            "selector": { "matchLabels": { "batch.kubernetes.io/job-name": job_name } },
            "template": { "metadata": { "labels": labels }, "spec": template },
        },
        "status": {
            "startTime": at,
            "completionTime": at,
            "succeeded": 1,
            "ready": 0,
            "conditions": [{
                "type": "Complete",
                "status": "True",
                "reason": "CompletionsReached",
                "lastProbeTime": at,
                "lastTransitionTime": at,
            }],
        },
    });
    let job = garden.plant_at(job, &at)?;

    let pod = Pod {
        name: &format!("{job_name}-{}", suffix(&job_name, 5)),
        namespace,
        labels,
        annotations: json!({}),
        owner: object::controller_reference(&job),
        template: &template,
        node: 0,
        state: State::Completed,
        started: &at,
        failed: &at,
    };
    garden.plant_at(pods::pod(pod), &at).map(drop)
}
