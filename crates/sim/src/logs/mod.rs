//! Logs of pods: made up from the pod itself and the cluster's time, the same at every reading.

mod lines;
mod run;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use self::run::Run;
use crate::object;
use crate::status::{ApiError, Cause};

/// So many lines of a log are kept, as a kubelet keeps only so many bytes (`containerLogMaxSize`).
const MAX_LINES: u64 = 400;

/// What of a log is wanted, and how: `PodLogOptions`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogOptions<'a> {
    /// Which container; empty where the pod has one only.
    pub(crate) container: &'a str,
    /// Whatever will be written, as well.
    pub(crate) follow: bool,
    /// Only the last of the present lines.
    pub(crate) tail_lines: Option<i64>,
    /// Of these only the first bytes.
    pub(crate) limit_bytes: Option<i64>,
    /// The log of the container's last run before the present one.
    pub(crate) previous: bool,
    /// Only lines that are no older.
    pub(crate) since_seconds: Option<i64>,
    /// Only lines from this time on.
    pub(crate) since_time: Option<Timestamp>,
    /// Each line after the time at which it was written.
    pub(crate) timestamps: bool,
}

/// Reads the log of one run of a container.
#[derive(Debug)]
pub(crate) struct LogReader {
    pod_uid: String,
    container: String,
    /// When the run began.
    started: Timestamp,
    since: Timestamp,
    timestamps: bool,
    /// The number of the next line.
    next: u64,
    /// How many bytes may still be read.
    left: usize,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) text: String,
    /// When there is more, unless something happens to the container before; absent at the end of the log.
    pub(crate) more: Option<Timestamp>,
}

impl LogReader {
    /// Begins to read; there is nothing to read of a pod that is on no node.
    ///
    /// # Errors
    /// 400 when no such container runs, 422 for options that cannot be; texts of `ValidatePodLogOptions` in
    /// `pkg/apis/core/validation`, of `pkg/registry/core/pod/strategy.go` and of the kubelet.
    pub(crate) fn open(
        pod: &Value,
        options: &LogOptions<'_>,
        now: Timestamp,
    ) -> Result<Option<LogReader>, ApiError> {
        check(object::name(pod), options)?;
        let container = choose(pod, options.container)?;
        if object::field(pod, "spec.nodeName").is_empty() {
            return Ok(None);
        }
        let run = Run::find(pod, container, options.previous)?;
        let age = options.since_seconds.map(SignedDuration::from_secs);
        let since = age.map(|age| now.saturating_sub(age).unwrap_or(Timestamp::MIN)).or(options.since_time);
        let tail = options.tail_lines.map_or(MAX_LINES, |tail| u64::try_from(tail).unwrap_or(MAX_LINES));
        let limit = options.limit_bytes.and_then(|limit| usize::try_from(limit).ok());
        Ok(Some(LogReader {
            pod_uid: object::field(pod, "metadata.uid"),
            container: container.to_owned(),
            started: run.started,
            since: since.unwrap_or(Timestamp::MIN),
            timestamps: options.timestamps,
            next: run.lines(now).saturating_sub(tail),
            left: limit.unwrap_or(usize::MAX),
        }))
    }

    /// Whose log it is.
    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// The lines that were written up to now and have not been read yet, by what has become of the pod.
    pub(crate) fn read(&mut self, pod: &Value, now: Timestamp) -> Reading {
        if object::field(pod, "metadata.uid") != self.pod_uid {
            return Reading::default();
        }
        let Some(run) = Run::that_started(pod, &self.container, self.started) else {
            return Reading::default();
        };
        let written = run.lines(now);
        let mut text = String::new();
        for number in self.next.max(written.saturating_sub(MAX_LINES))..written {
            let at = run.written_at(number);
            if at < self.since {
                continue;
            }
            if self.timestamps {
                text.push_str(&stamp(at));
                text.push(' ');
            }
            text.push_str(&run.line(pod, &self.container, number));
            text.push('\n');
        }
        self.next = self.next.max(written);
        text.truncate(text.floor_char_boundary(self.left));
        self.left -= text.len();
        let is_over = run.ended.is_some() || self.left == 0;
        Reading { text, more: (!is_over).then(|| run.written_at(self.next)) }
    }
}

/// `ValidatePodLogOptions`.
fn check(pod: &str, options: &LogOptions<'_>) -> Result<(), ApiError> {
    let mut causes = Vec::new();
    let mut least = |field: &str, value: Option<i64>, least: i64, rule: &str| {
        if let Some(value) = value.filter(|value| *value < least) {
            let message = format!("Invalid value: {value}: {rule}");
            causes.push(Cause { reason: "FieldValueInvalid", field: field.to_owned(), message });
        }
    };
    least("tailLines", options.tail_lines, 0, "must be greater than or equal to 0");
    least("limitBytes", options.limit_bytes, 1, "must be greater than 0");
    if options.since_time.is_none() {
        least("sinceSeconds", options.since_seconds, 1, "must be greater than 0");
    } else if options.since_seconds.is_some() {
        let message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified".to_owned();
        // As a path without a name is printed.
        causes.push(Cause { reason: "FieldValueForbidden", field: "[]".to_owned(), message });
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid_object("", "PodLogOptions", pod, causes)) }
}

/// `LogLocation` in `pkg/registry/core/pod/strategy.go`.
fn choose<'a>(pod: &'a Value, wanted: &str) -> Result<&'a str, ApiError> {
    let names = |field: &str| -> Vec<&'a str> {
        let containers = pod["spec"][field].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str()).collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let name = object::name(pod);
    match (wanted, main.as_slice()) {
        ("", [only]) => Ok(only),
        ("", _) => {
            let mut why = format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                main.join(" ")
            );
            if !init.is_empty() {
                why.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(ApiError::bad_request(why))
        }
        (wanted, main) => {
            main.iter().chain(&init).find(|name| **name == wanted).copied().ok_or_else(|| {
                ApiError::bad_request(format!("container {wanted} is not valid for pod {name}"))
            })
        }
    }
}

/// A time as containerd writes it before a line.
fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}
