use anyhow::{Result, ensure};
use cluster_access::drain::{DrainError, DrainOptions, Fate, Outcome, Peculiarity, Verdict};
use serde_json::json;

use crate::stage::{Stage, of};

/// What would be lost is not evicted before somebody says so; then nothing at all is changed.
#[tokio::test]
async fn what_would_be_lost_needs_consent() -> Result<()> {
    let stage = Stage::new().await?;
    stage.run("Deployment", "web", 1).await?;
    stage.run("DaemonSet", "logs", 1).await?;
    let mut cache = stage.template("cache");
    cache["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    stage.run_with("Deployment", "cache", 1, cache).await?;
    let mut bare = stage.template("bare");
    bare["spec"]["nodeName"] = stage.node.as_str().into();
    bare["metadata"]["name"] = "bare".into();
    bare["apiVersion"] = "v1".into();
    bare["kind"] = "Pod".into();
    stage.create(bare).await?;

    let refused = stage.drain(&stage.options()).await;
    let Err(DrainError::Hopeless(forecast)) = refused else { panic!("{refused:?}") };
    let because = |app: &str| {
        let pod = forecast.pods.iter().find(|pod| pod.pod.name.starts_with(app)).unwrap();
        pod.verdict.clone()
    };
    for (app, peculiarity) in [
        ("logs", Peculiarity::DaemonSet),
        ("cache", Peculiarity::LocalData),
        ("bare", Peculiarity::NoController),
    ] {
        assert_eq!(because(app), Verdict::Refuse { because: peculiarity });
    }
    assert_eq!(because("web"), Verdict::Evict { although: Vec::new() });
    ensure!(!stage.is_cordoned().await?);
    // It is not what is foreseen that is overruled here.
    let despite = stage.despite();
    ensure!(matches!(stage.drain(&despite).await, Err(DrainError::Hopeless(_))));

    let consenting = DrainOptions {
        force: true,
        ignore_daemon_sets: true,
        delete_empty_dir_data: true,
        ..stage.options()
    };
    let report = stage.drain(&consenting).await?;
    ensure!(report.outcome == Outcome::Drained, "{report:?}");
    for (app, fate) in [
        ("logs", Fate::Stays { because: Peculiarity::DaemonSet }),
        ("cache", Fate::Evicted),
        ("bare", Fate::Evicted),
        ("web", Fate::Evicted),
    ] {
        ensure!(of(&report, app).iter().all(|pod| pod.fate == fate), "{report:?}");
    }
    stage.moved("web", 1).await?;
    stage.end().await
}
