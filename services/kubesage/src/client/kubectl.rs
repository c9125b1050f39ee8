//! `kubesage kubectl`.

use std::{process::ExitCode, time::Duration};

use serde_json::{Value, json};

use super::{
    ClientError,
    api::Service,
    args::{Format, KubectlArgs},
    output,
    stored_clusters::{self, StoredCluster},
};

/// Longer than a command may run by any setting of the service.
const TIMEOUT: Duration = Duration::from_secs(660);
/// As `timeout` of coreutils ends, where the command took too long.
const TIMED_OUT: u8 = 124;

/// Ends as kubectl has ended.
pub(crate) async fn run(args: KubectlArgs) -> Result<ExitCode, ClientError> {
    let (api, out) = args.client.open()?;
    let StoredCluster { id, cluster_name, .. } =
        stored_clusters::chosen(&api, args.cluster.as_deref()).await?;
    if args.cluster.is_none() {
        // It may have been made the active one elsewhere.
        output::tell(&format!("On {cluster_name}, the active cluster:"));
    }
    let request = json!({"command": line(&args.command)?});
    let path = format!("/execute-kubectl-direct/{id}");
    let ran: Value =
        api.post_with(Service::Cluster, &path, &[], |post| post.json(&request).timeout(TIMEOUT)).await?;
    match out.format {
        Format::Json => out.print_json(&ran)?,
        Format::Table => show(&ran)?,
    }
    Ok(exit_code(&ran).into())
}

fn show(ran: &Value) -> Result<(), ClientError> {
    output::put(ran["output"].as_str().unwrap_or_default())?;
    output::tell_as_is(ran["error"].as_str().unwrap_or_default());
    if ran["truncated"] == true {
        output::tell(
            "kubectl printed more than Kubesage keeps (setting KUBECTL_MAX_OUTPUT_KIB of the cluster service); ask for less, as \
             with -l, -n or --tail.",
        );
    }
    if ran["timed_out"] == true {
        let seconds = ran["duration_ms"].as_u64().unwrap_or_default() / 1000;
        output::tell(&format!(
            "kubectl was killed after {seconds} s (setting KUBECTL_TIMEOUT of the cluster service)."
        ));
    }
    Ok(())
}

fn exit_code(ran: &Value) -> u8 {
    match ran["exit_code"].as_i64() {
        Some(code) => u8::try_from(code).unwrap_or(1),
        None if ran["timed_out"] == true => TIMED_OUT,
        None => 1,
    }
}

/// The words as one line, which the service splits as a shell does.
fn line(words: &[String]) -> Result<String, ClientError> {
    shlex::try_join(words.iter().map(String::as_str))
        .map_err(|_| ClientError::Usage("the command holds a NUL".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_as_kubectl_has_ended() {
        for (ran, expected) in [
            (json!({"exit_code": 0}), 0),
            (json!({"exit_code": 2}), 2),
            (json!({"exit_code": -1}), 1),
            (json!({"exit_code": null, "timed_out": true}), 124),
            (json!({"exit_code": null}), 1),
        ] {
            assert_eq!(exit_code(&ran), expected, "{ran}");
        }
    }
}
