//! `kubesage keys`.

use serde_json::Value;

use super::{
    ClientError,
    api::{Service, segment},
    args::{Format, KeysArgs, KeysCommand},
    output::{self, age, table, text},
};

pub(crate) async fn run(args: KeysArgs) -> Result<(), ClientError> {
    let (api, out) = args.client.open()?;
    let cluster = api.chosen_cluster(&args.cluster).await?;
    let path = format!("/api/v1/clusters/{}/agent-keys", cluster.cluster_id);
    match args.command.unwrap_or_default() {
        KeysCommand::List => out.print(&api.get(Service::Onboarding, &path, &[]).await?, list),
        KeysCommand::Create => {
            let made: Value = api.post(Service::Onboarding, &path, &Value::Null).await?;
            if out.format == Format::Json {
                return out.print_json(&made);
            }
            output::tell(&format!(
                "Key {} for the agent of {}, shown this once; it ends at {} unless it is used:",
                text(&made["id"]),
                cluster.cluster_name,
                text(&made["expires_at"])
            ));
            output::say(&text(&made["key"]))
        }
        KeysCommand::Revoke { key } if key.contains('.') => {
            Err(ClientError::Usage(format!("{key} is no id of a key; see: kubesage keys")))
        }
        KeysCommand::Revoke { key } => {
            api.delete(Service::Onboarding, &format!("{path}/{}", segment(&key))).await?;
            output::tell(&format!("Revoked {key}."));
            Ok(())
        }
    }
}

fn list(answer: &Value) -> comfy_table::Table {
    let mut table = table(["ID", "KEY", "AGE", "FIRST USED", "EXPIRES"]);
    for key in answer["agent_keys"].as_array().into_iter().flatten() {
        table.add_row([
            text(&key["id"]),
            text(&key["preview"]),
            age(&key["created_at"]),
            age(&key["first_used_at"]),
            text(&key["expires_at"]),
        ]);
    }
    table
}
