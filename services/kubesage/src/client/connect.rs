//! `kubesage connect`.

use std::{
    future::pending,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    path::Path,
    pin::pin,
    time::Duration,
};

use contracts::ErrorCode;
use futures_util::future::{FusedFuture, FutureExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::Interest,
    net::unix::pipe,
    select,
    time::{Instant, sleep_until},
};

use super::{
    ClientError,
    api::{Api, Service},
    args::{ConnectArgs, Format},
    output::{self, text},
};
use crate::data_dir::write_private;

const GENERATE: &str = "/api/v1/clusters/generate-install-script";
/// A key may ask 60 times a minute by default.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// The script ends when the agent is ready; what it has counted follows.
const AFTER_SCRIPT: Duration = Duration::from_secs(10);

/// What connecting a cluster answers.
#[derive(Deserialize)]
struct Installation {
    cluster_id: String,
    script: String,
}

pub(crate) async fn run(args: ConnectArgs) -> Result<(), ClientError> {
    let (api, out) = args.client.open()?;
    let (Installation { cluster_id, script }, before) = installation(&api, &args).await?;
    let is_pipe = hand_over(&args, &script)?;
    if args.timeout == 0 {
        return Ok(());
    }
    let awaited = Awaited { api: &api, cluster_id: &cluster_id, before };
    let verified = awaited.agent(Duration::from_secs(args.timeout), is_pipe).await?;
    if out.format == Format::Json && args.script.is_some() {
        return out.print_json(&verified);
    }
    let (nodes, pods) = (text(&verified["nodes_discovered"]), text(&verified["pods_discovered"]));
    output::tell(&format!("{} is connected: {nodes} nodes, {pods} pods. Its id is {cluster_id}.", args.name));
    Ok(())
}

/// A new cluster, or a new script for one of this name that is there already; and when that was connected last.
async fn installation(api: &Api, args: &ConnectArgs) -> Result<(Installation, Option<String>), ClientError> {
    let request = json!({"provider": args.provider, "cluster_name": args.name, "features": args.features});
    match api.post(Service::Onboarding, GENERATE, &request).await {
        Err(ClientError::Problem(problem)) if problem.code == ErrorCode::Conflict => {
            let cluster = api.cluster(&args.name).await?;
            output::tell(&format!("{} is known already; this is a new script for it.", args.name));
            let path = format!("/api/v1/clusters/{}", cluster.cluster_id);
            let change = json!({"provider": args.provider, "features": args.features});
            api.patch(&path, &change).await?;
            let path = format!("{path}/install-script");
            let renewed = api.post(Service::Onboarding, &path, &Value::Null).await?;
            Ok((renewed, cluster.connected_at))
        }
        made => Ok((made?, None)),
    }
}

/// Gives the script to a file, to the program at the other end of the pipe, or, where a person looks, to a file as well.
/// Answers whether it went through a pipe.
fn hand_over(args: &ConnectArgs, script: &str) -> Result<bool, ClientError> {
    let in_this_directory = format!("connect-{}.sh", file_name(&args.name));
    let path = match &args.script {
        Some(path) => Some(path.as_path()),
        None if io::stdout().is_terminal() => Some(Path::new(&in_this_directory)),
        None => None,
    };
    let Some(path) = path else {
        let mut out = io::stdout().lock();
        // `sh` at the other end runs the script's last line as soon as it is there, and does not wait for the end of the pipe.
        out.write_all(script.as_bytes()).and_then(|()| out.flush())?;
        return Ok(true);
    };
    // It holds a token: whatever had this name before is replaced, for its owner alone.
    let unwritable = |error: io::Error| ClientError::Usage(format!("{}: {error}", path.display()));
    write_private(path, script).map_err(unwritable)?;
    output::tell(&format!("Run this where kubectl reaches the cluster:\n\n  sh {}\n", path.display()));
    Ok(false)
}

/// What a shell takes as one word.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}

/// A cluster whose agent is waited for.
struct Awaited<'a> {
    api: &'a Api,
    cluster_id: &'a str,
    /// When it was connected before the script was made: an agent of that time is not the one that is waited for.
    before: Option<String>,
}

impl Awaited<'_> {
    /// Follows the cluster until its agent is there and has counted; tells each change. Through a pipe, the end of the script
    /// is the end of waiting, but for a moment.
    async fn agent(&self, patience: Duration, is_pipe: bool) -> Result<Value, ClientError> {
        let started = Instant::now();
        let mut ends_at = started + patience;
        let mut script = pin!(end_of_script(is_pipe).fuse());
        let mut told = String::new();
        loop {
            let says = match self.verify().await? {
                Ok(verified) => return Ok(verified),
                Err(says) => says,
            };
            if Instant::now() >= ends_at {
                return Err(ClientError::NotConnected { after: started.elapsed(), why: says });
            }
            if told != says {
                output::tell(&format!("… {says}"));
                told = says;
            }
            select! {
                () = sleep_until(ends_at.min(Instant::now() + ASK_EVERY)) => {}
                () = &mut script, if !script.is_terminated() => {
                    ends_at = ends_at.min(Instant::now() + AFTER_SCRIPT);
                }
            }
        }
    }

    /// The connected cluster, or what keeps it. Kubesage may be away for a while.
    async fn verify(&self) -> Result<Result<Value, String>, ClientError> {
        let path = format!("/api/v1/clusters/{}/verify-connection", self.cluster_id);
        let verified: Value = match self.api.post(Service::Onboarding, &path, &Value::Null).await {
            Ok(verified) => verified,
            Err(error @ ClientError::Unreachable { .. }) => return Ok(Err(error.to_string())),
            Err(ClientError::Problem(problem)) if problem.status >= 500 => {
                return Ok(Err(problem.detail.clone()));
            }
            Err(other) => return Err(other),
        };
        let is_new = self.before.as_deref() != verified["connected_at"].as_str();
        Ok(match (verified["connected"] == true, is_new, verified["pods_discovered"].is_number()) {
            (true, true, true) => Ok(verified),
            (true, true, false) => Err("the agent is connected, and counts nodes and pods".to_owned()),
            (true, false, _) => {
                Err("the agent of before is connected; the script has not been run yet".to_owned())
            }
            (false, ..) => Err(text(&verified["reason"]["detail"])),
        })
    }
}

/// Waits until nobody reads from the pipe any more; for ever where there is none.
async fn end_of_script(is_pipe: bool) {
    let sender = || pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?);
    if is_pipe && let Ok(stdout) = sender() {
        // Whatever is said of it, it is over.
        let _ = stdout.ready(Interest::ERROR).await;
        return;
    }
    pending().await
}
