//! The completed indexes of an indexed job, as `0-2,4` (`pkg/controller/job/indexed_job_utils.go`).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::controllers::workloads::fields::{number, text};

/// What names a pod's index, as annotation and as label.
pub(super) const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// `maxParallelismForIndexedJob` and the like of validation: no index is beyond.
const MAX_INDEXES: i64 = 100_000;

pub(super) fn is_indexed(job: &Value) -> bool {
    job["spec"]["completionMode"] == "Indexed"
}

/// How many indexes the job has.
fn completions(job: &Value) -> i64 {
    number(job, "/spec/completions").min(MAX_INDEXES)
}

/// The index of a pod, where it is one of the job's.
pub(super) fn of_pod(pod: &Value, job: &Value) -> Option<i64> {
    let index: i64 = pod["metadata"]["annotations"][COMPLETION_INDEX].as_str()?.parse().ok()?;
    (0..completions(job)).contains(&index).then_some(index)
}

/// The indexes that the status calls completed.
pub(super) fn completed(job: &Value) -> BTreeSet<i64> {
    let mut indexes = BTreeSet::new();
    for part in text(job, "/status/completedIndexes").split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) {
            indexes.extend(first.max(0)..=last.min(completions(job) - 1));
        }
    }
    indexes
}

/// The indexes as text: runs of three and more by their ends.
pub(super) fn print(indexes: &BTreeSet<i64>) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for &index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            Some(_) | None => runs.push((index, index)),
        }
    }
    let runs = runs.iter().map(|&(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    runs.collect::<Vec<_>>().join(",")
}

/// The first indexes that are neither done nor being worked on.
pub(super) fn pending(job: &Value, taken: &BTreeSet<i64>, many: usize) -> Vec<i64> {
    (0..completions(job)).filter(|index| !taken.contains(index)).take(many).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn indexes_are_read_and_written() {
        for text in ["", "0", "0,1", "0-2,4", "1,3-9"] {
            let job = json!({ "spec": { "completions": 10 }, "status": { "completedIndexes": text } });
            assert_eq!(print(&completed(&job)), text);
        }
        let hostile =
            json!({ "spec": { "completions": 3 }, "status": { "completedIndexes": "x,-5,0-99999999999" } });
        assert_eq!(print(&completed(&hostile)), "0-2");
    }
}
