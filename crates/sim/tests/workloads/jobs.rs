//! Jobs: completions, failures, deadlines, indexes. Where a test says how a pod fares, the pod finds no node, so that no
//! kubelet has another opinion.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{self, Objects, condition};

/// A real node must find the command in it.
const IMAGE: &str = "registry.k8s.io/e2e-test-images/busybox:1.36.1-1";
const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

fn job(name: &str, spec: &Value) -> Value {
    let mut job = json!({ "metadata": { "name": name }, "spec": spec });
    job["spec"]["template"] = json!({
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": IMAGE, "command": ["true"] }],
        },
    });
    job
}

/// A job whose pods wait for ever.
fn waiting_job(name: &str, spec: &Value) -> Value {
    let mut job = job(name, spec);
    job["spec"]["template"]["spec"]["nodeSelector"] = common::nowhere();
    job
}

fn jobs(cluster: &Cluster) -> Objects {
    Objects::of(cluster, "batch/v1", "Job")
}

/// The pods of a job.
async fn pods_of(cluster: &Cluster, name: &str) -> Result<Vec<Value>> {
    Objects::of(cluster, "v1", "Pod").list(&format!("batch.kubernetes.io/job-name={name}")).await
}

/// The name of the job's pod that has not failed.
async fn pod_at_work(cluster: &Cluster, job: &str) -> Result<String> {
    let pods = pods_of(cluster, job).await?;
    let pod = pods.iter().find(|pod| pod["status"]["phase"] == "Pending").context("a pod")?;
    Ok(pod["metadata"]["name"].as_str().context("a name")?.to_owned())
}

/// Says that a pod has failed, as its kubelet would.
async fn fail(cluster: &Cluster, pod: &str) -> Result<()> {
    let pods: Api<Pod> = cluster.namespaced();
    let failed = Patch::Merge(json!({ "status": { "phase": "Failed" } }));
    pods.patch_status(pod, &PatchParams::default(), &failed).await?;
    Ok(())
}

/// As the recorded story tells it.
#[tokio::test]
async fn a_job_completes() -> Result<()> {
    let cluster = common::cluster().await?;
    let jobs = jobs(&cluster);
    jobs.create(job("plan", &json!({ "backoffLimit": 0 }))).await?;
    let done = jobs.until("plan", |job| condition(job, "Complete")["status"] == "True").await?;
    let mut status = done["status"].clone();
    for time in ["startTime", "completionTime"] {
        assert!(status[time].take().is_string(), "{done:#}");
    }
    let mut types = Vec::new();
    for condition in status["conditions"].take().as_array().context("conditions")? {
        assert_eq!(condition["reason"], "CompletionsReached");
        assert_eq!(condition["message"], "Reached expected number of succeeded pods");
        types.push(condition["type"].clone());
    }
    assert_eq!(types, ["SuccessCriteriaMet", "Complete"]);
    let expected = json!({
        "conditions": null, "startTime": null, "completionTime": null,
        "succeeded": 1, "terminating": 0, "uncountedTerminatedPods": {}, "ready": 0,
    });
    assert_eq!(status, expected);
    let pods = pods_of(&cluster, "plan").await?;
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["metadata"]["finalizers"], Value::Null, "it is counted");
    common::until_told(&cluster, "Job", "plan", "SuccessfulCreate", "Created pod: plan-").await?;
    common::until_told(&cluster, "Job", "plan", "Completed", "Job completed").await?;
    Ok(())
}

#[tokio::test]
async fn a_job_has_so_many_pods_at_a_time() -> Result<()> {
    let cluster = common::cluster().await?;
    let jobs = jobs(&cluster);
    jobs.create(job("many", &json!({ "parallelism": 2, "completions": 5 }))).await?;
    let done = jobs
        .until("many", |job| {
            assert!(job["status"]["active"].as_i64().unwrap_or_default() <= 2);
            condition(job, "Complete")["status"] == "True"
        })
        .await?;
    assert_eq!(done["status"]["succeeded"], 5);
    assert_eq!(pods_of(&cluster, "many").await?.len(), 5);
    Ok(())
}

#[tokio::test]
async fn failures_count_up_to_the_limit_with_patience() -> Result<()> {
    let cluster = common::cluster().await?;
    let jobs = jobs(&cluster);
    jobs.create(waiting_job("bad", &json!({ "backoffLimit": 1 }))).await?;
    jobs.until("bad", |job| job["status"]["active"] == 1).await?;
    fail(&cluster, &pod_at_work(&cluster, "bad").await?).await?;
    let first = jobs.until("bad", |job| job["status"]["failed"] == 1).await?;
    assert!(condition(&first, "Failed").is_null());
    assert_eq!(pods_of(&cluster, "bad").await?.len(), 1, "the next one waits");
    cluster.pass(Duration::from_secs(11)).await;
    jobs.until("bad", |job| job["status"]["active"] == 1).await?;
    fail(&cluster, &pod_at_work(&cluster, "bad").await?).await?;
    let failed = jobs.until("bad", |job| condition(job, "Failed")["status"] == "True").await?;
    for kind in ["FailureTarget", "Failed"] {
        assert_eq!(condition(&failed, kind)["reason"], "BackoffLimitExceeded");
        assert_eq!(condition(&failed, kind)["message"], "Job has reached the specified backoff limit");
    }
    assert_eq!(failed["status"]["failed"], 2);
    common::until_told(&cluster, "Job", "bad", "BackoffLimitExceeded", "Job has reached").await?;
    Ok(())
}

