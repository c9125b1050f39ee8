use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_access::drain::{DrainError, DrainOptions, Fate, Note, Outcome};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node, ResourceQuota},
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use testkit::eventually_within;

use crate::stage::{PATIENCE, Stage, forbidden_list, of, why};

/// It is foreseen, and nothing is changed. Who insists sees the others go and the node opened again.
#[tokio::test]
async fn a_budget_that_never_allows_holds_up_no_others() -> Result<()> {
    let stage = Stage::new().await?;
    stage.held().await?;
    stage.run("Deployment", "web", 3).await?;

    let refused = stage.drain(&stage.options()).await;
    let Err(DrainError::Hopeless(forecast)) = refused else { panic!("{refused:?}") };
    let held = forecast.pods.iter().find(|pod| pod.pod.name.starts_with("held")).unwrap();
    ensure!(
        matches!(&held.notes[..], [Note::BudgetNeverAllows { budget }] if budget.name == "held"),
        "{held:?}"
    );
    ensure!(!forecast.is_refused() && !stage.is_cordoned().await?);

    let deadline = Duration::from_secs(10);
    let despite = DrainOptions { deadline, ..stage.despite() };
    let (report, told) = stage.told(&despite).await?;
    ensure!(report.outcome == Outcome::TimedOut && report.cordoned == Some(false), "{report:?}");
    ensure!(!stage.is_cordoned().await? && told.last().is_some_and(|last| last == "uncordoned"), "{told:?}");
    ensure!(of(&report, "web").iter().all(|pod| pod.fate == Fate::Evicted), "{report:?}");
    ensure!(why(&report, "held").contains("/held allowed no disruption"), "{report:?}");
    ensure!(told.iter().filter(|told| told.starts_with("blocked")).count() == 1, "{told:?}");
    stage.end().await
}

/// Each goes as soon as the one before is replaced: the watch says when, and none is asked for in vain.
#[tokio::test]
async fn pods_behind_one_budget_go_one_after_the_other() -> Result<()> {
    let stage = Stage::new().await?;
    stage.run("Deployment", "web", 4).await?;
    stage.budget("web", "web", json!({"maxUnavailable": 1})).await?;
    let report = stage.drain(&stage.options()).await?;
    ensure!(report.outcome == Outcome::Drained, "{report:?}");
    ensure!(report.pods.iter().all(|pod| pod.fate == Fate::Evicted), "{report:?}");
    let waited =
        report.pods.iter().filter(|pod| pod.budget.as_ref().is_some_and(|budget| budget.name == "web"));
    ensure!(waited.count() == 3, "{report:?}");
    stage.moved("web", 4).await?;
    stage.end().await
}

#[tokio::test]
async fn a_pod_with_two_budgets_is_foreseen() -> Result<()> {
    let stage = Stage::new().await?;
    stage.run("Deployment", "web", 1).await?;
    stage.budget("one", "web", json!({"maxUnavailable": 1})).await?;
    stage.budget("two", "web", json!({"maxUnavailable": 1})).await?;
    let forecast = stage.drainer().forecast(&stage.node, &stage.options()).await?;
    let [Note::SeveralBudgets { budgets }] = &forecast.pods[0].notes[..] else { panic!("{forecast:?}") };
    let names: Vec<&str> = budgets.iter().map(|budget| budget.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    // Asked nevertheless, the API server says the same, and the drain ends at once.
    let despite = stage.despite();
    let report = stage.drain(&despite).await?;
    ensure!(report.outcome == Outcome::Failed && !stage.is_cordoned().await?, "{report:?}");
    ensure!(why(&report, "web").contains("more than one PodDisruptionBudget"), "{report:?}");
    stage.end().await
}

/// As many pods as there are is what a budget may want only while one is missing: until it is back.
#[tokio::test]
async fn a_budget_with_a_pod_missing_allows_none_now() -> Result<()> {
    let stage = Stage::new().await?;
    stage.run("Deployment", "web", 2).await?;
    stage.budget("web", "web", json!({"minAvailable": 2})).await?;
    let notes = async || {
        let forecast = stage.drainer().forecast(&stage.node, &stage.options()).await.ok()?;
        Some(forecast.pods.first()?.notes.clone())
    };
    let never = notes().await.context("a forecast")?;
    ensure!(matches!(&never[..], [Note::BudgetNeverAllows { .. }]), "{never:?}");

    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "2"}}});
    stage.create(quota).await?;
    let quotas: Api<ResourceQuota> = stage.cluster.namespaced();
    eventually_within(PATIENCE, "the quota to be counted", async || {
        quotas.get("full").await.ok()?.status?.used?.get("pods").map(drop)
    })
    .await?;
    let deployments: Api<Deployment> = stage.cluster.namespaced();
    let three = Patch::Merge(json!({"spec": {"replicas": 3}}));
    deployments.patch("web", &PatchParams::default(), &three).await?;
    eventually_within(PATIENCE, "one to be missing", async || {
        matches!(&notes().await?[..], [Note::BudgetAllowsNoneNow { .. }]).then_some(())
    })
    .await?;
    stage.end().await
}

