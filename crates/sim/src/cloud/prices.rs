//! What spot instances cost.

use cloud::{Price, Zone};
use jiff::Timestamp;

use super::catalog::Kind;
use super::random;

/// A price goes from one chosen height to the next in this many seconds.
const PERIOD: i64 = 6 * 3600;
/// By so many thousandths it is above or below its average at most.
const SWING: i64 = 120;
/// By so many thousandths a zone is dearer or cheaper than others for ever, at most.
const ZONE_SWING: i64 = 60;

/// The price of a spot instance: the average savings of its type, and a slow way up and down that differs between zones.
pub(super) fn spot(seed: u64, kind: &Kind, zone: &Zone, now: Timestamp) -> Price {
    let pool = format!("{}/{zone}", kind.name);
    let seconds = now.as_second();
    let (step, into) = (seconds.div_euclid(PERIOD), seconds.rem_euclid(PERIOD));
    let (from, to) = (height(seed, &pool, step, SWING), height(seed, &pool, step + 1, SWING));
    let swing = from + (to - from) * into / PERIOD;
    let of_zone = height(seed, &pool, i64::MIN, ZONE_SWING);
    let average = i64::from(kind.on_demand) * i64::from(100 - kind.savings) / 100;
    Price((average * (1000 + swing + of_zone) / 1000).max(1))
}

/// A number from `-most` to `most`.
fn height(seed: u64, pool: &str, step: i64, most: i64) -> i64 {
    let range = (2 * most + 1).cast_unsigned();
    (random::hash(seed, pool, step) % range).cast_signed() - most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::catalog::KINDS;

    #[test]
    fn prices_move_slowly_around_their_savings() {
        let zone: Zone = "us-east-1a".parse().unwrap();
        for kind in KINDS {
            let average = i64::from(kind.on_demand) * i64::from(100 - kind.savings) / 100;
            let mut before = None;
            for minute in 0..2 * 24 * 60 {
                let at = Timestamp::from_second(1_800_000_000 + minute * 60).unwrap();
                let Price(price) = spot(7, kind, &zone, at);
                assert!((price - average).abs() * 1000 <= average * (SWING + ZONE_SWING) + 1000);
                assert!(price < i64::from(kind.on_demand));
                assert!((price - before.unwrap_or(price)).abs() <= 1 + average / 500, "{}", kind.name);
                before = Some(price);
            }
        }
    }
}
