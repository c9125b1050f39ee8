//! A node is replaced by a cheaper one while the process is killed, and nobody notices.

use std::{collections::BTreeMap, future::Future, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::eventually_within;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    administrator::{Administrator, is_ready},
    operation::Events,
    started::{Started, client, get},
};

/// Deployments that are not to notice, and how many pods of them are to be ready at any time.
type Guarded = BTreeMap<(String, String), i64>;

/// Another process carries an operation on when the lease of the one that was killed is over, which takes half a minute.
const PATIENCE: Duration = Duration::from_secs(240);

async fn start(directory: &Path) -> Result<Started> {
    Started::with(directory, &[], &[("RATE_LIMIT_ENABLED", "false")]).await
}

/// Posts something; what is answered.
async fn post(kubesage: &Started, path: &str, body: &Value) -> Result<Value> {
    let request = client().post(kubesage.url(path)).header("X-API-Key", &kubesage.env["KUBESAGE_API_KEY"]);
    let answer = request.json(body).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status.is_success(), "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, work).await.context("it takes too long")?
}

/// The deployments that have a budget, each of the same name, once these are counted.
async fn guarded(administrator: &Administrator) -> Result<Guarded> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let guarded = |budget: &Value| {
        let (metadata, status) = (&budget["metadata"], &budget["status"]);
        let name = (text(&metadata["namespace"]), text(&metadata["name"]));
        (status["disruptionsAllowed"] == 1).then_some((name, status["desiredHealthy"].as_i64()?))
    };
    eventually_within(Duration::from_secs(30), "the budgets to be counted", async || {
        let budgets = administrator.items("/apis/policy/v1/poddisruptionbudgets").await.ok()?;
        budgets.iter().map(guarded).collect::<Option<Guarded>>().filter(|guarded| guarded.len() > 5)
    })
    .await
}

/// Asks the agent again and again, until it is told to stop, whether enough pods are ready; answers how often it was so.
fn watch(kubesage: &Started, guarded: &Guarded, stop: &CancellationToken) -> JoinHandle<Result<usize>> {
    let path = format!("/api/v3.0/cluster/deployments?agent_id={}", kubesage.env["KUBESAGE_AGENT_ID"]);
    let (url, key) = (kubesage.url(&path), kubesage.env["KUBESAGE_API_KEY"].clone());
    let (guarded, stop) = (guarded.clone(), stop.clone());
    tokio::spawn(async move {
        let mut looks = 0;
        while let Some(answer) = stop.run_until_cancelled(get(&url, &key)).await {
            let answer = answer?;
            let deployments = answer["deployments"].as_array().with_context(|| answer.to_string())?;
            for ((namespace, name), least) in &guarded {
                let is_it = |it: &&Value| it["namespace"] == **namespace && it["name"] == **name;
                let found = deployments.iter().find(is_it).with_context(|| format!("no {name}"))?;
                let ready = found["ready_replicas"].as_i64().context("a number")?;
                ensure!(ready >= *least, "{name} has {ready} ready pods, of {least} at least");
            }
            looks += 1;
        }
        Ok(looks)
    })
}

/// What the journal has learned, by the kind of it.
fn learned<'a>(journal: &'a [Value], what: &str) -> Result<&'a Value> {
    let outcomes = journal.iter().map(|entry| &entry["outcome"]);
    outcomes
        .rev()
        .find(|outcome| outcome["learned"] == what)
        .with_context(|| format!("no {what} in {journal:#?}"))
}

fn instance_type(node: &Value) -> &Value {
    &node["metadata"]["labels"]["node.kubernetes.io/instance-type"]
}

async fn group(administrator: &Administrator, name: &Value) -> Result<Value> {
    let groups = administrator.ask(Method::GET, "/simulator/v1/cloud/groups", None).await?;
    let mut found = groups.as_array().into_iter().flatten().filter(|group| group["name"] == *name);
    found.next().cloned().with_context(|| groups.to_string())
}

