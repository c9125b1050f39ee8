//! What many seeds have shown.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use super::{chaos::Counted, run::Told};

/// What many seeds have shown.
#[derive(Default)]
pub(super) struct Tally {
    endings: BTreeMap<String, u64>,
    places: BTreeMap<String, Counted>,
    took: Duration,
}

impl Tally {
    pub(super) fn add(&mut self, told: &Told) {
        for ending in &told.endings {
            *self.endings.entry(ending.clone()).or_default() += 1;
        }
        for (place, counted) in &told.places {
            let sum = self.places.entry(place.clone()).or_default();
            sum.visits += counted.visits;
            sum.deaths += counted.deaths;
        }
        self.took += told.took;
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let deaths: u64 = self.places.values().map(|counted| counted.deaths).sum();
        let mut text = format!(
            "endings: {:?}\n{deaths} deaths in {} hours of the world's time, at {} kinds of places:\n",
            self.endings,
            self.took.as_secs() / 3600,
            self.places.len()
        );
        for (place, Counted { visits, deaths }) in &self.places {
            writeln!(text, "{deaths:>8} of {visits:>9} {place}").unwrap();
        }
        text
    }

    /// What has not been shown though there were so many seeds.
    pub(super) fn gaps(&self) -> Vec<String> {
        let endings = [
            "succeeded",
            "failed",
            "cancelled",
            "kept",
            "refused",
            "shadow succeeded",
            "shadow failed",
            "shadow cancelled",
            "failed (given up)",
        ];
        let never = endings.iter().filter(|ending| !self.endings.contains_key(**ending));
        let mut gaps: Vec<String> = never.map(|ending| format!("no saga has ended so: {ending}")).collect();
        for (place, counted) in &self.places {
            // At what is seldom a death is rarer still.
            if counted.deaths == 0 && counted.visits > 1000 {
                gaps.push(format!("no process dies {place}"));
            }
        }
        gaps
    }
}
