//! Probes and hooks: `validateProbe` and `validateHandler`.

use serde_json::Value;

use crate::schema::Path;
use crate::validation::errors::Errors;
use crate::validation::format;
use crate::validation::read::{given, is_empty, number, text};
use crate::validation::{NEGATIVE, port_or_name};

pub(super) fn all(errors: &mut Errors, container: &Value, path: &Path<'_>) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = &container[name];
        if probe.is_null() {
            continue;
        }
        let path = path.field(name);
        handler(errors, probe, &["exec", "httpGet", "tcpSocket", "grpc"], &path);
        for field in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            if number(probe, field) < 0 {
                errors.invalid(&path.field(field), number(probe, field), NEGATIVE);
            }
        }
        if name != "readinessProbe" && number(probe, "successThreshold") != 1 {
            errors.invalid(&path.field("successThreshold"), number(probe, "successThreshold"), "must be 1");
        }
    }
}

pub(super) fn lifecycle(errors: &mut Errors, lifecycle: &Value, path: &Path<'_>) {
    for hook in ["postStart", "preStop"] {
        if given(lifecycle, hook) {
            handler(errors, &lifecycle[hook], &["exec", "httpGet", "tcpSocket", "sleep"], &path.field(hook));
        }
    }
}

fn handler(errors: &mut Errors, handler: &Value, kinds: &[&str], path: &Path<'_>) {
    let mut handlers = 0;
    for kind in kinds.iter().filter(|kind| given(handler, kind)) {
        let path = path.field(kind);
        handlers += 1;
        if handlers > 1 {
            errors.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        let action = &handler[*kind];
        match *kind {
            "exec" if is_empty(&action["command"]) => errors.required(&path.field("command"), ""),
            "httpGet" => {
                if text(action, "path").is_empty() {
                    errors.required(&path.field("path"), "");
                }
                port_or_name(errors, &action["port"], &path.field("port"));
                let scheme = text(action, "scheme");
                if !["HTTP", "HTTPS"].contains(&scheme) {
                    errors.unsupported(&path.field("scheme"), scheme, &["HTTP", "HTTPS"]);
                }
            }
            "tcpSocket" => port_or_name(errors, &action["port"], &path.field("port")),
            "grpc" => {
                let port = number(action, "port");
                errors.broken(&path.field("port"), port, &format::port_number(port));
            }
            _ => {}
        }
    }
    if handlers == 0 {
        errors.required(path, "must specify a handler type");
    }
}
