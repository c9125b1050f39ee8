//! Spot prices.

use std::{collections::BTreeMap, time::SystemTime};

use aws_sdk_ec2::{primitives::DateTime, types::SpotPrice};
use cloud::{CloudError, InstanceType, Price, Zone};

use crate::{AwsCloud, instances::filter};

/// Linux has the one name or the other, for no reason that matters here.
const LINUX: [&str; 2] = ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"];
/// A page of `DescribeSpotPriceHistory` at most.
const PAGE: i32 = 1000;

impl AwsCloud {
    /// The present price of each type that the zone has as a spot instance.
    pub(super) async fn spot_prices(&self, zone: &Zone) -> Result<BTreeMap<InstanceType, Price>, CloudError> {
        let in_zone = filter("availability-zone", &[zone.as_str()]);
        // A history that begins now begins with the prices of now.
        let now = DateTime::from(SystemTime::now());
        let pages = || {
            let asked = self.ec2.describe_spot_price_history().filters(in_zone.clone()).start_time(now);
            let asked = asked.set_product_descriptions(Some(LINUX.map(str::to_owned).to_vec()));
            asked.into_paginator().page_size(PAGE).items().send().collect::<Result<Vec<_>, _>>()
        };
        Ok(newest(&self.ask(pages).await?))
    }
}

/// The newest price of each type; prices may have changed while the pages were read.
fn newest(history: &[SpotPrice]) -> BTreeMap<InstanceType, Price> {
    let mut newest: BTreeMap<InstanceType, (Option<DateTime>, Price)> = BTreeMap::new();
    for told in history {
        let Some(name) = told.instance_type().and_then(|name| name.as_str().parse().ok()) else { continue };
        let Some(price) = told.spot_price().and_then(price) else { continue };
        let at = told.timestamp().copied();
        let known = newest.entry(name).or_insert((at, price));
        if at > known.0 {
            *known = (at, price);
        }
    }
    newest.into_iter().map(|(name, (_, price))| (name, price)).collect()
}

/// Dollars an hour as AWS writes them, such as `0.034500`. Rounded up: nothing is to look cheaper than it is.
pub(super) fn price(text: &str) -> Option<Price> {
    let (dollars, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    if dollars.is_empty() || !is_number(dollars) || !is_number(fraction) {
        return None;
    }
    let (told, rest) = fraction.split_at(fraction.len().min(4));
    let ten_thousandths: i64 = format!("{told:0<4}").parse().ok()?;
    let more = i64::from(rest.bytes().any(|b| b != b'0'));
    let dollars: i64 = dollars.parse().ok()?;
    Some(Price(dollars * 10_000 + ten_thousandths + more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_exactly() {
        for (text, expected) in [
            ("0.034500", Some(345)),
            ("0.0001", Some(1)),
            ("0.000010", Some(1)),
            ("12.3400", Some(123_400)),
            ("1", Some(10_000)),
            ("0.12345", Some(1235)),
            ("", None),
            (".5", None),
            ("-1.0", None),
            ("1.2.3", None),
            ("9999999999999.0", None),
        ] {
            assert_eq!(price(text), expected.map(Price), "{text}");
        }
    }

    #[test]
    fn the_newest_price_counts() {
        let told = |name: &str, at: i64, price: &str| {
            let told = SpotPrice::builder().instance_type(name.into()).timestamp(DateTime::from_secs(at));
            told.spot_price(price).build()
        };
        let history =
            [told("m5.large", 10, "0.02"), told("m5.large", 30, "0.03"), told("m5.large", 20, "0.04")];
        assert_eq!(newest(&history), [("m5.large".parse().unwrap(), Price(300))].into());
    }
}
