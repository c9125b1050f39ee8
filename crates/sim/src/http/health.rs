//! Whether the server works (`apiserver/pkg/server/healthz`), and what it has counted.

use std::fmt::Write as _;

use axum::response::Response;

use super::{Server, answer};
use crate::kinds::KINDS;
use crate::status::ApiError;

pub(super) const ENDPOINTS: [&str; 3] = ["healthz", "livez", "readyz"];
/// What is checked, which all holds as long as there is an answer.
pub(super) const CHECKS: [&str; 3] = ["ping", "log", "etcd"];

/// Answers for an endpoint, or for one of its checks.
pub(super) fn serve(endpoint: &str, check: &str, query: &str) -> Result<Response, ApiError> {
    if !check.is_empty() && !CHECKS.contains(&check) {
        return Err(ApiError::no_such_resource());
    }
    let is_verbose = query.split('&').any(|part| part == "verbose" || part.starts_with("verbose="));
    if !check.is_empty() || !is_verbose {
        return Ok(answer::text("ok"));
    }
    let checks: String = CHECKS.iter().map(|check| format!("[+]{check} ok\n")).collect();
    Ok(answer::text(format!("{checks}{endpoint} check passed\n")))
}

/// The requests and the objects, in the text format of Prometheus, by the names of the real server.
pub(super) fn metrics(server: &Server) -> Response {
    let mut text = "# HELP apiserver_request_total [STABLE] Counter of apiserver requests.\n\
                    # TYPE apiserver_request_total counter\n"
        .to_owned();
    for (line, count) in server.faults.requests() {
        let (verb, resource) = (line.verb.to_uppercase(), &line.resource);
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let labels = format!("resource=\"{resource}\",subresource=\"{subresource}\",verb=\"{verb}\"");
        let _ = writeln!(text, "apiserver_request_total{{{labels}}} {count}");
    }
    text.push_str(
        "# HELP apiserver_storage_objects [STABLE] Number of stored objects split by kind.\n\
         # TYPE apiserver_storage_objects gauge\n",
    );
    for kind in KINDS {
        let count = server.api.objects(kind, None).len();
        let _ = writeln!(text, "apiserver_storage_objects{{resource=\"{}\"}} {count}", kind.qualified());
    }
    answer::of_type("text/plain; version=0.0.4; charset=utf-8", text)
}
