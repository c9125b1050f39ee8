//! Values of metrics: of one test's own thread, beside tests that run in the same process, or as a process tells them.

use anyhow::Context;
use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// The metrics of everything that this thread runs: with a runtime of one thread, all of a test's own.
pub struct Metrics {
    recorded: PrometheusHandle,
    _recording: LocalRecorderGuard<'static>,
}

impl Metrics {
    /// Records from now on, until this is dropped.
    pub fn of_this_thread() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let recorded = recorder.handle();
        // The guard borrows it; a test's process lives about as long.
        let recording = metrics::set_default_local_recorder(Box::leak(Box::new(recorder)));
        Self { recorded, _recording: recording }
    }

    /// The value of a series, `name` or `name{label="value"}`; zero before it is recorded.
    ///
    /// # Errors
    /// When the value is no number.
    pub fn value(&self, series: &str) -> anyhow::Result<f64> {
        series_value(&self.recorded.render(), series)
    }
}

/// The value of a series in the text of `/metrics`; zero where it is not there.
///
/// # Errors
/// When the value is no number.
pub fn series_value(text: &str, series: &str) -> anyhow::Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(Ok(0.0), |value| value.parse().with_context(|| format!("{series} {value}")))
}
