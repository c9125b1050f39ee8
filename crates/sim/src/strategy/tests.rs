use serde_json::json;

use super::*;
use crate::kinds;

fn kind(plural: &str) -> &'static Kind {
    kinds::by_plural(plural).unwrap()
}

#[test]
fn a_job_selects_its_pods_by_its_uid() {
    let mut job = json!({ "metadata": { "name": "a", "uid": "u" }, "spec": { "template": {} } });
    prepare_create(kind("jobs"), &mut job, Timestamp::now());
    let selector = json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": "u" } });
    assert_eq!(job["spec"]["selector"], selector);
    assert_eq!(job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(job["metadata"]["labels"]["job-name"], "a");
    assert_eq!(job["status"], json!({}));
}

#[test]
fn clients_write_the_spec_and_controllers_the_status() {
    let old = json!({
        "metadata": { "name": "a", "generation": 4, "labels": { "a": "1" } },
        "spec": { "replicas": 1 },
        "status": { "replicas": 1 },
    });
    let mut new = old.clone();
    new["spec"]["replicas"] = 2.into();
    new["status"]["replicas"] = 9.into();
    let mut written = new.clone();
    prepare_update(kind("replicasets"), &mut written, &old);
    assert_eq!(written["status"], old["status"]);
    assert_eq!(written["spec"], new["spec"]);
    assert_eq!(written["metadata"]["generation"], 5);

    prepare_status_update(kind("replicasets"), &mut new, &old);
    assert_eq!(new["spec"], old["spec"]);
    assert_eq!(new["status"]["replicas"], 9);
    assert_eq!(new["metadata"]["generation"], 4);
}

#[test]
fn a_deployment_counts_its_annotations() {
    let old = json!({ "metadata": { "name": "a", "generation": 1 }, "spec": {} });
    let mut new = old.clone();
    new["metadata"]["annotations"] = json!({ "a": "b" });
    prepare_update(kind("deployments"), &mut new, &old);
    assert_eq!(new["metadata"]["generation"], 2);

    let mut daemons = old.clone();
    daemons["metadata"]["labels"] = json!({ "a": "b" });
    prepare_update(kind("daemonsets"), &mut daemons, &old);
    assert_eq!(daemons["metadata"]["generation"], 1);
}

#[test]
fn a_class_of_service_follows_from_the_resources() {
    let pod = |resources: Value| json!({ "containers": [{ "resources": resources }] });
    assert_eq!(qos_class(&pod(json!({}))), "BestEffort");
    assert_eq!(qos_class(&pod(json!({ "requests": { "nvidia.com/gpu": "1" } }))), "BestEffort");
    assert_eq!(qos_class(&pod(json!({ "requests": { "cpu": "1" } }))), "Burstable");
    let both = json!({ "cpu": "1", "memory": "1Gi" });
    assert_eq!(qos_class(&pod(json!({ "limits": both, "requests": both }))), "Guaranteed");
    let same = json!({ "cpu": "1000m", "memory": "1024Mi" });
    assert_eq!(qos_class(&pod(json!({ "limits": both, "requests": same }))), "Guaranteed");
    assert_eq!(qos_class(&pod(json!({ "limits": both, "requests": { "cpu": "1" } }))), "Burstable");
}
