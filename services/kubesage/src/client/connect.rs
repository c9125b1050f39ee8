//! `kubesage connect`.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use contracts::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    ClientError,
    api::Api,
    args::{ConnectArgs, Format},
    output::{self, text},
};

const GENERATE: &str = "/api/v1/clusters/generate-install-script";
/// A key may ask 60 times a minute by default.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// What connecting a cluster answers.
#[derive(Deserialize)]
struct Installation {
    cluster_id: String,
    script: String,
}

pub(crate) async fn run(args: ConnectArgs) -> Result<(), ClientError> {
    let (api, out) = args.client.open()?;
    let Installation { cluster_id, script } = installation(&api, &args).await?;
    hand_over(&args, &script)?;
    if args.timeout == 0 {
        return Ok(());
    }
    let verified = await_agent(&api, &cluster_id, Duration::from_secs(args.timeout)).await?;
    if out.format == Format::Json && args.script.is_some() {
        return out.print_json(&verified);
    }
    let (nodes, pods) = (text(&verified["nodes_discovered"]), text(&verified["pods_discovered"]));
    output::tell(&format!("{} is connected: {nodes} nodes, {pods} pods. Its id is {cluster_id}.", args.name));
    Ok(())
}

/// A new cluster, or a new script for one of this name that is there already.
async fn installation(api: &Api, args: &ConnectArgs) -> Result<Installation, ClientError> {
    let request = json!({"provider": args.provider, "cluster_name": args.name, "features": args.features});
    match api.post(GENERATE, &request).await {
        Err(ClientError::Problem(problem)) if problem.code == ErrorCode::Conflict => {
            let cluster = api.cluster(&args.name).await?;
            output::tell(&format!("{} is known already; this is a new script for it.", args.name));
            api.post(&format!("/api/v1/clusters/{}/install-script", cluster.cluster_id), &Value::Null).await
        }
        made => made,
    }
}

/// Gives the script to a file, to the program at the other end of the pipe, or, where a person looks, to a file as well.
fn hand_over(args: &ConnectArgs, script: &str) -> Result<(), ClientError> {
    let in_this_directory = format!("connect-{}.sh", file_name(&args.name));
    let path = match &args.script {
        Some(path) => Some(path.as_path()),
        None if io::stdout().is_terminal() => Some(Path::new(&in_this_directory)),
        None => None,
    };
    let Some(path) = path else {
        let mut out = io::stdout().lock();
        // `sh` at the other end runs the script's last line as soon as it is there, and does not wait for the end of the pipe.
        return Ok(out.write_all(script.as_bytes()).and_then(|()| out.flush())?);
    };
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o700).open(path)?;
    file.write_all(script.as_bytes())?;
    output::tell(&format!("Run this where kubectl reaches the cluster:\n\n  sh {}\n", path.display()));
    Ok(())
}

/// What a shell takes as one word.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}

/// Follows the cluster until its agent is there and has counted; tells each change.
async fn await_agent(api: &Api, cluster_id: &str, patience: Duration) -> Result<Value, ClientError> {
    let path = format!("/api/v1/clusters/{cluster_id}/verify-connection");
    let started = Instant::now();
    let mut told = String::new();
    loop {
        let verified: Value = api.post(&path, &Value::Null).await?;
        let is_connected = verified["connected"] == true;
        if is_connected && verified["pods_discovered"].is_number() {
            return Ok(verified);
        }
        let says = if is_connected {
            "the agent is connected, and counts nodes and pods".to_owned()
        } else {
            text(&verified["reason"]["detail"])
        };
        if started.elapsed() >= patience {
            return Err(ClientError::NotConnected { after: patience, why: says });
        }
        if told != says {
            output::tell(&format!("… {says}"));
            told = says;
        }
        sleep(ASK_EVERY.min(patience.saturating_sub(started.elapsed()))).await;
    }
}
