//! `bench drain`: copies of one node, drained by `kubesage drain` and by `kubectl drain`.

mod state;
mod verdict;

use std::{
    fmt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Node, policy::v1::PodDisruptionBudget};
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};
use tokio::process::Command;

use self::{
    state::{State, settled},
    verdict::{Drain, Drains, Verdict},
};
use crate::{machine, simulated::Simulated, table};

const PATIENCE: Duration = Duration::from_secs(120);
const NODES: [&str; 2] = ["drained", "other"];
const NAMESPACE: &str = "default";
/// Pods of one Deployment.
const REPLICAS: usize = 10;
/// Of each Deployment's budget.
const MAX_UNAVAILABLE: usize = 2;

/// What can be chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrainArgs {
    /// Pods on the node
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 500])]
    pods: Vec<usize>,
    /// How often each is drained; once takes eight minutes, because kubectl sends five evictions a second at most
    #[arg(long, default_value = "1")]
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

/// A node that is drained.
#[derive(Clone, Copy)]
struct Case {
    pods: usize,
    with_budgets: bool,
}

impl Case {
    /// The Deployments of its pods, and how many each has.
    fn apps(self) -> impl Iterator<Item = (String, usize)> {
        (0..self.pods)
            .step_by(REPLICAS)
            .map(move |first| (format!("app-{first}"), REPLICAS.min(self.pods - first)))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pods{}", self.pods, if self.with_budgets { ", with budgets" } else { "" })
    }
}

/// Measures and prints.
///
/// # Errors
/// Also when the end state of a drain is not as it should be, or `kubesage drain` asks the API server more often or is much slower.
pub(crate) async fn run(args: DrainArgs) -> Result<()> {
    machine::print().await?;
    println!(
        "Copies of one node of the simulated cluster, each drained by a program of its own. Budgets: one for each Deployment of {REPLICAS} \
         pods, `maxUnavailable: {MAX_UNAVAILABLE}`. {}\n",
        match args.runs {
            1 => "One run.".to_owned(),
            runs => format!("Medians of {runs} runs."),
        }
    );
    let directory = tempfile::tempdir()?;
    let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
    for pods in args.pods {
        for with_budgets in [false, true] {
            let case = Case { pods, with_budgets };
            let [theirs, ours] = both(directory.path(), case, args.runs).await?;
            for drains in [&theirs, &ours] {
                rows.push(vec![
                    case.to_string(),
                    drains.tool.to_string(),
                    format!("{:.2}", drains.seconds),
                    format!("{:.2}", drains.seconds / theirs.seconds),
                    drains.requests.to_string(),
                ]);
            }
            verdicts.push((case, Verdict::on(&ours, &theirs)));
        }
    }
    table::print(&["node", "by", "seconds", "ratio", "API requests"], &rows);
    for (case, verdict) in &verdicts {
        println!("{case}: {verdict}");
    }
    let failed = verdicts.iter().filter(|(_, verdict)| verdict.fails());
    let failed: Vec<_> = failed.map(|(case, verdict)| format!("{case}: {verdict}")).collect();
    ensure!(failed.is_empty(), "`kubesage drain` does not do as `kubectl drain`: {}", failed.join("\n"));
    Ok(())
}

/// Drains by each of them in turn, kubectl first.
async fn both(directory: &Path, case: Case, runs: usize) -> Result<[Drains; 2]> {
    let tools = [Tool::Kubectl, Tool::Kubesage];
    let mut drains = [Vec::new(), Vec::new()];
    for run in 1..=runs {
        for (tool, drains) in tools.into_iter().zip(&mut drains) {
            eprintln!("{case}: {tool}, {run} of {runs}");
            let drain = drained(directory, case, tool).await.with_context(|| format!("{case}: {tool}"))?;
            eprintln!("    {:.2} s, {} API requests", drain.seconds, drain.requests);
            drains.push(drain);
        }
    }
    let [theirs, ours] = drains;
    Ok([Drains::of(tools[0], &theirs), Drains::of(tools[1], &ours)])
}

/// Drains a node of a cluster of its own.
async fn drained(directory: &Path, case: Case, tool: Tool) -> Result<Drain> {
    let cluster = Simulated::start(directory, "empty").await?;
    let client = cluster.client().await?;
    fill(&client, case).await?;
    let before = requests(&client).await?;
    let started = Instant::now();
    let mut command = match tool {
        Tool::Kubesage => Command::new(testkit::program("kubesage")?),
        Tool::Kubectl => Command::new("kubectl"),
    };
    command.args(["drain", NODES[0], "--ignore-daemonsets", "--timeout", "300s", "--kubeconfig"]);
    command.arg(&cluster.kubeconfig).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let requests = requests(&client).await? - before;
    let expected = State::expected(case, NODES[1], &NODES[..1]);
    let differences = settled(&client, &expected).await?.differences(&expected);
    Ok(Drain { seconds, requests, differences })
}

/// Two nodes, and so many pods on the first one.
async fn fill(client: &Client, case: Case) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    for name in NODES {
        let room = json!({"cpu": "64", "memory": "256Gi", "ephemeral-storage": "100Gi", "pods": "1000"});
        let node = json!({
            "metadata": {"name": name}, "spec": {"unschedulable": name == NODES[1]},
            "status": {"capacity": room, "allocatable": room},
        });
        nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
    }
    for (app, replicas) in case.apps() {
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
        if case.with_budgets {
            let spec = json!({"maxUnavailable": MAX_UNAVAILABLE, "selector": {"matchLabels": labels}});
            create::<PodDisruptionBudget>(client, json!({"metadata": {"name": app}, "spec": spec})).await?;
        }
    }
    let filled = State::expected(case, NODES[0], &NODES[1..]);
    let differences = settled(client, &filled).await?.differences(&filled);
    ensure!(differences.is_empty(), "the node is not filled: {}", differences.join("; "));
    nodes.uncordon(NODES[1]).await?;
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

/// How many requests about objects the cluster has had.
async fn requests(client: &Client) -> Result<u64> {
    let request = http::Request::get("/simulator/v1/requests").body(Vec::new())?;
    let counted: Value = client.request(request).await?;
    let of = counted.as_array().into_iter().flatten();
    let of_objects = of.filter(|line| line["resource"] != "other");
    Ok(of_objects.filter_map(|line| line["count"].as_u64()).sum())
}