#[tokio::test]
async fn a_node_is_replaced_although_the_process_is_killed_in_between() -> Result<()> {
    let directory = TempDir::new()?;
    let mut first = start(directory.path()).await?;
    let administrator = Administrator::new(&directory.path().join("demo.kubeconfig"))?;
    let guarded = guarded(&administrator).await?;
    let selector = "/api/v1/nodes?labelSelector=node.kubernetes.io/instance-type=m5.xlarge";
    let old = administrator.items(selector).await?.pop().context("no such node")?;
    let old_name = old["metadata"]["name"].as_str().context("a name")?;
    let provider = old["spec"]["providerID"].as_str().context("it is an instance")?;
    let (zone, instance) =
        provider.trim_start_matches("aws:///").split_once('/').context(provider.to_owned())?;

    let added = post(&first, "/api/v1/lab/instances", &json!({
        "account_id": first.env["KUBESAGE_ACCOUNT_ID"], "instance_id": instance, "instance_type": "m5.xlarge",
        "availability_zone": zone, "pipeline_mode": "KUBERNETES", "is_shadow_mode": false,
        "cluster_membership": { "cluster_name": "shop" },
    }))
    .await?;
    let id = added["id"].as_str().context("an id")?;
    let stop = CancellationToken::new();
    let watching = watch(&first, &guarded, &stop);
    let begun = post(&first, &format!("/api/v1/lab/instances/{id}/evaluate"), &Value::Null).await?;
    let operation = begun["operation_id"].as_str().context("an id")?;
    let mut journal = Vec::new();
    in_time(async {
        let mut events = Events::of(&first, operation, None).await?;
        loop {
            let event = events.next().await?.with_context(|| format!("no drain: {journal:#?}"))?;
            let is_drain = event["what"] == "planned" && event["phase"] == "drain";
            journal.push(event);
            if is_drain {
                return Ok(());
            }
        }
    })
    .await?;
    stop.cancel();
    let before = watching.await??;
    first.process.kill().await?;

    let second = start(directory.path()).await?;
    let stop = CancellationToken::new();
    let watching = watch(&second, &guarded, &stop);
    in_time(async {
        let mut events =
            Events::of(&second, operation, journal.last().and_then(|it| it["seq"].as_u64())).await?;
        while let Some(event) = events.next().await? {
            journal.push(event);
        }
        Ok(())
    })
    .await?;
    stop.cancel();
    let after = watching.await??;
    ensure!(before > 10 && after > 10, "it was looked {before} and {after} times");

    let end = journal.last().context("no journal")?;
    ensure!(end["what"] == "ended" && end["ending"] == "succeeded", "{journal:#?}");
    ensure!(journal.iter().any(|event| event["what"] == "taken_over"), "{journal:#?}");
    // Nothing is missing or told twice.
    ensure!(journal.iter().enumerate().all(|(place, event)| event["seq"] == place), "{journal:#?}");
    let report =
        get(&second.url(&format!("/api/v1/operations/{operation}")), &second.env["KUBESAGE_API_KEY"]).await?;
    assert_eq!(report["state"], "succeeded");

    let nodes = administrator.items("/api/v1/nodes").await?;
    assert_eq!(nodes.iter().filter(|node| is_ready(node)).count(), 4);
    ensure!(nodes.len() == 4 && nodes.iter().all(|node| node["metadata"]["name"] != old_name), "{nodes:#?}");
    let launched = &learned(&journal, "launched")?["instance"];
    let joined = &learned(&journal, "joined")?["node"];
    let new = nodes.iter().find(|node| node["metadata"]["name"] == *joined).context("no new node")?;
    ensure!(
        new["spec"]["providerID"]
            .as_str()
            .is_some_and(|id| launched.as_str().is_some_and(|it| id.ends_with(it))),
        "{new}"
    );
    let bought = journal.iter().rev().find(|it| it["what"] == "planned" && it["phase"] == "scale_out");
    let bought = bought.with_context(|| format!("{journal:#?}"))?;
    assert_eq!(*instance_type(new), bought["action"]["instance_type"]);
    assert_ne!(instance_type(new), instance_type(&old));
    let then = &learned(&journal, "found")?["group"];
    assert_eq!(group(&administrator, &then["name"]).await?["desired"], then["desired"]);
    second.stop().await
}
