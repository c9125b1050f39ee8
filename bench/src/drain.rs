//! `bench drain`: copies of one node, drained by `kubesage drain` and by `kubectl drain`.

use std::{
    fmt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use testkit::eventually_within;
use tokio::process::Command;

use crate::{machine, simulated::Simulated, table};

const PATIENCE: Duration = Duration::from_secs(120);
const NODES: [&str; 2] = ["drained", "other"];
const NAMESPACE: &str = "default";
/// Pods of one Deployment.
const REPLICAS: usize = 10;

/// What can be chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrainArgs {
    /// Pods on the node
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 500])]
    pods: Vec<usize>,
    /// How often each is drained
    #[arg(long, default_value = "3")]
    runs: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Kubesage,
    Kubectl,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubesage => "kubesage drain",
            Self::Kubectl => "kubectl drain",
        })
    }
}

/// What one drain took.
#[derive(Clone, Copy)]
struct Took {
    seconds: f64,
    requests: u64,
}

pub(crate) async fn run(args: DrainArgs) -> Result<()> {
    machine::print().await?;
    println!(
        "Copies of one node of the simulated cluster, each drained by a program of its own. Budgets: one for each Deployment of {REPLICAS} \
         pods, `maxUnavailable: 2`. Median of {} runs.\n",
        args.runs
    );
    let directory = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for pods in args.pods {
        for with_budgets in [false, true] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..args.runs {
                theirs.push(drained(directory.path(), pods, with_budgets, Tool::Kubectl).await?);
                ours.push(drained(directory.path(), pods, with_budgets, Tool::Kubesage).await?);
            }
            let (ours, theirs) = (median(ours), median(theirs));
            for (tool, took) in [(Tool::Kubectl, theirs), (Tool::Kubesage, ours)] {
                rows.push(vec![
                    format!("{pods}{}", if with_budgets { ", with budgets" } else { "" }),
                    tool.to_string(),
                    format!("{:.2}", took.seconds),
                    format!("{:.2}", took.seconds / theirs.seconds),
                    took.requests.to_string(),
                ]);
            }
        }
    }
    table::print(&["pods", "by", "seconds", "ratio", "API requests"], &rows);
    Ok(())
}

fn median(mut took: Vec<Took>) -> Took {
    took.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    took[took.len() / 2]
}

/// Drains a node of a cluster of its own, and sees to it that all pods run elsewhere afterwards.
async fn drained(directory: &Path, pods: usize, with_budgets: bool, tool: Tool) -> Result<Took> {
    let cluster = Simulated::start(directory, "empty").await?;
    let client = cluster.client().await?;
    fill(&client, pods, with_budgets).await?;
    let before = requests(&client).await?;
    let started = Instant::now();
    let mut command = match tool {
        Tool::Kubesage => Command::new(testkit::program("kubesage")?),
        Tool::Kubectl => Command::new("kubectl"),
    };
    command.args(["drain", NODES[0], "--ignore-daemonsets", "--timeout", "300s", "--kubeconfig"]);
    command.arg(&cluster.kubeconfig).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| tool.to_string())?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    let requests = requests(&client).await? - before;
    let node = Api::<Node>::all(client.clone()).get(NODES[0]).await?;
    ensure!(node.spec.unwrap_or_default().unschedulable == Some(true), "{tool}: the node is not cordoned");
    ensure!(on_node(&client, NODES[0]).await? == (0, 0), "{tool}: pods are left");
    until_ready(&client, NODES[1], pods).await?;
    Ok(Took { seconds, requests })
}

/// Two nodes, and so many pods on the first one.
async fn fill(client: &Client, pods: usize, with_budgets: bool) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    for name in NODES {
        let room = json!({"cpu": "64", "memory": "256Gi", "ephemeral-storage": "100Gi", "pods": "1000"});
        let node = json!({
            "metadata": {"name": name}, "spec": {"unschedulable": name == NODES[1]},
            "status": {"capacity": room, "allocatable": room},
        });
        nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
    }
    for first in (0..pods).step_by(REPLICAS) {
        let (app, replicas) = (format!("app-{first}"), REPLICAS.min(pods - first));
        let labels = json!({"app": app});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        create::<Deployment>(
            client,
            json!({
                "metadata": {"name": app},
                "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
            }),
        )
        .await?;
        if with_budgets {
            let spec = json!({"maxUnavailable": 2, "selector": {"matchLabels": labels}});
            create::<PodDisruptionBudget>(client, json!({"metadata": {"name": app}, "spec": spec})).await?;
        }
    }
    until_ready(client, NODES[0], pods).await?;
    nodes.uncordon(NODES[1]).await?;
    if with_budgets {
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), NAMESPACE);
        let counted = async || {
            let budgets = budgets.list(&ListParams::default()).await.ok()?.items;
            let allow = |budget: &PodDisruptionBudget| {
                budget.status.as_ref().is_some_and(|status| status.disruptions_allowed > Some(0))
            };
            budgets.iter().all(allow).then_some(())
        };
        eventually_within(PATIENCE, "the budgets to be counted", counted).await?;
    }
    Ok(())
}

async fn create<K>(client: &Client, object: Value) -> Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

async fn until_ready(client: &Client, node: &str, pods: usize) -> Result<()> {
    let are_ready = async || (on_node(client, node).await.ok()?.1 == pods).then_some(());
    eventually_within(PATIENCE, &format!("{pods} pods to be ready on {node}"), are_ready).await
}

/// How many pods are on a node, and how many of them are ready.
async fn on_node(client: &Client, node: &str) -> Result<(usize, usize)> {
    let list = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = Api::<Pod>::all(client.clone()).list(&list).await?.items;
    let is_ready = |pod: &&Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let mut conditions = conditions.into_iter();
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    Ok((pods.len(), pods.iter().filter(is_ready).count()))
}

/// How many requests about objects the cluster has had.
async fn requests(client: &Client) -> Result<u64> {
    let request = http::Request::get("/simulator/v1/requests").body(Vec::new())?;
    let counted: Value = client.request(request).await?;
    let of = counted.as_array().into_iter().flatten();
    let of_objects = of.filter(|line| line["resource"] != "other");
    Ok(of_objects.filter_map(|line| line["count"].as_u64()).sum())
}
