//! Which type replaces an instance: by its price and by how often it is taken away.

use cloud::{InstanceType, InterruptionBand, Lifecycle, Offer, Price};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is not cheaper by so much is not worth the trouble.
pub(super) const MIN_SAVING_PERCENT: i64 = 10;

/// A type that could replace the incumbent, or the incumbent itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Considered {
    /// The type.
    pub instance_type: InstanceType,
    /// What it costs now, in 1/10000 of a dollar an hour.
    pub price: Price,
    /// How often it is taken away, where it is known.
    pub interruption: Option<InterruptionBand>,
    /// Its price with what interruptions cost, which types are compared by, in 1/10000 of a dollar an hour.
    pub weighted: Price,
}

#[derive(Debug)]
pub(super) struct Choice {
    pub(super) incumbent: Considered,
    /// All that would do, the best first.
    pub(super) considered: Vec<Considered>,
    /// The first of them that is so much cheaper than the incumbent.
    pub(super) best: Option<Considered>,
}

/// Why nothing is compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoChoice {
    /// Something is not known.
    Unknown(String),
    /// The incumbent has something that nothing is compared by.
    Special(String),
}

/// Chooses among what a zone offers; not one of `short`, of which there is nothing to be had just now.
///
/// A type would do that has at least the incumbent's processors, memory and disks of its own, the same architecture, is not held back where
/// the incumbent is not, and is not taken away most often. Accelerators are not compared: no type that has any would do, and an incumbent
/// that has them stays. The error says why nothing can be said at all.
pub(super) fn choose(
    offers: &[Offer],
    incumbent: &InstanceType,
    lifecycle: Lifecycle,
    short: &[&InstanceType],
) -> Result<Choice, NoChoice> {
    let old = offers
        .iter()
        .find(|offer| offer.instance_type == *incumbent)
        .ok_or_else(|| NoChoice::Unknown(format!("nothing is known of the type {incumbent}")))?;
    if old.has_accelerators {
        return Err(NoChoice::Special(format!(
            "{incumbent} has accelerators, which are not compared: it stays"
        )));
    }
    let (price, weighted) = match lifecycle {
        Lifecycle::OnDemand => (old.on_demand, old.on_demand),
        Lifecycle::Spot => (old.spot, old.spot.map(|price| weigh(price, old.interruption))),
    };
    let unknown = || NoChoice::Unknown(format!("the price of {incumbent} is not known"));
    let (price, weighted) = price.zip(weighted).ok_or_else(unknown)?;
    let interruption = old.interruption.filter(|_| lifecycle == Lifecycle::Spot);
    let incumbent = Considered { instance_type: incumbent.clone(), price, interruption, weighted };

    let would_do = |offer: &&Offer| {
        offer.vcpus >= old.vcpus
            && offer.memory_mib >= old.memory_mib
            && offer.instance_store_gb >= old.instance_store_gb
            && !offer.has_accelerators
            && offer.architecture == old.architecture
            && (old.burstable || !offer.burstable)
            && offer.interruption.is_some_and(|band| band < InterruptionBand::Above20)
            && !short.contains(&&offer.instance_type)
            && !(lifecycle == Lifecycle::Spot && offer.instance_type == incumbent.instance_type)
    };
    let mut considered: Vec<Considered> = offers
        .iter()
        .filter(would_do)
        .filter_map(|offer| {
            let price = offer.spot?;
            let weighted = weigh(price, offer.interruption);
            let instance_type = offer.instance_type.clone();
            Some(Considered { instance_type, price, interruption: offer.interruption, weighted })
        })
        .collect();
    considered.sort_by(|a, b| (a.weighted, &a.instance_type).cmp(&(b.weighted, &b.instance_type)));
    let is_cheaper = |price: Price, than: Price| price.0 * 100 <= than.0 * (100 - MIN_SAVING_PERCENT);
    let best = considered
        .first()
        .filter(|best| {
            is_cheaper(best.weighted, incumbent.weighted) && is_cheaper(best.price, incumbent.price)
        })
        .cloned();
    Ok(Choice { incumbent, considered, best })
}

/// An interruption costs a replacement: the price is raised by the share of instances that are interrupted, the most that the band says.
fn weigh(price: Price, band: Option<InterruptionBand>) -> Price {
    let percent = match band {
        Some(InterruptionBand::Below5) => 5,
        Some(InterruptionBand::From5To10) => 10,
        Some(InterruptionBand::From10To15) => 15,
        Some(InterruptionBand::From15To20) => 20,
        Some(InterruptionBand::Above20) | None => 100,
    };
    Price(price.0 * (100 + percent) / 100)
}

