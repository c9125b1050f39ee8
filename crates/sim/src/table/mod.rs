//! Tables: what `kubectl get` shows is printed by the server (`pkg/printers/internalversion/printers.go`).
//!
//! A kind has a [`Printer`]: its columns, and a function from an object to the cells of its row. Every answer holds
//! all columns; those of `-o wide` have priority 1 and clients leave them out.

mod autoscaling;
mod column;
mod config;
mod duration;
mod events;
mod labels;
mod networking;
mod nodes;
mod pods;
mod rbac;
mod read;
mod storage;
mod workloads;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::column::{Column, Field, NAME, date};
use crate::kinds::Kind;
use crate::status::ApiError;

/// How objects of a kind are shown.
struct Printer {
    columns: &'static [Column],
    /// As many cells as there are columns.
    cells: fn(&Value, Timestamp) -> Vec<Value>,
}

/// How much of an object goes with its row: `includeObject` of `TableOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter; absent is empty.
    ///
    /// # Errors
    /// 400 for a word that is not known.
    pub(crate) fn parse(text: &str) -> Result<IncludeObject, ApiError> {
        match text {
            "" | "Metadata" => Ok(IncludeObject::Metadata),
            "None" => Ok(IncludeObject::None),
            "Object" => Ok(IncludeObject::Object),
            _ => Err(ApiError::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: \"{text}\": must be \
                 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// How tables are to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableOptions {
    /// The version of `meta.k8s.io` that was asked for.
    pub(crate) version: &'static str,
    pub(crate) include: IncludeObject,
}

/// A table with a row for each object; `metadata` is that of the list.
pub(crate) fn of_list<'a>(
    kind: &Kind,
    items: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
    options: TableOptions,
    now: Timestamp,
) -> Value {
    let printer = printer(kind.group, kind.plural);
    let rows: Vec<Value> = items.into_iter().map(|object| row(kind, printer, object, options, now)).collect();
    table(kind, printer, metadata, &rows, options)
}

/// A table with the row of one object, or of its subresource `scale`.
pub(crate) fn of_object(kind: &Kind, object: &Value, options: TableOptions, now: Timestamp) -> Value {
    let printer =
        if object["kind"] == "Scale" { &workloads::SCALE } else { printer(kind.group, kind.plural) };
    let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
    table(kind, printer, &metadata, &[row(kind, printer, object, options, now)], options)
}

/// A table with the row of one object whose columns the reader knows from before, as a watch sends after the first.
pub(crate) fn of_next(kind: &Kind, object: &Value, options: TableOptions, now: Timestamp) -> Value {
    let mut table = of_object(kind, object, options, now);
    table["columnDefinitions"] = Value::Null;
    table
}

fn table(kind: &Kind, printer: &Printer, metadata: &Value, rows: &[Value], options: TableOptions) -> Value {
    let columns: Vec<Value> = printer.columns.iter().map(|column| column.definition(kind)).collect();
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{}", options.version),
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn row(kind: &Kind, printer: &Printer, object: &Value, options: TableOptions, now: Timestamp) -> Value {
    let included = match options.include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => metadata_only(object, options.version),
        IncludeObject::Object => object.clone(),
    };
    let mut row = json!({ "cells": (printer.cells)(object, now), "object": included });
    if (kind.group, kind.plural) == ("", "pods")
        && let Some(conditions) = pods::row_conditions(object)
    {
        row["conditions"] = conditions;
    }
    row
}

/// An object as `PartialObjectMetadata`.
pub(crate) fn metadata_only(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object["metadata"],
    })
}

/// Objects as a `PartialObjectMetadataList`; `metadata` is that of the list.
pub(crate) fn metadata_list<'a>(
    items: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
    version: &str,
) -> Value {
    let items: Vec<Value> = items.into_iter().map(|object| metadata_only(object, version)).collect();
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": metadata,
        "items": items,
    })
}

/// What is shown of kinds that nobody wrote a printer for (`apiserver/pkg/registry/rest/table.go`).
const FALLBACK: Printer = Printer {
    columns: &[NAME, date("Created At", Field("metadata.creationTimestamp"))],
    cells: |object, _| vec![read::name(object), object["metadata"]["creationTimestamp"].clone()],
};

fn printer(group: &str, plural: &str) -> &'static Printer {
    match (group, plural) {
        ("", "configmaps") => &config::CONFIG_MAP,
        ("", "endpoints") => &networking::ENDPOINTS,
        ("", "events") => &events::EVENT,
        ("", "namespaces") => &nodes::NAMESPACE,
        ("", "nodes") => &nodes::NODE,
        ("", "persistentvolumeclaims") => &storage::PERSISTENT_VOLUME_CLAIM,
        ("", "persistentvolumes") => &storage::PERSISTENT_VOLUME,
        ("", "pods") => &pods::POD,
        ("", "podtemplates") => &workloads::POD_TEMPLATE,
        ("", "replicationcontrollers") => &workloads::REPLICATION_CONTROLLER,
        ("", "resourcequotas") => &config::RESOURCE_QUOTA,
        ("", "secrets") => &config::SECRET,
        ("", "serviceaccounts") => &config::SERVICE_ACCOUNT,
        ("", "services") => &networking::SERVICE,
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations" | "validatingwebhookconfigurations",
        ) => &config::WEBHOOK_CONFIGURATION,
        ("apps", "controllerrevisions") => &workloads::CONTROLLER_REVISION,
        ("apps", "daemonsets") => &workloads::DAEMON_SET,
        ("apps", "deployments") => &workloads::DEPLOYMENT,
        ("apps", "replicasets") => &workloads::REPLICA_SET,
        ("apps", "statefulsets") => &workloads::STATEFUL_SET,
        ("autoscaling", "horizontalpodautoscalers") => &autoscaling::HORIZONTAL_POD_AUTOSCALER,
        ("batch", "cronjobs") => &workloads::CRON_JOB,
        ("batch", "jobs") => &workloads::JOB,
        ("coordination.k8s.io", "leases") => &nodes::LEASE,
        ("discovery.k8s.io", "endpointslices") => &networking::ENDPOINT_SLICE,
        ("networking.k8s.io", "ingressclasses") => &networking::INGRESS_CLASS,
        ("networking.k8s.io", "ingresses") => &networking::INGRESS,
        ("networking.k8s.io", "networkpolicies") => &networking::NETWORK_POLICY,
        ("node.k8s.io", "runtimeclasses") => &nodes::RUNTIME_CLASS,
        ("policy", "poddisruptionbudgets") => &workloads::DISRUPTION_BUDGET,
        ("rbac.authorization.k8s.io", "clusterrolebindings") => &rbac::CLUSTER_ROLE_BINDING,
        ("rbac.authorization.k8s.io", "rolebindings") => &rbac::ROLE_BINDING,
        ("scheduling.k8s.io", "priorityclasses") => &nodes::PRIORITY_CLASS,
        ("storage.k8s.io", "csidrivers") => &storage::CSI_DRIVER,
        ("storage.k8s.io", "csinodes") => &storage::CSI_NODE,
        ("storage.k8s.io", "storageclasses") => &storage::STORAGE_CLASS,
        ("storage.k8s.io", "volumeattachments") => &storage::VOLUME_ATTACHMENT,
        _ => &FALLBACK,
    }
}

#[cfg(test)]
mod tests;