/// Simulated: a real cluster has other nodes.
#[tokio::test]
async fn where_there_is_no_other_node_nothing_runs_elsewhere() -> Result<()> {
    let stage = Stage::simulated().await?;
    stage.run("Deployment", "web", 1).await?;
    let sim = stage.cluster.sim().context("a simulator")?;
    let nodes: Api<Node> = Api::all(stage.cluster.client());
    nodes.delete(&stage.other, &DeleteParams::default()).await?;
    let forecast = stage.drainer().forecast(&stage.node, &stage.options()).await?;
    assert_eq!(forecast.pods[0].notes, [Note::NowhereElse]);
    // What may not be read is not known.
    sim.change_faults(|plan| plan.requests.push(forbidden_list("nodes")))?;
    let forecast = stage.drainer().forecast(&stage.node, &stage.options()).await?;
    ensure!(forecast.pods[0].notes.is_empty() && forecast.gaps.len() == 1, "{forecast:?}");
    Ok(())
}

#[tokio::test]
async fn what_takes_longer_or_runs_nowhere_else_is_foreseen() -> Result<()> {
    let stage = Stage::new().await?;
    stage.run("Deployment", "web", 1).await?;
    let mut pinned = stage.template("pinned");
    pinned["spec"]["nodeSelector"]["kubernetes.io/hostname"] = stage.node.as_str().into();
    stage.run_with("Deployment", "pinned", 1, pinned).await?;
    for (app, annotation, value) in [
        ("batch", "karpenter.sh/do-not-disrupt", "true"),
        ("cache", "cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
        ("any", "cluster-autoscaler.kubernetes.io/safe-to-evict", "true"),
    ] {
        let mut template = stage.template(app);
        template["metadata"]["annotations"] = json!({annotation: value});
        stage.run_with("Deployment", app, 1, template).await?;
    }
    let hasty = DrainOptions { deadline: Duration::from_secs(1), ..stage.options() };
    let forecast = stage.drainer().forecast(&stage.node, &hasty).await?;
    let notes =
        |app: &str| forecast.pods.iter().find(|pod| pod.pod.name.starts_with(app)).unwrap().notes.clone();
    assert_eq!(notes("web"), [Note::GraceBeyondDeadline { grace: 5 }]);
    assert_eq!(notes("pinned"), [Note::GraceBeyondDeadline { grace: 5 }, Note::NowhereElse]);
    let of_batch = notes("batch").iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    ensure!(
        of_batch.starts_with("it asks not to be moved by programs, by karpenter.sh/do-not-disrupt"),
        "{of_batch}"
    );
    let asks = |app| notes(app).iter().any(|note| matches!(note, Note::AsksToStay { .. }));
    ensure!(asks("batch") && asks("cache") && !asks("any") && !asks("web"), "{forecast:?}");
    ensure!(forecast.can_end_well());
    stage.end().await
}
