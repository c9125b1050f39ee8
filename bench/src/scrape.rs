//! What a service tells at `/metrics`.

use std::{collections::HashMap, net::SocketAddr};

use anyhow::{Result, ensure};

use crate::client::{self, Client};

/// Values by name and labels, as they are written: `name{label="value"}`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// Asks for them.
    pub(crate) async fn of(address: SocketAddr) -> Result<Self> {
        let mut body = Vec::new();
        let answer =
            Client::connect(address).await?.ask(&client::get(address, "/metrics", ""), &mut body).await?;
        ensure!(answer.status == 200, "/metrics answers {}", answer.status);
        let text = String::from_utf8(body)?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Self(values.collect()))
    }

    /// The sum of all values of this name whose labels hold `label`; `None` where there are none.
    pub(crate) fn sum(&self, name: &str, label: &str) -> Option<f64> {
        let of_name = |key: &str| {
            key.strip_prefix(name).is_some_and(|labels| labels.is_empty() || labels.starts_with('{'))
                && key.contains(label)
        };
        let mut values = self.0.iter().filter(|(key, _)| of_name(key)).map(|(_, value)| *value).peekable();
        values.peek()?;
        Some(values.sum())
    }
}

/// The mean of a histogram between two scrapes, in microseconds; `None` where nothing was recorded.
pub(crate) fn mean_us(before: &Metrics, after: &Metrics, name: &str, label: &str) -> Option<f64> {
    let grown = |suffix: &str| {
        let name = format!("{name}{suffix}");
        Some(after.sum(&name, label)? - before.sum(&name, label).unwrap_or_default())
    };
    let (sum, count) = (grown("_sum")?, grown("_count")?);
    (count > 0.0).then(|| sum / count * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_of_what_came_between() {
        let metrics = |sum: f64, count: f64| {
            Metrics(HashMap::from([
                ("a_seconds_sum{queue=\"q\"}".to_owned(), sum),
                ("a_seconds_count{queue=\"q\"}".to_owned(), count),
                ("a_seconds_count{queue=\"other\"}".to_owned(), 7.0),
            ]))
        };
        let (before, after) = (metrics(1.0, 10.0), metrics(3.0, 14.0));
        let mean = mean_us(&before, &after, "a_seconds", "queue=\"q\"").unwrap();
        assert!((mean - 500_000.0).abs() < 1e-6);
        assert_eq!(mean_us(&before, &before, "a_seconds", "queue=\"q\""), None);
        assert_eq!(mean_us(&before, &after, "b_seconds", ""), None);
    }
}
