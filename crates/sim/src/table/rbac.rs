//! Bindings of roles. Roles themselves have no printer of their own.

use serde_json::Value;

use super::Printer;
use super::column::{AGE, Field, NAME, Words, text};
use super::read::{self, age, list, name};

pub(super) const ROLE_BINDING: Printer = Printer {
    columns: &[
        NAME,
        text("Role", Field("roleRef")),
        AGE,
        text("Users", Words("Users in the roleBinding")).wide(),
        text("Groups", Words("Groups in the roleBinding")).wide(),
        text("ServiceAccounts", Words("ServiceAccounts in the roleBinding")).wide(),
    ],
    cells,
};

pub(super) const CLUSTER_ROLE_BINDING: Printer = Printer {
    columns: &[
        NAME,
        text("Role", Field("roleRef")),
        AGE,
        text("Users", Words("Users in the clusterRoleBinding")).wide(),
        text("Groups", Words("Groups in the clusterRoleBinding")).wide(),
        text("ServiceAccounts", Words("ServiceAccounts in the clusterRoleBinding")).wide(),
    ],
    cells,
};

fn cells(binding: &Value, now: jiff::Timestamp) -> Vec<Value> {
    let role = &binding["roleRef"];
    let accounts = subjects(binding, "ServiceAccount")
        .map(|subject| format!("{}/{}", read::text(subject, "/namespace"), read::text(subject, "/name")));
    vec![
        name(binding),
        format!("{}/{}", read::text(role, "/kind"), read::text(role, "/name")).into(),
        age(binding, now),
        names(binding, "User").into(),
        names(binding, "Group").into(),
        accounts.collect::<Vec<String>>().join(", ").into(),
    ]
}

fn subjects<'a>(binding: &'a Value, kind: &'static str) -> impl Iterator<Item = &'a Value> {
    list(binding, "/subjects").iter().filter(move |subject| subject["kind"] == kind)
}

fn names(binding: &Value, kind: &'static str) -> String {
    subjects(binding, kind).map(|subject| read::text(subject, "/name")).collect::<Vec<&str>>().join(", ")
}
