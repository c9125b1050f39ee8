//! Configuration, secrets, accounts, quotas and webhooks.

use serde_json::Value;

use super::Printer;
use super::column::{AGE, Column, Field, NAME, Words, integer, text};
use super::read::{self, age, name, size};

pub(super) const CONFIG_MAP: Printer = Printer {
    columns: &[NAME, text("Data", Field("data")), AGE],
    cells: |map, now| vec![name(map), (size(map, "/data") + size(map, "/binaryData")).into(), age(map, now)],
};

pub(super) const SECRET: Printer = Printer {
    columns: &[NAME, text("Type", Field("type")), text("Data", Field("data")), AGE],
    cells: |secret, now| {
        vec![name(secret), read::text(secret, "/type").into(), size(secret, "/data").into(), age(secret, now)]
    },
};

pub(super) const SERVICE_ACCOUNT: Printer = Printer {
    columns: &[NAME, text("Secrets", Field("secrets")), AGE],
    cells: |account, now| vec![name(account), size(account, "/secrets").into(), age(account, now)],
};

pub(super) const RESOURCE_QUOTA: Printer = Printer {
    columns: &[
        NAME,
        text(
            "Request",
            Words("Request represents a minimum amount of cpu/memory that a container may consume."),
        ),
        text(
            "Limit",
            Words(
                "Limits control the maximum amount of cpu/memory that a container may use independent of contention \
                 on the node.",
            ),
        ),
        AGE,
    ],
    cells: |quota, now| {
        vec![name(quota), used(quota, false).into(), used(quota, true).into(), age(quota, now)]
    },
};

/// What is used of what there may be, of the resources that are limits or of all others.
fn used(quota: &Value, limits: bool) -> String {
    let hard = read::map(quota, "/status/hard").into_iter().flatten();
    let mut resources: Vec<(&String, &Value)> =
        hard.filter(|(resource, _)| resource.starts_with("limits.") == limits).collect();
    resources.sort_by_key(|(resource, _)| *resource);
    let used = &quota["status"]["used"];
    let resources = resources
        .into_iter()
        .map(|(name, hard)| format!("{name}: {}/{}", read::quantity(&used[name]), read::quantity(hard)));
    resources.collect::<Vec<String>>().join(", ")
}

const WEBHOOKS: &[Column] = &[
    NAME,
    integer("Webhooks", Words("Webhooks indicates the number of webhooks registered in this configuration")),
    AGE,
];

pub(super) const WEBHOOK_CONFIGURATION: Printer = Printer {
    columns: WEBHOOKS,
    cells: |configuration, now| {
        vec![name(configuration), size(configuration, "/webhooks").into(), age(configuration, now)]
    },
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quotas() {
        let quota = json!({ "status": {
            "hard": { "pods": "10", "limits.cpu": "2", "cpu": "1" },
            "used": { "pods": "3", "limits.cpu": "500m" },
        } });
        assert_eq!(used(&quota, false), "cpu: 0/1, pods: 3/10");
        assert_eq!(used(&quota, true), "limits.cpu: 500m/2");
    }
}
