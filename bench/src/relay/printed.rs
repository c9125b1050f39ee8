//! The tables.

use super::At;
use crate::{
    measure::Measured,
    stats::{Figures, median, mib, ms, verdict},
    table,
};

/// At 64 connections at least this part of the raw rate.
const RATE_TARGET: f64 = 0.45;
/// At one connection at most so many times the raw p50.
const P50_TARGET: f64 = 2.8;

struct Medians {
    rate: f64,
    p50: f64,
    p99: f64,
}

fn medians(rounds: &[Measured]) -> Medians {
    let of = |value: fn(&Figures) -> f64| median(rounds.iter().map(|round| value(&round.figures)));
    Medians { rate: of(Figures::rate), p50: of(|one| one.p50_us), p99: of(|one| one.p99_us) }
}

/// Ours beside raw, and the targets.
pub(super) fn rates(measured: &[At]) {
    let heads = [
        "connections",
        "raw req/s",
        "raw p50",
        "raw p99",
        "ours req/s",
        "p50",
        "p99",
        "of raw rate",
        "raw p50s",
    ];
    let mut rows = Vec::new();
    let mut targets = Vec::new();
    for at in measured {
        let (raw, ours) = (medians(&at.raw), medians(&at.ours));
        let (rate, p50) = (ours.rate / raw.rate, ours.p50 / raw.p50);
        rows.push(vec![
            at.connections.to_string(),
            format!("{:.0}", raw.rate),
            ms(raw.p50),
            ms(raw.p99),
            format!("{:.0}", ours.rate),
            ms(ours.p50),
            ms(ours.p99),
            format!("{:.1} %", rate * 100.0),
            format!("{p50:.1} times"),
        ]);
        match at.connections {
            1 => targets.push(format!(
                "p50 at 1 connection: {p50:.2} times raw (target at most {P50_TARGET}): {}",
                verdict(p50 <= P50_TARGET)
            )),
            64 => targets.push(format!(
                "rate at 64 connections: {:.1} % of raw (target at least {:.0} %): {}",
                rate * 100.0,
                RATE_TARGET * 100.0,
                verdict(rate >= RATE_TARGET)
            )),
            _ => {}
        }
    }
    table::print(&heads, &rows);
    for target in targets {
        println!("{target}");
    }
    println!();
}

/// What is measured beside.
pub(super) fn others(shared: &[Measured], all_in_one: &[(usize, Vec<Measured>)]) {
    let row = |name: String, rounds: &[Measured]| {
        let medians = medians(rounds);
        let inner = |name: &str| {
            let rounds = rounds.iter().flat_map(|round| &round.used).filter(|used| used.name == name);
            median(rounds.map(|used| used.cpu_us))
        };
        let rss = rounds.last().and_then(|round| round.used.first()).map_or(0, |used| used.rss_kib);
        let first = rounds.last().and_then(|round| round.used.first()).map_or("", |used| used.name.as_str());
        vec![
            name,
            format!("{:.0}", medians.rate),
            ms(medians.p50),
            ms(medians.p99),
            format!("{first}: {:.0} µs, {}", inner(first), mib(rss)),
        ]
    };
    let mut rows = vec![row("64 connections, identical queries share an answer".to_owned(), shared)];
    for (connections, rounds) in all_in_one {
        rows.push(row(format!("{connections} connections, all-in-one on the in-process bus"), rounds));
    }
    table::print(&["beside", "req/s", "p50", "p99", "CPU a request, and RSS"], &rows);
}

/// What each process used.
pub(super) fn usage(measured: &[At]) {
    println!("Processor time of one request in each process, and its resident memory\n");
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |title: &str, of: fn(&At) -> &Vec<Measured>| {
        let Some(last) = measured.last().and_then(|at| of(at).last()) else {
            return;
        };
        for used in &last.used {
            let mut row = vec![format!("{title} {}", used.name)];
            for at in measured {
                let all = of(at).iter().flat_map(|round| &round.used).filter(|one| one.name == used.name);
                row.push(format!("{:.0} µs", median(all.map(|one| one.cpu_us))));
            }
            row.push(mib(used.rss_kib));
            rows.push(row);
        }
        let mut row = vec![format!("{title} together")];
        for at in measured {
            let sum = |round: &Measured| round.used.iter().map(|used| used.cpu_us).sum();
            row.push(format!("{:.0} µs", median(of(at).iter().map(sum))));
        }
        row.push(String::new());
        rows.push(row);
    };
    add("raw:", |at| &at.raw);
    add("ours:", |at| &at.ours);
    let mut heads = vec!["process".to_owned()];
    heads.extend(measured.iter().map(|at| format!("at {}", at.connections)));
    heads.push("RSS".to_owned());
    table::print(&heads.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
}
