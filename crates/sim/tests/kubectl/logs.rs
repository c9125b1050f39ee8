use anyhow::{Result, ensure};

use crate::common::{Kubectl, has, tests};

// The nodes of a real cluster for tests may be stand-ins, which have no logs.
tests! { "logs" on Simulator:
    of_a_pod,
    the_last_lines,
    of_one_container,
    of_a_workload,
    that_go_on,
    of_a_container_before,
}

async fn of_a_pod(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    ensure!(!kubectl.ok(&["logs", "solo"]).await?.is_empty(), "it says something");
    let error = kubectl.fails(&["logs", "absent"]).await?;
    has(&error, &["error: error from server (NotFound): pods \"absent\" not found"])
}

async fn the_last_lines(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    let all = kubectl.ok(&["logs", "solo"]).await?;
    let last = kubectl.ok(&["logs", "solo", "--tail=1"]).await?;
    assert_eq!(all.lines().last(), last.lines().last());
    assert_eq!(last.lines().count(), 1);
    let stamped = kubectl.ok(&["logs", "solo", "--tail=1", "--timestamps"]).await?;
    ensure!(stamped.len() > last.len() && stamped.contains('Z'), "{stamped}");
    assert_eq!(kubectl.ok(&["logs", "solo", "--limit-bytes=5"]).await?.len(), 5);
    Ok(())
}

async fn of_one_container(kubectl: Kubectl) -> Result<()> {
    kubectl
        .apply(
            "apiVersion: v1
kind: Pod
metadata: {name: pair}
spec:
  containers:
  - {name: one, image: 'a:1'}
  - {name: two, image: 'b:1'}
",
        )
        .await?;
    kubectl.ok(&["wait", "--for=condition=Ready", "pod/pair", "--timeout=30s"]).await?;
    ensure!(!kubectl.ok(&["logs", "pair", "-c", "two"]).await?.is_empty(), "it says something");
    let said = kubectl.say(&["logs", "pair"]).await?;
    has(&said.err, &["Defaulted container \"one\" out of: one, two"])?;
    let error = kubectl.fails(&["logs", "pair", "-c", "three"]).await?;
    has(&error, &["container three is not valid for pod pair"])
}

async fn of_a_workload(kubectl: Kubectl) -> Result<()> {
    kubectl.deployment("web", 2).await?;
    has(&kubectl.say(&["logs", "deployment/web"]).await?.err, &["Found 2 pods, using pod/web-"])?;
    has(&kubectl.ok(&["logs", "-l", "app=web", "--prefix"]).await?, &["[pod/web-", "/main]"])
}

async fn that_go_on(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    let first = kubectl.ok(&["logs", "solo"]).await?;
    let first = first.lines().next().unwrap_or_default();
    let mut logs = kubectl.follow(&["logs", "-f", "solo"])?;
    logs.until(first).await?;
    Ok(())
}

async fn of_a_container_before(kubectl: Kubectl) -> Result<()> {
    kubectl.pod("solo").await?;
    let error = kubectl.fails(&["logs", "solo", "--previous"]).await?;
    has(&error, &["previous terminated container \"solo\" in pod \"solo\" not found"])
}
