//! Figures: medians, quantiles, and how they are printed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one measurement gave.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    /// Answers that were not what they had to be.
    pub(crate) wrong: u64,
    pub(crate) seconds: f64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time of the process that asked, in microseconds.
    pub(crate) cpu_us: f64,
    /// Its resident memory.
    pub(crate) rss_kib: u64,
}

impl Figures {
    /// Of what each request took.
    pub(crate) fn of(mut times: Vec<Duration>, wrong: u64, elapsed: Duration) -> Self {
        times.sort_unstable();
        let mean = times.iter().sum::<Duration>().as_secs_f64() / times.len().max(1) as f64;
        Self {
            requests: times.len() as u64,
            wrong,
            seconds: elapsed.as_secs_f64(),
            mean_us: mean * 1e6,
            p50_us: micros(quantile(&times, 0.5)),
            p99_us: micros(quantile(&times, 0.99)),
            ..Self::default()
        }
    }

    /// Requests in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// The quantile of sorted times.
pub(crate) fn quantile(sorted: &[Duration], q: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "q is between 0 and 1")]
    let place = (sorted.len() as f64 * q) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The median; 0 of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let (lower, upper) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => 0.0,
    }
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Whether a target is met.
pub(crate) fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// Microseconds as milliseconds.
pub(crate) fn ms(micros: f64) -> String {
    format!("{:.2} ms", micros / 1e3)
}

/// KiB as MiB.
pub(crate) fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median([]).abs() < f64::EPSILON);
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 0.99), Duration::from_millis(100));
        assert_eq!(quantile(&times, 0.5), Duration::from_millis(51));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
