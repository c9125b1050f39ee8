//! `kubesage clusters`.

use serde_json::Value;

use super::{
    ClientError,
    api::Service,
    args::{ClustersArgs, ClustersCommand},
    output::{self, age, fields, state, table, text},
    stored_clusters,
};

pub(crate) async fn run(args: ClustersArgs) -> Result<(), ClientError> {
    let (api, out) = args.client.open()?;
    match args.command.unwrap_or_default() {
        ClustersCommand::List { stored: true } => stored_clusters::list(&api, &out).await,
        ClustersCommand::Stored(command) => stored_clusters::run(&api, &out, command).await,
        ClustersCommand::List { stored: false } => out.print(&api.clusters().await?, list),
        ClustersCommand::Show { cluster } => {
            let path = format!("/api/v1/clusters/{}", api.cluster(&cluster).await?.cluster_id);
            out.print(&api.get(Service::Onboarding, &path, &[]).await?, show)
        }
        ClustersCommand::Verify { cluster } => {
            let id = api.cluster(&cluster).await?.cluster_id;
            let path = format!("/api/v1/clusters/{id}/verify-connection");
            let verified: Value = api.post(Service::Onboarding, &path, &Value::Null).await?;
            out.print(&verified, fields)
        }
        ClustersCommand::Delete { cluster } => {
            let found = api.cluster(&cluster).await?;
            let path = format!("/api/v1/clusters/{}", found.cluster_id);
            api.delete(Service::Onboarding, &path).await?;
            output::tell(&format!(
                "Deleted {}. To take the agent out of the cluster: curl -fsS {}/api/v1/install/uninstall.sh | sh",
                found.cluster_name,
                api.onboarding()
            ));
            Ok(())
        }
    }
}

fn list(answer: &Value) -> comfy_table::Table {
    let mut table = table(["NAME", "PROVIDER", "STATE", "KUBERNETES", "NODES", "PODS", "HEARTBEAT", "ID"]);
    for cluster in answer["clusters"].as_array().into_iter().flatten() {
        table.add_row([
            text(&cluster["cluster_name"]).into(),
            text(&cluster["provider"]).into(),
            state(&cluster["state"]),
            text(&cluster["kubernetes_version"]).into(),
            text(&cluster["nodes"]).into(),
            text(&cluster["pods"]).into(),
            age(&cluster["last_heartbeat"]).into(),
            text(&cluster["cluster_id"]).into(),
        ]);
    }
    table
}

fn show(cluster: &Value) -> comfy_table::Table {
    let mut table = fields(cluster);
    for step in cluster["next_steps"].as_array().into_iter().flatten() {
        let done = if step["done"] == true { "done" } else { "to do" };
        table.add_row([
            format!("next: {}", text(&step["step"])),
            format!("{done}: {}", text(&step["detail"])),
        ]);
    }
    table
}
