//! Comparing answers but for what differs from run to run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

/// What the recorded run made, and what this run made in its place: uids, versions, continue tokens.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<String, String>);

/// The fields whose values the server makes and clients send back.
const MADE: [&str; 3] = ["uid", "resourceVersion", "continue"];

impl Names {
    /// Remembers which values stand in the same places.
    pub(crate) fn learn(&mut self, recorded: &Value, given: &Value) {
        match (recorded, given) {
            (Value::Object(recorded), Value::Object(given)) => {
                for (field, recorded) in recorded {
                    let Some(given) = given.get(field) else { continue };
                    match (recorded, given) {
                        (Value::String(recorded), Value::String(given)) if MADE.contains(&field.as_str()) => {
                            self.0.insert(recorded.clone(), given.clone());
                        }
                        _ => self.learn(recorded, given),
                    }
                }
            }
            (Value::Array(recorded), Value::Array(given)) => {
                for (recorded, given) in recorded.iter().zip(given) {
                    self.learn(recorded, given);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn insert(&mut self, recorded: &str, given: &str) {
        self.0.insert(recorded.to_owned(), given.to_owned());
    }

    /// The text with what this run made in place of what the recorded one made. Versions are short numbers that stand
    /// elsewhere too, so they are only replaced where they are the whole text.
    pub(crate) fn rewrite_text(&self, text: &str) -> String {
        if let Some(given) = self.0.get(text) {
            return given.clone();
        }
        let long = self.0.iter().filter(|(recorded, _)| recorded.len() > 20);
        long.fold(text.to_owned(), |text, (recorded, given)| text.replace(recorded, given))
    }

    pub(crate) fn rewrite(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.rewrite_text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.rewrite(item)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.rewrite(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Puts the same word in the place of everything that differs from run to run.
pub(crate) fn level(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("managedFields");
            if let Some(prefix) = fields.get("generateName").and_then(Value::as_str) {
                let generated = format!("{prefix}<generated>");
                fields.insert("name".to_owned(), generated.into());
            }
            for (field, value) in fields {
                level_field(field, value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(level),
        Value::String(text) => level_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Levels what depends on the settings, nodes and kubelets of a real cluster: the status and the addresses of nodes; the
/// status of pods but for the phase, where they are, and what the volume with their token is made of.
pub(crate) fn level_cluster(value: &mut Value) {
    let fields = match value {
        Value::Array(items) => return items.iter_mut().for_each(level_cluster),
        Value::Object(fields) => fields,
        _ => return,
    };
    let has_containers = fields.get("spec").is_some_and(|spec| spec["containers"].is_array());
    if has_containers && fields.contains_key("status") {
        let phase = fields["status"]["phase"].take();
        fields["status"] = json!({ "phase": phase });
        fields["spec"]["nodeName"] = "<node>".into();
        if let Some(labels) = fields["metadata"]["labels"].as_object_mut() {
            labels.retain(|label, _| !label.starts_with("topology.kubernetes.io/"));
        }
        for volume in fields["spec"]["volumes"].as_array_mut().into_iter().flatten() {
            if volume["name"] == "kube-api-access-<generated>" {
                *volume = json!({ "name": volume["name"] });
            }
        }
    } else if fields.get("kind").is_some_and(|kind| kind == "Node") {
        fields.remove("status");
        if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
            spec.retain(|field, _| !field.starts_with("podCIDR"));
        }
    } else {
        fields.values_mut().for_each(level_cluster);
    }
}

fn level_field(field: &str, value: &mut Value) {
    match (field, &mut *value) {
        ("uid" | "resourceVersion" | "continue", Value::String(text)) if !text.is_empty() => {
            *value = format!("<{field}>").into();
        }
        ("podIP" | "hostIP" | "ip" | "serverAddress" | "imageID" | "containerID", Value::String(text))
            if !text.is_empty() =>
        {
            *value = format!("<{field}>").into();
        }
        // The cells of a table are printed: an age among them is as long as the run took.
        ("cells", Value::Array(cells)) => {
            for cell in cells {
                if cell.as_str().is_some_and(is_age) {
                    *cell = "<age>".into();
                }
            }
        }
        (_, value) => level(value),
    }
}

fn level_text(text: &mut String) {
    if is_time(text) {
        "<time>".clone_into(text);
    } else if text.starts_with("kube-api-access-") {
        "kube-api-access-<generated>".clone_into(text);
    }
}

/// RFC 3339 in UTC.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00Z" || shape == "0000-00-00T00:00:00.000000Z"
}

fn is_age(text: &str) -> bool {
    text.ends_with(['s', 'm', 'h', 'd']) && text.starts_with(|c: char| c.is_ascii_digit())
}

/// Where two values differ, one line each; empty where they are the same.
pub(crate) fn differences(recorded: &Value, given: &Value) -> String {
    let mut told = String::new();
    tell(&mut told, "", recorded, given);
    told
}

fn tell(told: &mut String, path: &str, recorded: &Value, given: &Value) {
    match (recorded, given) {
        (Value::Object(recorded), Value::Object(given)) => {
            for (field, value) in recorded {
                match given.get(field) {
                    Some(given) => tell(told, &format!("{path}.{field}"), value, given),
                    None => line(told, &format!("{path}.{field}"), &value.to_string(), "nothing"),
                }
            }
            for (field, value) in given.iter().filter(|(field, _)| !recorded.contains_key(*field)) {
                line(told, &format!("{path}.{field}"), "nothing", &value.to_string());
            }
        }
        (Value::Array(recorded), Value::Array(given)) if recorded.len() == given.len() => {
            for (index, (recorded, given)) in recorded.iter().zip(given).enumerate() {
                tell(told, &format!("{path}[{index}]"), recorded, given);
            }
        }
        (recorded, given) if recorded == given => {}
        (recorded, given) => line(told, path, &recorded.to_string(), &given.to_string()),
    }
}

fn line(told: &mut String, path: &str, recorded: &str, given: &str) {
    let _ = writeln!(told, "  {path}: recorded {recorded}, given {given}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_run_to_run_is_levelled() {
        let (mut one, mut other) = (
            json!({ "metadata": { "uid": "a", "creationTimestamp": "2026-11-20T09:37:22Z" }, "spec": { "a": 1 } }),
            json!({ "metadata": { "uid": "b", "creationTimestamp": "2027-01-01T00:00:00Z" }, "spec": { "a": 2 } }),
        );
        level(&mut one);
        level(&mut other);
        assert_eq!(differences(&one, &other), "  .spec.a: recorded 1, given 2\n");
    }

    #[test]
    fn what_the_run_made_is_rewritten() {
        let mut names = Names::default();
        let uid = "90447514-58eb-4b27-b40f-94c61c8ba22b";
        names.learn(
            &json!({ "metadata": { "uid": uid, "resourceVersion": "847" } }),
            &json!({ "metadata": { "uid": "x", "resourceVersion": "3" } }),
        );
        let mut sent = json!({ "resourceVersion": "847", "message": format!("uid {uid} of 847") });
        names.rewrite(&mut sent);
        assert_eq!(sent, json!({ "resourceVersion": "3", "message": "uid x of 847" }));
    }
}
