//! What came of the drains, and whether ours does as kubectl's.

use std::fmt;

use super::Tool;
use crate::stats::median;

/// What one drain took, and what is not as it should be after it.
pub(super) struct Drain {
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) differences: Vec<String>,
}

/// The drains of a case by one tool: medians, and all differences.
pub(super) struct Drains {
    pub(super) tool: Tool,
    pub(super) seconds: f64,
    pub(super) requests: f64,
    differences: Vec<String>,
}

impl Drains {
    pub(super) fn of(tool: Tool, drains: &[Drain]) -> Self {
        let differences = drains.iter().flat_map(|drain| &drain.differences);
        Self {
            tool,
            seconds: median(drains.iter().map(|drain| drain.seconds)),
            requests: median(drains.iter().map(|drain| drain.requests as f64)),
            differences: differences.map(|difference| format!("after {tool}, {difference}")).collect(),
        }
    }
}

/// So much slower than kubectl it may be before that fails: the machine has other things to do.
const MOST_RATIO: f64 = 1.2;

/// `kubesage drain` beside `kubectl drain`.
pub(super) struct Verdict {
    differences: Vec<String>,
    ratio: f64,
    requests: [f64; 2],
}

impl Verdict {
    pub(super) fn on(ours: &Drains, theirs: &Drains) -> Self {
        Self {
            differences: theirs.differences.iter().chain(&ours.differences).cloned().collect(),
            ratio: ours.seconds / theirs.seconds,
            requests: [ours.requests, theirs.requests],
        }
    }

    fn asks_no_more(&self) -> bool {
        self.requests[0] <= self.requests[1]
    }

    /// Whether it is not only told.
    pub(super) fn fails(&self) -> bool {
        !self.differences.is_empty() || !self.asks_no_more() || self.ratio > MOST_RATIO
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |is_so: bool| if is_so { "yes" } else { "NO" };
        match self.differences.as_slice() {
            [] => f.write_str("same end state")?,
            differences => write!(f, "ANOTHER END STATE ({})", differences.join("; "))?,
        }
        let [ours, theirs] = self.requests;
        write!(
            f,
            "; no slower: {} ({:.2}); no more API calls: {} ({ours} of {theirs})",
            yes(self.ratio <= 1.0),
            self.ratio,
            yes(self.asks_no_more())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drains(tool: Tool, seconds: f64, requests: u64, differences: &[&str]) -> Drains {
        let differences = differences.iter().map(ToString::to_string).collect();
        Drains::of(tool, &[Drain { seconds, requests, differences }])
    }

    #[test]
    fn a_verdict_says_what_is_worse() {
        let theirs = drains(Tool::Kubectl, 2.0, 40, &[]);
        let verdict = Verdict::on(&drains(Tool::Kubesage, 1.0, 40, &[]), &theirs);
        assert_eq!(
            verdict.to_string(),
            "same end state; no slower: yes (0.50); no more API calls: yes (40 of 40)"
        );
        assert!(!verdict.fails());
        let slower = Verdict::on(&drains(Tool::Kubesage, 3.0, 39, &[]), &theirs);
        assert!(slower.to_string().contains("no slower: NO (1.50)") && slower.fails());
        let hardly = Verdict::on(&drains(Tool::Kubesage, 2.2, 39, &[]), &theirs);
        assert!(hardly.to_string().contains("no slower: NO (1.10)") && !hardly.fails());
        let more = Verdict::on(&drains(Tool::Kubesage, 1.0, 41, &[]), &theirs);
        assert!(more.to_string().ends_with("no more API calls: NO (41 of 40)") && more.fails());
        let other = Verdict::on(&drains(Tool::Kubesage, 1.0, 4, &["a: b, and should be c"]), &theirs);
        assert!(
            other.to_string().starts_with(
                "ANOTHER END STATE (after kubesage drain, a: b, and should be c); no slower: yes"
            )
        );
        assert!(other.fails());
    }
}
