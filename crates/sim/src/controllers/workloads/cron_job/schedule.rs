//! When a cron job is due: its schedule in the words of `robfig/cron`, and `mostRecentScheduleTime` of
//! `pkg/controller/cronjob/utils.go`.

use cronexpr::{Crontab, MakeTimestamp};
use jiff::{SignedDuration, Timestamp};

use crate::object::seconds_later;

/// How many missed times are walked through: a day of minutes. What lies before is skipped.
const MAX_STEPS: usize = 24 * 60;

/// Ten years: farther than any search goes.
const SEARCHED: i64 = 10 * 366 * 24 * 60 * 60;

pub(super) enum Schedule {
    Cron(Box<Crontab>),
    /// `@every 90s`, from whenever it is counted.
    Every(SignedDuration),
}

impl Schedule {
    /// Reads a schedule; `None` where it is none.
    pub(super) fn parse(text: &str, time_zone: &str) -> Option<Schedule> {
        let fields = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            every if every.starts_with("@every ") => return Schedule::every(every),
            fields => fields,
        };
        // `?` is another way to write `*`.
        let fields = fields.replace('?', "*");
        let zone = if time_zone.is_empty() { "UTC" } else { time_zone };
        let crontab = cronexpr::parse_crontab(&format!("{fields} {zone}")).ok()?;
        Some(Schedule::Cron(Box::new(crontab)))
    }

    fn every(text: &str) -> Option<Schedule> {
        let period: SignedDuration = text.strip_prefix("@every ")?.trim().parse().ok()?;
        (period >= SignedDuration::from_secs(1)).then_some(Schedule::Every(period))
    }

    /// The first time after `at`.
    pub(super) fn next(&self, at: Timestamp) -> Option<Timestamp> {
        // The search looks some years ahead and panics where time ends.
        if seconds_later(at, SEARCHED) == at {
            return None;
        }
        match self {
            Schedule::Cron(crontab) => Some(crontab.find_next(MakeTimestamp(at)).ok()?.timestamp()),
            Schedule::Every(period) => at.checked_add(*period).ok(),
        }
    }

    /// The last time after `earliest` and up to `now`, and how many there were, as far as they are counted.
    pub(super) fn last(&self, earliest: Timestamp, now: Timestamp) -> (Option<Timestamp>, usize) {
        let (mut last, mut missed, mut from) = (None, 0, earliest);
        while let Some(next) = self.next(from).filter(|next| *next <= now && *next > from) {
            last = Some(next);
            missed += 1;
            from = next;
            if missed == MAX_STEPS {
                // However long it slept, the last day says when it is due now.
                from = from.max(seconds_later(now, -24 * 60 * 60));
            } else if missed > 2 * MAX_STEPS {
                break;
            }
        }
        (last, missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, zone: &str, at: &str) -> Option<String> {
        let next = Schedule::parse(schedule, zone)?.next(at.parse().unwrap())?;
        Some(next.to_string())
    }

    #[test]
    fn schedules_in_all_words() {
        let at = "2026-01-01T10:07:30Z";
        for (schedule, zone, expected) in [
            ("*/5 * * * *", "", Some("2026-01-01T10:10:00Z")),
            ("@hourly", "", Some("2026-01-01T11:00:00Z")),
            ("@every 1h30m", "", Some("2026-01-01T11:37:30Z")),
            ("30 2 * * ?", "Europe/Berlin", Some("2026-01-02T01:30:00Z")),
            ("0 0 13 * 5", "", Some("2026-01-02T00:00:00Z")),
            ("0 0 31 2 *", "", None),
            ("@every 0s", "", None),
            ("61 * * * *", "", None),
            ("", "", None),
            ("* * * * *", "Nowhere/Land", None),
        ] {
            assert_eq!(next(schedule, zone, at).as_deref(), expected, "{schedule}");
        }
    }

    #[test]
    fn the_end_of_time_is_survived() {
        let schedule = Schedule::parse("* * * * *", "").unwrap();
        assert_eq!(schedule.next(Timestamp::MAX), None);
    }

    #[test]
    fn the_last_of_many_missed_times_counts() {
        let schedule = Schedule::parse("* * * * *", "").unwrap();
        let (start, now) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-03-01T00:00:30Z".parse().unwrap());
        let (last, missed) = schedule.last(start, now);
        assert_eq!(last, Some("2026-03-01T00:00:00Z".parse().unwrap()));
        assert!(missed > 100);
    }
}
