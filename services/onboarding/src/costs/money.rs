//! Money, and what resources cost.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

/// Hours of a month, as AWS and OpenCost count them: 365 × 24 / 12.
pub(super) const HOURS_OF_A_MONTH: i128 = 730;
/// Nothing costs more: a million dollars.
const MOST: i64 = 1_000_000 * Money::DOLLAR;
const GIB: i128 = 1 << 30;
/// No cluster has more: a hundred million processors and an EiB.
const MOST_CPU: i128 = 100_000_000_000;
const MOST_MEMORY: i128 = 1 << 60;

/// An amount in 1/10000 of a dollar; written in dollars, as a number with at most four decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Money(pub(crate) i64);

impl Money {
    const DOLLAR: i64 = 10_000;

    /// Reads an amount that a person has entered.
    fn entered(dollars: f64) -> Result<Self, &'static str> {
        if !dollars.is_finite() || dollars < 0.0 {
            return Err("must not be negative");
        }
        // The shortest text that is this number: what was entered, but for zeros.
        let text = dollars.to_string();
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        if decimals.len() > 4 {
            return Err("must have at most four decimals");
        }
        let units = format!("{whole}{decimals:0<4}").parse().ok().filter(|units| *units <= MOST);
        units.map(Self).ok_or("must be at most 1000000")
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^53")]
        serializer.serialize_f64(self.0 as f64 / Self::DOLLAR as f64)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::entered(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// What resources cost; `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rates {
    /// Of a processor, in dollars an hour.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub(crate) cpu_cost: Option<Money>,
    /// Of a GiB of memory, in dollars an hour.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub(crate) memory_cost: Option<Money>,
    /// Of a GiB of incoming traffic, in dollars.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub(crate) ingress_cost: Option<Money>,
    /// Of a GiB of outgoing traffic, in dollars.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub(crate) egress_cost: Option<Money>,
    /// Of a GiB of storage, in dollars an hour.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub(crate) storage_cost: Option<Money>,
}

impl Rates {
    /// Whether what nodes cost is known.
    pub(crate) fn are_known(&self) -> bool {
        self.cpu_cost.is_some() && self.memory_cost.is_some()
    }

    /// Whether nothing can be worked out.
    pub(crate) fn are_unknown(&self) -> bool {
        self.cpu_cost.is_none() && self.memory_cost.is_none()
    }

    /// What so much costs in an hour, exactly: in 1/10000 of a dollar, times [`Exact::UNIT`].
    pub(super) fn of(&self, cpu_millis: i128, memory_bytes: i128) -> Exact {
        let rate = |rate: Option<Money>| i128::from(rate.unwrap_or_default().0);
        Exact(cpu_millis * rate(self.cpu_cost) * GIB + memory_bytes * rate(self.memory_cost) * 1000)
    }

    /// The same of storage.
    pub(super) fn of_storage(&self, bytes: i128) -> Option<Exact> {
        Some(Exact(bytes * i128::from(self.storage_cost?.0) * 1000))
    }
}

/// An amount for an hour that is not rounded yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exact(pub(super) i128);

impl Exact {
    /// A thousand for thousandths of a processor, 2^30 for bytes of a GiB.
    pub(super) const UNIT: i128 = 1000 * GIB;
}

/// What a cluster costs in an hour and in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Cost {
    /// In dollars, to four decimals.
    #[schema(value_type = f64)]
    pub(crate) hourly: Money,
    /// In dollars, to the cent.
    #[schema(value_type = f64)]
    pub(crate) monthly: Money,
}

impl Cost {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            hourly: Money(self.hourly.0.saturating_add(other.hourly.0)),
            monthly: Money(self.monthly.0.saturating_add(other.monthly.0)),
        }
    }

    pub(super) fn rounded(exact: Exact) -> Self {
        Self { hourly: Money(hourly(exact)), monthly: Money(monthly_cents(exact).saturating_mul(CENT)) }
    }
}

/// In 1/10000 of a dollar.
pub(super) const CENT: i64 = 100;

/// 1/10000 of a dollar in an hour, rounded half up.
pub(super) fn hourly(exact: Exact) -> i64 {
    rounded(exact.0, Exact::UNIT)
}

/// Cents in a month, rounded half up.
pub(super) fn monthly_cents(exact: Exact) -> i64 {
    rounded(exact.0 * HOURS_OF_A_MONTH, Exact::UNIT * i128::from(CENT))
}

fn rounded(amount: i128, unit: i128) -> i64 {
    i64::try_from((amount + unit / 2).div_euclid(unit)).unwrap_or(i64::MAX)
}

/// What nodes that have so much together cost; `None` while a rate is unknown or the agent has told nothing.
pub(crate) fn of_capacity(rates: &Rates, cpu_millis: Option<i64>, memory_bytes: Option<i64>) -> Option<Cost> {
    if !rates.are_known() {
        return None;
    }
    // Nothing vouches for what an agent says.
    let (cpu, memory) =
        (i128::from(cpu_millis?).clamp(0, MOST_CPU), i128::from(memory_bytes?).clamp(0, MOST_MEMORY));
    Some(Cost::rounded(rates.of(cpu, memory)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_have_four_decimals_at_most_and_are_not_negative() {
        for (text, units) in [
            ("0", 0),
            ("-0.0", 0),
            ("3.56", 35_600),
            ("0.0001", 1),
            ("1e-4", 1),
            ("12", 120_000),
            ("1000000", 10_000_000_000),
        ] {
            assert_eq!(serde_json::from_str::<Money>(text).unwrap(), Money(units), "{text}");
        }
        for text in ["-0.1", "0.00001", "1.23456", "1000000.0001", "1e300", "\"1\"", "true"] {
            assert!(serde_json::from_str::<Money>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(units in 0..=MOST) {
            let text = serde_json::to_string(&Money(units)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&text).unwrap(), Money(units));
        }
    }

    #[test]
    fn a_cluster_costs_what_its_nodes_have() {
        let rates = Rates { cpu_cost: Some(Money(350)), memory_cost: Some(Money(50)), ..Rates::default() };
        // 4 processors at 3.5 cents, 16 GiB at half a cent.
        let cost = of_capacity(&rates, Some(4000), Some(16 << 30)).unwrap();
        assert_eq!((cost.hourly, cost.monthly), (Money(2200), Money(1_606_000)));
        assert_eq!(of_capacity(&Rates::default(), Some(1), Some(1)), None);
        assert_eq!(of_capacity(&rates, None, Some(1)), None);
        let most = Rates { cpu_cost: Some(Money(MOST)), memory_cost: Some(Money(MOST)), ..Rates::default() };
        assert!(of_capacity(&most, Some(i64::MAX), Some(i64::MAX)).is_some(), "nonsense is bounded");
    }
}
