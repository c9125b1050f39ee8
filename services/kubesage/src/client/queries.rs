//! `kubesage namespaces`, `nodes`, `pods` and `logs`.

use comfy_table::Table;
use serde_json::Value;

use super::{
    ClientError,
    api::{Api, Service, segment},
    args::{ClusterArg, Format, ListArgs, LogsArgs, PodsArgs, Selection},
    output::{self, Output, age, state, table, text},
};

pub(crate) async fn namespaces(args: ListArgs) -> Result<(), ClientError> {
    list(args, "namespaces", Vec::new(), |answer| {
        let mut table = table(["NAME", "STATUS", "AGE"]);
        for namespace in items(answer, "namespaces") {
            table.add_row([
                text(&namespace["name"]).into(),
                state(&namespace["status"]),
                age(&namespace["created_at"]).into(),
            ]);
        }
        table
    })
    .await
}

pub(crate) async fn nodes(args: ListArgs) -> Result<(), ClientError> {
    list(args, "nodes", Vec::new(), |answer| {
        let mut table =
            table(["NAME", "STATUS", "TYPE", "ZONE", "CAPACITY", "CPU", "MEMORY", "AGE", "VERSION"]);
        for node in items(answer, "nodes") {
            let mut status = text(&node["status"]);
            if node["unschedulable"] == true {
                status.push_str(",SchedulingDisabled");
            }
            table.add_row([
                text(&node["name"]).into(),
                state(&status.into()),
                text(&node["instance_type"]).into(),
                text(&node["zone"]).into(),
                text(&node["capacity_type"]).into(),
                text(&node["allocatable"]["cpu"]).into(),
                text(&node["allocatable"]["memory"]).into(),
                age(&node["created_at"]).into(),
                text(&node["kubelet_version"]).into(),
            ]);
        }
        table
    })
    .await
}

pub(crate) async fn pods(args: PodsArgs) -> Result<(), ClientError> {
    let namespace = args.namespace.map(|namespace| ("namespace", namespace));
    list(args.list, "pods", namespace.into_iter().collect(), |answer| {
        let mut table = table(["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "NODE"]);
        for pod in items(answer, "pods") {
            table.add_row([
                text(&pod["namespace"]).into(),
                text(&pod["name"]).into(),
                format!("{}/{}", text(&pod["ready_containers"]), text(&pod["containers"])).into(),
                state(&pod["status"]),
                text(&pod["restarts"]).into(),
                age(&pod["created_at"]).into(),
                text(&pod["node"]).into(),
            ]);
        }
        table
    })
    .await
}

pub(crate) async fn logs(args: LogsArgs) -> Result<(), ClientError> {
    let (api, out) = args.client.open()?;
    let resource = format!("pods/{}/{}/logs", segment(&args.namespace), segment(&args.pod));
    let mut query = vec![("lines", args.lines.to_string())];
    query.extend(args.container.map(|container| ("container", container)));
    let answer = ask(&api, &args.cluster, &resource, query).await?;
    if out.format == Format::Json {
        return out.print_json(&answer);
    }
    let lines: Vec<&str> = items(&answer, "lines").filter_map(Value::as_str).collect();
    output::say(&lines.join("\n"))
}

async fn list(
    args: ListArgs,
    resource: &str,
    mut query: Vec<(&str, String)>,
    table: impl FnOnce(&Value) -> Table,
) -> Result<(), ClientError> {
    let (api, out) = args.client.open()?;
    let Selection { selector, limit } = args.selection;
    query.extend(selector.map(|selector| ("label_selector", selector)));
    query.extend(limit.map(|limit| ("limit", limit.to_string())));
    let answer = ask(&api, &args.cluster, resource, query).await?;
    out.print(&answer, table)?;
    tell_of_more(&answer, &out);
    Ok(())
}

async fn ask(
    api: &Api,
    cluster: &ClusterArg,
    resource: &str,
    mut query: Vec<(&str, String)>,
) -> Result<Value, ClientError> {
    query.push(("agent_id", api.chosen_cluster(cluster).await?.agent_id));
    api.get(Service::Cluster, &format!("/api/v3.0/cluster/{resource}"), &query).await
}

/// What a table leaves out is said beside it.
fn tell_of_more(answer: &Value, out: &Output) {
    if out.format == Format::Table && answer["continue"].is_string() {
        output::tell("There are more; a larger --limit shows them.");
    }
}

fn items<'a>(answer: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    answer[field].as_array().into_iter().flatten()
}
