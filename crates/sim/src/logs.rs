//! Logs of pods: made up from the pod itself, the same at every reading.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::object;
use crate::status::ApiError;

/// How many lines a container has written.
const LINES: u32 = 400;
/// The time between two lines.
const INTERVAL: SignedDuration = SignedDuration::from_secs(7);

/// What of a log is wanted, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogOptions<'a> {
    /// Which container; empty where the pod has one only.
    pub(crate) container: &'a str,
    /// Only the last lines.
    pub(crate) tail_lines: Option<i64>,
    /// Of these only the first bytes.
    pub(crate) limit_bytes: Option<i64>,
    /// The log of the container's last run before the present one.
    pub(crate) previous: bool,
    /// Each line after the time at which it was written.
    pub(crate) timestamps: bool,
}

/// The log of a container.
///
/// # Errors
/// 400 when no such container runs, 422 for limits that are not positive; texts of
/// `pkg/registry/core/pod/strategy.go` and of the kubelet.
pub(crate) fn read(pod: &Value, options: LogOptions<'_>) -> Result<String, ApiError> {
    let tail = bounded("tailLines", options.tail_lines, 0, "must be greater than or equal to 0")?;
    let limit = bounded("limitBytes", options.limit_bytes, 1, "must be greater than 0")?;
    let container = choose(pod, options.container)?;
    if object::field(pod, "spec.nodeName").is_empty() {
        return Ok(String::new());
    }
    if options.previous {
        has_run_before(pod, container)?;
    } else {
        has_run(pod, container)?;
    }
    let first = tail.map_or(0, |tail| LINES.saturating_sub(u32::try_from(tail).unwrap_or(LINES)));
    let mut text: String = (first..LINES)
        .map(|number| {
            let stamp = if options.timestamps {
                format!("{} ", stamp(written_at(pod, number)))
            } else {
                String::new()
            };
            format!("{stamp}{}\n", line(pod, container, number))
        })
        .collect();
    if let Some(limit) = limit {
        text.truncate(text.floor_char_boundary(limit));
    }
    Ok(text)
}

fn bounded(field: &str, value: Option<i64>, least: i64, rule: &str) -> Result<Option<usize>, ApiError> {
    match value {
        Some(value) if value < least => {
            let why = format!("Invalid value: {value}: {rule}");
            Err(ApiError::invalid("", "PodLogOptions", "", field, "FieldValueInvalid", &why))
        }
        value => Ok(value.map(|value| usize::try_from(value).unwrap_or(usize::MAX))),
    }
}

fn choose<'a>(pod: &'a Value, wanted: &'a str) -> Result<&'a str, ApiError> {
    let names: Vec<&str> = pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    let name = object::name(pod);
    match (wanted, names.as_slice()) {
        ("", [only]) => Ok(only),
        ("", _) => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            names.join(" ")
        ))),
        (wanted, names) if names.contains(&wanted) => Ok(wanted),
        _ => Err(ApiError::bad_request(format!("container {wanted} is not valid for pod {name}"))),
    }
}

/// Refuses the log of a container that has not been started even once.
fn has_run(pod: &Value, container: &str) -> Result<(), ApiError> {
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let Some(status) = statuses.into_iter().find(|status| status["name"] == container) else {
        return Ok(());
    };
    let Some(reason) = status["state"]["waiting"]["reason"].as_str() else {
        return Ok(());
    };
    if status["lastState"]["terminated"].is_object() {
        return Ok(());
    }
    let why = match reason {
        "ImagePullBackOff" | "ErrImagePull" => "trying and failing to pull image",
        other => other,
    };
    let name = object::name(pod);
    Err(ApiError::bad_request(format!(
        "container \"{container}\" in pod \"{name}\" is waiting to start: {why}"
    )))
}

/// Refuses the log of a run that was not (`validateContainerLogStatus` in `pkg/kubelet/kubelet_pods.go`).
fn has_run_before(pod: &Value, container: &str) -> Result<(), ApiError> {
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let status = statuses.into_iter().find(|status| status["name"] == container);
    if status.is_some_and(|status| status["lastState"]["terminated"].is_object()) {
        return Ok(());
    }
    let name = object::name(pod);
    let why = format!("previous terminated container \"{container}\" in pod \"{name}\" not found");
    Err(ApiError::bad_request(why))
}

fn written_at(pod: &Value, number: u32) -> Timestamp {
    let started = object::field(pod, "status.startTime").parse().unwrap_or(Timestamp::UNIX_EPOCH);
    started.saturating_add(INTERVAL * i32::try_from(number).unwrap_or(i32::MAX)).unwrap_or(started)
}

/// A time as containerd writes it before a line.
fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

fn line(pod: &Value, container: &str, number: u32) -> String {
    let at = object::time(written_at(pod, number));
    let dice = crc32fast::hash(format!("{}/{container}/{number}", object::name(pod)).as_bytes());
    let millis = 3 + dice % 240;
    let is_crashing =
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    if is_crashing {
        crash_line(&at, number)
    } else if image.contains("nginx") {
        let (path, status) = pick(
            &[("/", 200), ("/cart", 200), ("/search?q=shoes", 200), ("/login", 302), ("/img/7.png", 304)],
            dice,
        );
        format!(
            "10.0.{}.{} - - [{at}] \"GET {path} HTTP/1.1\" {status} {} 0.{millis:03}",
            dice % 4,
            dice % 250,
            dice % 9000
        )
    } else if image.contains("redis") {
        format!("1:M {at} * {} changes in 60 seconds. Saving...", 1 + dice % 900)
    } else if image.contains("postgres") {
        format!("{at} UTC [1] LOG:  checkpoint complete: wrote {} buffers; write={millis} ms", dice % 4000)
    } else {
        let (level, message) = pick(
            &[
                ("INFO", "request finished"),
                ("INFO", "request finished"),
                ("INFO", "cache refreshed"),
                ("DEBUG", "connection taken from the pool"),
                ("WARN", "slow response from upstream, retrying"),
            ],
            dice,
        );
        json!({ "ts": at, "level": level, "msg": message, "duration_ms": millis, "request_id": format!("{dice:08x}") })
            .to_string()
    }
}

fn crash_line(at: &str, number: u32) -> String {
    let said = [
        "INFO starting, version 2.9.1",
        "INFO reading the rules from /etc/rules/rules.yaml",
        "ERROR connect to postgres://rules@rules-db:5432/rules: connection refused",
        "FATAL no connection to the database after 3 attempts, exiting",
    ];
    format!("{at} {}", said[number as usize % said.len()])
}

fn pick<T: Copy>(choices: &[T], dice: u32) -> T {
    choices[dice as usize % choices.len()]
}
