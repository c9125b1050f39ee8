//! List prices, which AWS's price list has and EC2 does not.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use aws_sdk_pricing::types::{Filter, FilterType};
use cloud::{CloudError, InstanceType, Price};
use serde::Deserialize;

use super::prices::price;
use crate::{AwsCloud, error::refused};

const SERVICE: &str = "AmazonEC2";
/// A machine of one's own with nothing on it but Linux, used and not reserved.
const PLAIN: [(&str, &str); 5] = [
    ("operatingSystem", "Linux"),
    ("preInstalledSw", "NA"),
    ("tenancy", "Shared"),
    ("capacitystatus", "Used"),
    ("marketoption", "OnDemand"),
];

pub(super) type ListPrices = BTreeMap<InstanceType, Price>;

/// A line of the price list, as far as it matters here
/// (<https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file-for-services.html>).
#[derive(Deserialize)]
struct Line {
    product: Product,
    terms: Terms,
}

#[derive(Deserialize)]
struct Product {
    attributes: Attributes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    instance_type: String,
}

#[derive(Deserialize)]
struct Terms {
    #[serde(rename = "OnDemand")]
    on_demand: HashMap<String, Term>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term {
    price_dimensions: HashMap<String, Dimension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dimension {
    unit: String,
    price_per_unit: HashMap<String, String>,
}

impl AwsCloud {
    pub(super) async fn list_prices(&self) -> Result<Arc<ListPrices>, CloudError> {
        let equal = |(field, value): (&str, &str)| {
            Filter::builder().field(field).value(value).r#type(FilterType::TermMatch).build()
        };
        let meant = PLAIN.into_iter().chain([("regionCode", self.region.as_str())]).map(equal);
        let meant = meant.collect::<Result<Vec<_>, _>>();
        let meant = meant.map_err(|error| refused("InvalidParameterException", &error.to_string()))?;
        let pages = || {
            let asked = self.pricing.get_products().service_code(SERVICE).set_filters(Some(meant.clone()));
            asked.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
        };
        let lines = self.ask(pages).await?;
        Ok(Arc::new(lines.iter().filter_map(|line| list_price(line)).collect()))
    }
}

/// None for what has no price for an hour, such as a machine that is paid for by its host.
fn list_price(line: &str) -> Option<(InstanceType, Price)> {
    let line: Line = serde_json::from_str(line).ok()?;
    let dimensions = line.terms.on_demand.values().flat_map(|term| term.price_dimensions.values());
    let by_the_hour = dimensions.filter(|dimension| dimension.unit == "Hrs");
    let prices = by_the_hour.filter_map(|dimension| price(dimension.price_per_unit.get("USD")?));
    let price = prices.max().filter(|price| price.0 > 0)?;
    Some((line.product.attributes.instance_type.parse().ok()?, price))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = |unit: &str, usd: &str| {
            format!(
                r#"{{"product": {{"productFamily": "Compute Instance", "sku": "2223B6PCG6QAUYY6",
                    "attributes": {{"instanceType": "m5.large", "regionCode": "us-east-1", "vcpu": "2"}}}},
                  "serviceCode": "AmazonEC2", "version": "20260101000000",
                  "terms": {{"Reserved": {{}}, "OnDemand": {{"2223B6PCG6QAUYY6.JRTCKXETXF": {{
                    "priceDimensions": {{"2223B6PCG6QAUYY6.JRTCKXETXF.6YS6EN2CT7": {{
                      "unit": "{unit}", "endRange": "Inf", "pricePerUnit": {{"USD": "{usd}"}}}}}},
                    "sku": "2223B6PCG6QAUYY6", "termAttributes": {{}}}}}}}}}}"#
            )
        };
        let expected = ("m5.large".parse().unwrap(), Price(960));
        assert_eq!(list_price(&line("Hrs", "0.0960000000")), Some(expected));
        assert_eq!(list_price(&line("Quantity", "0.0960000000")), None);
        assert_eq!(list_price(&line("Hrs", "0.0000000000")), None, "it is sold for nothing to nobody");
        assert_eq!(list_price("{}"), None);
    }
}
