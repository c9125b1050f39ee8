//! What can be bought in a zone.

mod kinds;
mod list_prices;
mod prices;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aws_sdk_ec2::types::LocationType;
use cloud::{CloudError, InstanceType, Offer, Zone};
use moka::future::Cache;

use crate::{AwsCloud, instances::filter};
use kinds::Kinds;
use list_prices::ListPrices;

/// Types come every few weeks, and to a zone every few days.
const GOOD_FOR: Duration = Duration::from_hours(6);
/// More zones than a region has.
const MOST_ZONES: u64 = 64;

/// What seldom changes, and takes a dozen pages to read.
pub(crate) struct Catalog {
    kinds: Cache<(), Arc<Kinds>>,
    list_prices: Cache<(), Arc<ListPrices>>,
    offered: Cache<Zone, Arc<BTreeSet<InstanceType>>>,
}

impl Catalog {
    pub(crate) fn new() -> Self {
        Self {
            kinds: Cache::builder().max_capacity(1).time_to_live(GOOD_FOR).build(),
            list_prices: Cache::builder().max_capacity(1).time_to_live(GOOD_FOR).build(),
            offered: Cache::builder().max_capacity(MOST_ZONES).time_to_live(GOOD_FOR).build(),
        }
    }
}

impl AwsCloud {
    /// Every type that the zone has, with the spot prices of now. Where a role may not read list prices, or there is no way to them, and
    /// without the advisor there are offers all the same.
    pub(crate) async fn all_offers(&self, zone: &Zone) -> Result<Vec<Offer>, CloudError> {
        let own = |error: Arc<CloudError>| (*error).clone();
        let kinds = self.catalog.kinds.try_get_with((), self.kinds()).await.map_err(own)?;
        let offered =
            self.catalog.offered.try_get_with(zone.clone(), self.offered(zone)).await.map_err(own)?;
        let prices = self.spot_prices(zone).await?;
        let listed = match self.catalog.list_prices.try_get_with((), self.list_prices()).await {
            Ok(listed) => Some(listed),
            // What is told a little later is worth the wait.
            Err(error) if matches!(*error, CloudError::Throttled) => return Err(own(error)),
            Err(error) => {
                tracing::warn!(%error, "list prices are not known");
                None
            }
        };
        let bands = match &self.advisor {
            Some(advisor) => Some(advisor.bands().await),
            None => None,
        };
        let offer = |instance_type: &InstanceType| {
            let kind = kinds.get(instance_type)?;
            let interruption =
                bands.as_ref().and_then(|bands| bands.as_ref()?.band(&self.region, instance_type));
            Some(Offer {
                instance_type: instance_type.clone(),
                zone: zone.clone(),
                vcpus: kind.vcpus,
                memory_mib: kind.memory_mib,
                architecture: kind.architecture,
                burstable: kind.burstable,
                has_accelerators: kind.has_accelerators,
                instance_store_gb: kind.instance_store_gb,
                on_demand: listed.as_ref().and_then(|prices| prices.get(instance_type)).copied(),
                spot: prices.get(instance_type).copied(),
                interruption,
            })
        };
        Ok(offered.iter().filter_map(offer).collect())
    }

    async fn offered(&self, zone: &Zone) -> Result<Arc<BTreeSet<InstanceType>>, CloudError> {
        let in_zone = filter("location", &[zone.as_str()]);
        let pages = || {
            let asked = self.ec2.describe_instance_type_offerings();
            let asked = asked.location_type(LocationType::AvailabilityZone).filters(in_zone.clone());
            asked.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
        };
        let offerings = self.ask(pages).await?;
        let names = offerings.iter().filter_map(|offering| offering.instance_type()?.as_str().parse().ok());
        Ok(Arc::new(names.collect()))
    }
}
