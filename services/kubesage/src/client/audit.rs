//! `kubesage audit`.

use comfy_table::Table;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ClientError,
    api::{Api, Service},
    args::{AuditArgs, Format},
    output::{self, table, text},
};

const AUDIT: &str = "/api/v1/audit";
/// More are not told at once.
const MAX_PAGE: usize = 1000;
/// What has a column of its own, and ids that say nothing to a person.
const NOT_DETAILS: [&str; 4] = ["cluster_id", "cluster_name", "agent_id", "run_id"];

#[derive(Deserialize)]
struct Page {
    events: Vec<Value>,
    cursor: Option<String>,
}

pub(crate) async fn run(args: AuditArgs) -> Result<(), ClientError> {
    let (api, out) = args.client.open()?;
    let answer = wanted(&api, &args).await?;
    out.print(&answer, rows)?;
    if out.format == Format::Table {
        if answer["cursor"].is_string() {
            output::tell("There are older ones; a larger --limit, or --all, shows them.");
        } else if answer["events"].as_array().is_some_and(Vec::is_empty) {
            output::tell("There are none of that kind.");
        }
    }
    Ok(())
}

/// As many as are wanted, page by page, in the form of a page.
async fn wanted(api: &Api, args: &AuditArgs) -> Result<Value, ClientError> {
    let limit = if args.all { usize::MAX } else { usize::try_from(args.limit).unwrap_or(usize::MAX) };
    let filters = [
        ("cluster", args.cluster.clone()),
        ("type", args.event_type.clone()),
        ("since", args.since.map(|since| since.to_string())),
    ];
    let filters: Vec<_> = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let (mut events, mut cursor) = (Vec::new(), None);
    while events.len() < limit {
        let mut query = filters.clone();
        query.push(("limit", (limit - events.len()).min(MAX_PAGE).to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Page = api.get(Service::Cluster, AUDIT, &query).await?;
        events.extend(page.events);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(json!({"events": events, "cursor": cursor}))
}

fn rows(answer: &Value) -> Table {
    let mut table = table(["TIME", "TYPE", "CLUSTER", "WHAT"]);
    for event in answer["events"].as_array().into_iter().flatten() {
        let data = &event["data"];
        let cluster =
            if data["cluster_name"].is_null() { &data["cluster_id"] } else { &data["cluster_name"] };
        table.add_row([text(&event["occurred_at"]), text(&event["event_type"]), text(cluster), what(data)]);
    }
    table
}

/// A command and how it ended, or whatever else the event says.
fn what(data: &Value) -> String {
    if let Some(command) = data["command"].as_str() {
        return match data.get("exit_code") {
            None => command.to_owned(),
            Some(_) if data["failure"].is_string() => format!("{command} ({})", text(&data["failure"])),
            Some(Value::Null) => format!("{command} (killed)"),
            Some(code) => format!("{command} (exit code {code})"),
        };
    }
    let details = data.as_object().into_iter().flatten();
    let details = details.filter(|(name, value)| !NOT_DETAILS.contains(&name.as_str()) && !value.is_null());
    details.map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_fits_into_one_cell() {
        for (data, expected) in [
            (
                json!({"run_id": "r", "command": "get pods", "exit_code": 1, "duration_ms": 9}),
                "get pods (exit code 1)",
            ),
            (json!({"run_id": "r", "command": "logs web", "exit_code": null}), "logs web (killed)"),
            (json!({"run_id": "r", "command": "delete pod web"}), "delete pod web"),
            (
                json!({"run_id": "r", "command": "get pods", "exit_code": null, "failure": "no kubectl"}),
                "get pods (no kubectl)",
            ),
            (
                json!({"cluster_id": 1, "cluster_name": "prod", "provider_name": null, "namespaces": 5}),
                "namespaces=5",
            ),
            (json!({"key_id": "k", "scopes": ["read"]}), r#"key_id=k scopes=["read"]"#),
            (json!({}), ""),
        ] {
            assert_eq!(what(&data), expected);
        }
    }
}
