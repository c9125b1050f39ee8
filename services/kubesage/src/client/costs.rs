//! `kubesage costs`.

use serde_json::{Value, json};

use super::{
    ClientError,
    api::Service,
    args::{CostsArgs, CostsCommand},
    output::{self, table, text},
};

pub(crate) async fn run(args: CostsArgs) -> Result<(), ClientError> {
    let (api, out) = args.client.open()?;
    let cluster = api.chosen_cluster(&args.cluster).await?;
    let path = format!("/api/v1/clusters/{}", cluster.cluster_id);
    match args.command.unwrap_or_default() {
        CostsCommand::Show => {
            let costs: Value = api.get(Service::Onboarding, &format!("{path}/costs"), &[]).await?;
            for rate in costs["unknown"].as_array().into_iter().flatten() {
                let rate = text(rate);
                output::tell(&format!(
                    "{rate} is unknown, and so not counted; see: kubesage costs set --help"
                ));
            }
            out.print(&costs, show)
        }
        CostsCommand::Set { cpu, memory, storage, ingress, egress } => {
            let rates = json!({"cpu_cost": cpu, "memory_cost": memory, "storage_cost": storage,
                               "ingress_cost": ingress, "egress_cost": egress});
            let path = format!("{path}/resource-costs");
            let _: Value = api.post(Service::Onboarding, &path, &rates).await?;
            output::tell(&format!("Entered for {}.", cluster.cluster_name));
            Ok(())
        }
    }
}

fn show(costs: &Value) -> comfy_table::Table {
    let mut table = table(["NAMESPACE", "CPU", "MEMORY GIB", "$/HOUR", "$/MONTH"]);
    let mut row = |name: String, part: &Value| {
        let cells = ["cpu_cores", "memory_gib", "hourly", "monthly"].map(|field| text(&part[field]));
        let [cpu, memory, hourly, monthly] = cells;
        table.add_row([name, cpu, memory, hourly, monthly]);
    };
    for namespace in costs["namespaces"].as_array().into_iter().flatten() {
        row(text(&namespace["namespace"]), namespace);
    }
    row("(idle)".to_owned(), &costs["idle"]);
    if costs["storage"].is_object() {
        row("(storage)".to_owned(), &costs["storage"]);
    }
    row("(total)".to_owned(), &costs["total"]);
    table
}