#[tokio::test]
async fn a_job_that_takes_too_long_fails() -> Result<()> {
    let cluster = common::cluster().await?;
    let jobs = jobs(&cluster);
    jobs.create(waiting_job("slow", &json!({ "activeDeadlineSeconds": 10 }))).await?;
    jobs.until("slow", |job| job["status"]["active"] == 1).await?;
    cluster.pass(Duration::from_secs(11)).await;
    let failed = jobs.until("slow", |job| condition(job, "Failed")["status"] == "True").await?;
    assert_eq!(condition(&failed, "Failed")["reason"], "DeadlineExceeded");
    assert_eq!(condition(&failed, "Failed")["message"], "Job was active longer than specified deadline");
    assert_eq!((&failed["status"]["active"], &failed["status"]["failed"]), (&Value::Null, &json!(1)));
    Ok(())
}

#[tokio::test]
async fn a_suspended_job_has_no_pods() -> Result<()> {
    let cluster = common::cluster().await?;
    let jobs = jobs(&cluster);
    jobs.create(job("later", &json!({ "suspend": true }))).await?;
    let suspended = jobs.until("later", |job| condition(job, "Suspended")["status"] == "True").await?;
    assert_eq!(condition(&suspended, "Suspended")["reason"], "JobSuspended");
    assert_eq!(suspended["status"]["startTime"], Value::Null);
    assert!(pods_of(&cluster, "later").await?.is_empty());
    jobs.patch("later", json!({ "spec": { "suspend": false } })).await?;
    let done = jobs.until("later", |job| condition(job, "Complete")["status"] == "True").await?;
    assert_eq!(condition(&done, "Suspended")["reason"], "JobResumed");
    Ok(())
}

#[tokio::test]
async fn each_index_is_done_once() -> Result<()> {
    let cluster = common::cluster().await?;
    let jobs = jobs(&cluster);
    let spec = json!({ "completionMode": "Indexed", "completions": 4, "parallelism": 3 });
    jobs.create(job("shards", &spec)).await?;
    let done = jobs.until("shards", |job| condition(job, "Complete")["status"] == "True").await?;
    assert_eq!(
        (&done["status"]["completedIndexes"], &done["status"]["succeeded"]),
        (&json!("0-3"), &json!(4))
    );
    let pods = pods_of(&cluster, "shards").await?;
    let index = "batch.kubernetes.io/job-completion-index";
    let mut indexes: Vec<_> = pods.iter().map(|pod| pod["metadata"]["annotations"][index].as_str()).collect();
    indexes.sort();
    assert_eq!(indexes, [Some("0"), Some("1"), Some("2"), Some("3")]);
    for pod in &pods {
        let number = pod["metadata"]["labels"][index].as_str().context("a label")?;
        assert_eq!(pod["spec"]["hostname"], format!("shards-{number}"));
        assert_eq!(pod["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
    }
    Ok(())
}

#[tokio::test]
async fn a_finished_job_goes_after_its_time() -> Result<()> {
    let cluster = common::cluster().await?;
    let jobs = jobs(&cluster);
    jobs.create(job("brief", &json!({ "ttlSecondsAfterFinished": 30 }))).await?;
    jobs.until("brief", |job| condition(job, "Complete")["status"] == "True").await?;
    cluster.pass(Duration::from_secs(15)).await;
    assert!(jobs.find("brief").await?.is_some());
    cluster.pass(Duration::from_secs(16)).await;
    jobs.until_gone("brief").await
}

#[tokio::test]
async fn the_pods_of_a_deleted_job_go_with_it() -> Result<()> {
    let cluster = common::cluster().await?;
    let (jobs, pods) = (jobs(&cluster), Objects::of(&cluster, "v1", "Pod"));
    for (name, policy) in [("fore", PropagationPolicy::Foreground), ("back", PropagationPolicy::Background)] {
        jobs.create(waiting_job(name, &json!({}))).await?;
        jobs.until(name, |job| job["status"]["active"] == 1).await?;
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        jobs.delete(name, &params).await?;
        jobs.until_gone(name).await?;
        pods.until_all(&format!("batch.kubernetes.io/job-name={name}"), <[Value]>::is_empty).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_pod_counts_as_failed_and_is_replaced() -> Result<()> {
    let cluster = common::cluster().await?;
    let (jobs, pods) = (jobs(&cluster), Objects::of(&cluster, "v1", "Pod"));
    jobs.create(waiting_job("long", &json!({}))).await?;
    jobs.until("long", |job| job["status"]["active"] == 1).await?;
    let name = pod_at_work(&cluster, "long").await?;
    assert_eq!(pods.get(&name).await?["metadata"]["finalizers"], json!([FINALIZER]));
    pods.delete(&name, &DeleteParams::default()).await?;
    pods.until_gone(&name).await?;
    jobs.until("long", |job| job["status"]["failed"] == 1).await?;
    cluster.pass(Duration::from_secs(11)).await;
    jobs.until("long", |job| job["status"]["active"] == 1 && job["status"]["failed"] == 1).await?;
    Ok(())
}
