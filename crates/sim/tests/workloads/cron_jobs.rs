//! Cron jobs, each minute. In a real cluster these tests take minutes.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::common::{self, Objects, condition};

const MINUTE: Duration = Duration::from_secs(60);

fn cron_job(name: &str, policy: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "schedule": "* * * * *",
            "concurrencyPolicy": policy,
            "successfulJobsHistoryLimit": 1,
            "jobTemplate": { "metadata": { "labels": { "cron": name } }, "spec": { "template": { "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "containers": [{ "name": "main", "image": "registry.k8s.io/pause:3.10" }],
            } } } },
        },
    })
}

fn complete(jobs: &[Value]) -> usize {
    jobs.iter().filter(|job| condition(job, "Complete")["status"] == "True").count()
}

#[tokio::test]
async fn jobs_are_made_when_they_are_due_and_the_last_one_is_kept() -> Result<()> {
    let cluster = common::cluster().await?;
    let crons = Objects::of(&cluster, "batch/v1", "CronJob");
    let jobs = Objects::of(&cluster, "batch/v1", "Job");
    crons.create(cron_job("report", "Allow")).await?;
    let mut last = Vec::new();
    for _ in 0..2 {
        cluster.pass(MINUTE).await;
        let is_next = |jobs: &[Value]| complete(jobs) == 1 && jobs.len() == 1 && common::names(jobs) != last;
        last = common::names(&jobs.until_all("cron=report", is_next).await?);
    }
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
    let cluster = common::cluster().await?;
    let crons = Objects::of(&cluster, "batch/v1", "CronJob");
    let jobs = Objects::of(&cluster, "batch/v1", "Job");
    for (name, policy) in [("allow", "Allow"), ("forbid", "Forbid"), ("replace", "Replace")] {
        let mut cron = cron_job(name, policy);
        cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["nodeSelector"] = common::nowhere();
        crons.create(cron).await?;
    }
    cluster.pass(MINUTE).await;
    let mut first = Vec::new();
    for name in ["allow", "forbid", "replace"] {
        let all = jobs.until_all(&format!("cron={name}"), |jobs| !jobs.is_empty()).await?;
        first.push(common::names(&all).remove(0));
        crons.until(name, |cron| cron["status"]["active"][0]["kind"] == "Job").await?;
    }
    cluster.pass(MINUTE).await;
    jobs.until_all("cron=allow", |jobs| jobs.len() >= 2 && common::names(jobs).contains(&first[0])).await?;
    common::until_told(&cluster, "CronJob", "forbid", "JobAlreadyActive", "Not starting job").await?;
    assert_eq!(common::names(&jobs.list("cron=forbid").await?), first[1..2]);
    jobs.until_all("cron=replace", |jobs| jobs.len() == 1 && common::names(jobs) != first[2..]).await?;
    Ok(())
}

#[tokio::test]
async fn a_suspended_cron_job_makes_nothing() -> Result<()> {
    let cluster = common::cluster().await?;
    let crons = Objects::of(&cluster, "batch/v1", "CronJob");
    let jobs = Objects::of(&cluster, "batch/v1", "Job");
    let mut wanted = cron_job("report", "Allow");
    wanted["spec"]["suspend"] = true.into();
    crons.create(wanted).await?;
    crons.create(cron_job("other", "Allow")).await?;
    cluster.pass(2 * MINUTE).await;
    jobs.until_all("cron=other", |jobs| complete(jobs) == 1).await?;
    assert!(jobs.list("cron=report").await?.is_empty());
    // Times missed while it slept come as one.
    crons.patch("report", json!({ "spec": { "suspend": false } })).await?;
    jobs.until_all("cron=report", |jobs| complete(jobs) == 1 && jobs.len() == 1).await?;
    Ok(())
}
