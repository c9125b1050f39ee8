//! Cron jobs, whose clock only a simulator can move.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::Cluster;

use crate::common::{self, Objects, condition};

fn cron_job(name: &str, policy: &str, run_seconds: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "schedule": "*/5 * * * *",
            "concurrencyPolicy": policy,
            "successfulJobsHistoryLimit": 2,
            "jobTemplate": { "metadata": { "labels": { "cron": name } }, "spec": { "template": {
                "metadata": { "annotations": { "sim.kubesage.io/run-seconds": run_seconds } },
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{ "name": "main", "image": "registry.k8s.io/pause:3.10" }],
                },
            } } },
        },
    })
}

fn advance(cluster: &Cluster, minutes: u64) -> Result<()> {
    cluster.sim().context("a simulator")?.api().clock().advance(Duration::from_secs(60 * minutes));
    Ok(())
}

fn complete(jobs: &[Value]) -> usize {
    jobs.iter().filter(|job| condition(job, "Complete")["status"] == "True").count()
}

#[tokio::test]
async fn jobs_are_made_when_they_are_due_and_the_last_ones_kept() -> Result<()> {
    let cluster = common::simulated().await?;
    let crons = Objects::of(&cluster, "batch/v1", "CronJob");
    let jobs = Objects::of(&cluster, "batch/v1", "Job");
    crons.create(cron_job("report", "Allow", "0")).await?;
    let mut last = Vec::new();
    for _ in 0..4 {
        advance(&cluster, 5)?;
        let is_next = |jobs: &[Value]| {
            jobs.len() <= 2 && complete(jobs) == jobs.len() && !jobs.is_empty() && common::names(jobs) != last
        };
        last = common::names(&jobs.until_all("cron=report", is_next).await?);
    }
    jobs.until_all("cron=report", |jobs| complete(jobs) == 2 && jobs.len() == 2).await?;
    let job = jobs.get(&last[0]).await?;
    assert_eq!(job["metadata"]["ownerReferences"][0]["kind"], "CronJob");
    assert!(job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].is_string());
    let cron = crons.until("report", |cron| cron["status"]["lastSuccessfulTime"].is_string()).await?;
    assert!(cron["status"]["lastScheduleTime"].is_string());
    common::until_told(&cluster, "CronJob", "report", "SuccessfulCreate", "Created job report-").await?;
    Ok(())
}

/// With a job at work, the next one is another one, none, or takes its place.
#[tokio::test]
async fn jobs_at_work_are_treated_as_asked() -> Result<()> {
    let cluster = common::simulated().await?;
    let crons = Objects::of(&cluster, "batch/v1", "CronJob");
    let jobs = Objects::of(&cluster, "batch/v1", "Job");
    for (name, policy) in [("allow", "Allow"), ("forbid", "Forbid"), ("replace", "Replace")] {
        crons.create(cron_job(name, policy, "100000")).await?;
    }
    advance(&cluster, 5)?;
    let mut first = Vec::new();
    for name in ["allow", "forbid", "replace"] {
        let all = jobs.until_all(&format!("cron={name}"), |jobs| jobs.len() == 1).await?;
        first.extend(common::names(&all));
        crons.until(name, |cron| cron["status"]["active"][0]["name"] == all[0]["metadata"]["name"]).await?;
    }
    advance(&cluster, 5)?;
    jobs.until_all("cron=allow", |jobs| jobs.len() == 2).await?;
    common::until_told(&cluster, "CronJob", "forbid", "JobAlreadyActive", "Not starting job").await?;
    assert_eq!(common::names(&jobs.list("cron=forbid").await?), first[1..2]);
    jobs.until_all("cron=replace", |jobs| jobs.len() == 1 && common::names(jobs) != first[2..3]).await?;
    Ok(())
}

#[tokio::test]
async fn a_suspended_cron_job_makes_nothing() -> Result<()> {
    let cluster = common::simulated().await?;
    let crons = Objects::of(&cluster, "batch/v1", "CronJob");
    let jobs = Objects::of(&cluster, "batch/v1", "Job");
    let mut wanted = cron_job("report", "Allow", "0");
    wanted["spec"]["suspend"] = true.into();
    crons.create(wanted).await?;
    crons.create(cron_job("other", "Allow", "0")).await?;
    advance(&cluster, 20)?;
    jobs.until_all("cron=other", |jobs| complete(jobs) == 1).await?;
    assert!(jobs.list("cron=report").await?.is_empty());
    // Times missed while it slept come as one.
    crons.patch("report", json!({ "spec": { "suspend": false } })).await?;
    jobs.until_all("cron=report", |jobs| complete(jobs) == 1).await?;
    Ok(())
}
