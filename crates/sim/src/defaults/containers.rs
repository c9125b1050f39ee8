//! Containers, their probes and their statuses.

use super::fill::{Fields, absent, text, zero};
use crate::images;

/// Whether the type is one of these.
pub(super) fn fill(ty: &str, fields: &mut Fields) -> bool {
    match ty {
        "v1.Container" | "v1.EphemeralContainer" => container(fields),
        "v1.ContainerPort" => zero(fields, "protocol", "TCP"),
        "v1.Probe" => {
            zero(fields, "timeoutSeconds", 1);
            zero(fields, "periodSeconds", 10);
            zero(fields, "successThreshold", 1);
            zero(fields, "failureThreshold", 3);
        }
        "v1.HTTPGetAction" => {
            zero(fields, "path", "/");
            zero(fields, "scheme", "HTTP");
        }
        "v1.GRPCAction" => absent(fields, "service", ""),
        "v1.ObjectFieldSelector" => zero(fields, "apiVersion", "v1"),
        "v1.ResourceFieldSelector" => absent(fields, "divisor", "0"),
        _ => return false,
    }
    true
}

/// `SetDefaults_Container`: the tag `latest`, which is also what no tag means, is pulled every time.
fn container(fields: &mut Fields) {
    let policy = images::default_pull_policy(text(fields, "image"));
    zero(fields, "imagePullPolicy", policy);
    zero(fields, "terminationMessagePath", "/dev/termination-log");
    zero(fields, "terminationMessagePolicy", "File");
}
