//! The annotations by which users tell the simulator something; see `docs/simulated-cluster.md`.

use serde_json::Value;

const PREFIX: &str = "sim.kubesage.io/";
const OF_PODS: [&str; 5] = ["crash-loop", "oom", "fail", "image-pull-error", "never-ready"];
const OF_NODES: [&str; 2] = ["dead", "not-ready"];

/// The value of an annotation of an object.
pub(crate) fn told<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][format!("{PREFIX}{name}").as_str()].as_str()
}

/// What is told in words that nothing follows from, in an object or in the templates of its pods.
pub(crate) fn warnings(object: &Value) -> Vec<String> {
    let template = &object["spec"]["template"];
    let of_jobs = &object["spec"]["jobTemplate"]["spec"]["template"];
    let behaviours: &[&str] = if object["kind"] == "Node" { &OF_NODES } else { &OF_PODS };
    [("", object), ("spec.template.", template), ("spec.jobTemplate.spec.template.", of_jobs)]
        .into_iter()
        .flat_map(|(path, part)| misunderstood(path, part, behaviours))
        .collect()
}

fn misunderstood(path: &str, object: &Value, behaviours: &[&str]) -> Vec<String> {
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    let told = annotations.filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value.as_str()?)));
    told.filter_map(|(name, value)| {
        let expected = match name {
            "behaviour" if behaviours.contains(&value) => return None,
            "behaviour" => format!("one of {}", behaviours.join(", ")),
            "exit-code" if value.parse::<u8>().is_ok() => return None,
            "exit-code" => "a number up to 255".to_owned(),
            "run-seconds" if value.parse::<u64>().is_ok() => return None,
            "run-seconds" => "a number of seconds".to_owned(),
            _ => {
                let known = "behaviour, exit-code, run-seconds";
                return Some(format!("{path}metadata.annotations[{PREFIX}{name}]: unknown to the simulator, which knows {known}"));
            }
        };
        Some(format!("{path}metadata.annotations[{PREFIX}{name}]: \"{value}\" is unknown to the simulator: expected {expected}"))
    })
    .collect()
}
