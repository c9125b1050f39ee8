//! Agents that an install script puts into the simulated cluster. No container runs there; in its place runs the agent
//! itself, with the environment, the rights and the readiness of its container.

use std::{io::Write, path::PathBuf, time::Duration};

use agent::{Agent, Settings};
use sim::{Programs, Run};
use tempfile::NamedTempFile;
use web::{Readiness, process::Failure};

/// The agent's images, at whatever tag.
const REPOSITORY: &str = "kubesage/agent";
/// How often its readiness is probed.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// The agent, for a simulated cluster.
pub(crate) fn programs() -> Programs {
    Programs::default().with(REPOSITORY, |run| async move {
        if let Err(error) = serve(&run).await {
            run.log(format!("the agent cannot start: {error}"));
        }
    })
}

async fn serve(run: &Run) -> Result<(), Failure> {
    let mut kubeconfig = NamedTempFile::new()?;
    kubeconfig.write_all(run.kubeconfig.as_bytes())?;
    let agent = Agent::new(settings(run, kubeconfig.path().to_owned()).check()?).await?;
    let readiness = agent.readiness();
    run.log("the agent has started (in the process of the simulated cluster)");
    tokio::select! {
        () = agent.run(run.stop.clone()) => {}
        () = probe(run, &readiness) => {}
    }
    Ok(())
}

fn settings(run: &Run, kubeconfig: PathBuf) -> Settings {
    let variable = |name: &str| run.environment.get(name).cloned();
    let needed = |name: &str| variable(name).unwrap_or_default();
    Settings {
        api_endpoint: needed("API_ENDPOINT"),
        agent_id: needed("AGENT_ID"),
        cluster_id: needed("CLUSTER_ID"),
        api_key: needed("API_KEY").into(),
        cluster_name: variable("CLUSTER_NAME"),
        allow_insecure_endpoint: variable("ALLOW_INSECURE_ENDPOINT").as_deref() == Some("true"),
        // What is mounted into the container is not to be found here.
        api_ca_file: None,
        https_proxy: variable("HTTPS_PROXY").map(Into::into),
        no_proxy: variable("NO_PROXY"),
        kubeconfig: Some(kubeconfig),
        context: None,
    }
}

/// Probes as a kubelet does, and tells in the log what has changed; ends only by being dropped.
async fn probe(run: &Run, readiness: &Readiness) {
    let mut told = None;
    loop {
        let health = readiness.health().await;
        run.set_ready(health.is_ok());
        let checks: Vec<String> = health.checks.iter().map(|(name, is)| format!("{name}: {is}")).collect();
        let said = checks.join("; ");
        if told.as_ref() != Some(&said) {
            run.log(&*said);
            told = Some(said);
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
}
