//! Where the time of one request goes, at one connection: the differences of what each hop says that it took.

use anyhow::Result;

use super::Subject;
use crate::{
    measure::Measured,
    scrape::{Metrics, mean_us},
    stats::median,
    table,
};

const QUEUE: &str = "queue=\"cluster_namespace_requests\"";
const ROUTE: &str = "route=\"/api/v3.0/cluster/namespaces\"";

/// What the services tell at one moment.
pub(super) struct Scraped {
    cluster: Metrics,
    onboarding: Metrics,
    agent: Metrics,
}

pub(super) async fn scrape(subject: &Subject) -> Result<Scraped> {
    Ok(Scraped {
        cluster: Metrics::of(subject.system.addresses.cluster).await?,
        onboarding: Metrics::of(subject.system.addresses.onboarding).await?,
        agent: Metrics::of(subject.agent.address().await?).await?,
    })
}

/// Mean microseconds from each place to the answer, outermost first, a row a round.
#[derive(Default)]
pub(super) struct Hops(Vec<[Option<f64>; 6]>);

/// What lies between a place and the next one inside of it.
const NAMES: [&str; 6] = [
    "HTTP, client and server, outside of the handler",
    "cluster service",
    "broker and queue, both ways",
    "onboarding",
    "WebSocket, both ways, and its wakeups",
    "agent",
];

impl Hops {
    pub(super) fn add(&mut self, before: &Scraped, after: &Scraped, measured: &Measured) {
        let cluster = |name, label| mean_us(&before.cluster, &after.cluster, name, label);
        let onboarding = |name, label| mean_us(&before.onboarding, &after.onboarding, name, label);
        self.0.push([
            Some(measured.figures.mean_us),
            cluster("http_request_duration_seconds", ROUTE),
            cluster("bus_request_seconds", QUEUE),
            onboarding("bus_serve_seconds", QUEUE),
            onboarding("agent_ask_seconds", ""),
            mean_us(&before.agent, &after.agent, "agent_answer_seconds", ""),
        ]);
    }

    /// Prints what each hop takes. A place that is not told is part of the hop around it.
    pub(super) fn print(&self) {
        let at = |place: usize| {
            let told: Vec<f64> = self.0.iter().filter_map(|round| round[place]).collect();
            (!told.is_empty()).then(|| median(told))
        };
        let places: Vec<(usize, f64)> =
            (0..NAMES.len()).filter_map(|place| Some((place, at(place)?))).collect();
        let whole = places.first().map(|(_, mean)| *mean).unwrap_or_default();
        let mut rows = Vec::new();
        for (number, (place, mean)) in places.iter().enumerate() {
            let (next, inner) = places.get(number + 1).copied().unwrap_or((NAMES.len(), 0.0));
            let (own, name) = (mean - inner, NAMES[*place..next].join("; "));
            rows.push(vec![name, format!("{own:.0} µs"), format!("{:.0} %", own / whole * 100.0)]);
        }
        rows.push(vec!["the whole".to_owned(), format!("{whole:.0} µs"), "100 %".to_owned()]);
        println!("Where the time of one request goes, at 1 connection (means)\n");
        table::print(&["hop", "time", "share"], &rows);
    }
}
