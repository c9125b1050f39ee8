//! What the lines of a log say: it follows from the container's image and from the number of the line.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object;

/// A line of a container that does its work.
pub(super) fn work(pod: &Value, container: &str, number: u64, at: Timestamp) -> String {
    let at = object::time(at);
    let dice = crc32fast::hash(format!("{}/{container}/{number}", object::name(pod)).as_bytes());
    let millis = 3 + dice % 240;
    let image = image(pod, container);
    if image.contains("nginx") {
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

/// What a container says that does not get to work. The last line comes as it ends.
pub(super) const FAILURE: [&str; 4] = [
    "INFO starting, version 2.9.1",
    "INFO reading the rules from /etc/rules/rules.yaml",
    "ERROR connect to postgres://rules@rules-db:5432/rules: connection refused",
    "FATAL no connection to the database after 3 attempts, exiting",
];

fn image<'a>(pod: &'a Value, container: &str) -> &'a str {
    let specs =
        ["containers", "initContainers"].into_iter().filter_map(|field| pod["spec"][field].as_array());
    let spec = specs.flatten().find(|spec| spec["name"] == container);
    spec.and_then(|spec| spec["image"].as_str()).unwrap_or_default()
}

fn pick<T: Copy>(choices: &[T], dice: u32) -> T {
    choices[dice as usize % choices.len()]
}