/// A band, for a person.
pub(super) fn band_text(band: Option<InterruptionBand>) -> &'static str {
    match band {
        Some(InterruptionBand::Below5) => "below 5 % a month",
        Some(InterruptionBand::From5To10) => "5 to 10 % a month",
        Some(InterruptionBand::From10To15) => "10 to 15 % a month",
        Some(InterruptionBand::From15To20) => "15 to 20 % a month",
        Some(InterruptionBand::Above20) => "above 20 % a month",
        None => "not known",
    }
}

#[cfg(test)]
mod tests {
    use cloud::Architecture;

    use super::*;

    fn offer(
        name: &str,
        vcpus: u32,
        memory_gib: u64,
        on_demand: i64,
        spot: i64,
        band: InterruptionBand,
    ) -> Offer {
        Offer {
            instance_type: name.parse().unwrap(),
            zone: "us-east-1a".parse().unwrap(),
            vcpus,
            memory_mib: memory_gib << 10,
            architecture: if name.contains("6g") { Architecture::Arm64 } else { Architecture::Amd64 },
            burstable: name.starts_with('t'),
            has_accelerators: name.starts_with('g'),
            instance_store_gb: if name.contains('d') { 150 } else { 0 },
            on_demand: Some(Price(on_demand)),
            spot: Some(Price(spot)),
            interruption: Some(band),
        }
    }

    fn market() -> Vec<Offer> {
        use InterruptionBand::{Above20, Below5, From15To20};
        vec![
            offer("m5.xlarge", 4, 16, 1920, 800, From15To20),
            offer("m6i.xlarge", 4, 16, 1920, 700, Below5),
            offer("m5a.xlarge", 4, 16, 1720, 640, From15To20),
            offer("m6g.xlarge", 4, 16, 1540, 500, Below5),
            offer("t3.xlarge", 4, 16, 1664, 500, Below5),
            offer("r5.xlarge", 4, 32, 2520, 600, Above20),
            offer("c6i.xlarge", 4, 8, 1700, 400, Below5),
            offer("m5d.xlarge", 4, 16, 2260, 900, Below5),
            offer("g4dn.xlarge", 4, 16, 5260, 450, Below5),
        ]
    }

    fn chosen(incumbent: &str, lifecycle: Lifecycle, short: &[&str]) -> Option<String> {
        let short: Vec<InstanceType> = short.iter().map(|name| name.parse().unwrap()).collect();
        let short: Vec<&InstanceType> = short.iter().collect();
        let choice = choose(&market(), &incumbent.parse().unwrap(), lifecycle, &short).unwrap();
        choice.best.map(|best| best.instance_type.to_string())
    }

    #[test]
    fn the_cheapest_that_would_do_is_taken() {
        // 700 and 5 % are less than 640 and 20 %; smaller, slower, foreign and often interrupted ones are not considered.
        assert_eq!(chosen("m5.xlarge", Lifecycle::OnDemand, &[]).as_deref(), Some("m6i.xlarge"));
        assert_eq!(chosen("m5.xlarge", Lifecycle::OnDemand, &["m6i.xlarge"]).as_deref(), Some("m5a.xlarge"));
        assert_eq!(chosen("m5.xlarge", Lifecycle::Spot, &[]).as_deref(), Some("m6i.xlarge"));
    }

    #[test]
    fn what_is_hardly_cheaper_is_left_alone() {
        assert_eq!(chosen("m6i.xlarge", Lifecycle::Spot, &[]), None);
        assert_eq!(chosen("r5.xlarge", Lifecycle::OnDemand, &[]), None, "nothing else has its memory");
    }

    #[test]
    fn its_own_disks_and_accelerators_have_no_substitute() {
        assert_eq!(chosen("m5d.xlarge", Lifecycle::OnDemand, &[]).as_deref(), Some("m5d.xlarge"));
        let error = choose(&market(), &"g4dn.xlarge".parse().unwrap(), Lifecycle::OnDemand, &[]).unwrap_err();
        let why = "g4dn.xlarge has accelerators, which are not compared: it stays".to_owned();
        assert_eq!(error, NoChoice::Special(why));
    }

    #[test]
    fn without_a_price_nothing_is_decided() {
        let mut offers = market();
        offers[0].on_demand = None;
        let error = choose(&offers, &"m5.xlarge".parse().unwrap(), Lifecycle::OnDemand, &[]).unwrap_err();
        assert_eq!(error, NoChoice::Unknown("the price of m5.xlarge is not known".to_owned()));
    }
}
