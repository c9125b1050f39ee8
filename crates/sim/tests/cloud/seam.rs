//! The account behaves as every cloud behind the seam.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use cloud::testing::{self, Fixture};
use cloud::{CloudChanges, GroupName, InstanceType, Lifecycle, Zone};
use sim::cloud::{GroupSettings, LaunchTemplate, Sizes};
use sim::{CloudOptions, Seed};

use crate::common::World;

struct Simulated {
    world: World,
    names: AtomicU32,
}

#[async_trait]
impl Fixture for Simulated {
    fn cloud(&self) -> &dyn CloudChanges {
        &*self.world.cloud
    }

    async fn group(&self, min: u32, max: u32, desired: u32) -> Result<GroupName> {
        let name: GroupName = self.unique().parse()?;
        let settings = GroupSettings {
            name: name.clone(),
            sizes: Sizes { min, max, desired },
            zones: vec![self.zone()],
            template: LaunchTemplate {
                instance_types: vec![self.instance_type()],
                lifecycle: Lifecycle::OnDemand,
                tags: [].into(),
            },
            protect_new: false,
            hooks: Vec::new(),
        };
        self.world.account().with(|world, now| world.create_group(now, settings))?;
        Ok(name)
    }

    fn instance_type(&self) -> InstanceType {
        "m5.large".parse().expect("a type")
    }

    fn zone(&self) -> Zone {
        "us-east-1a".parse().expect("a zone")
    }

    fn unique(&self) -> String {
        format!("suite-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    async fn pass(&self) {
        self.world.sim().clock().advance(Duration::from_secs(1));
    }
}

async fn fixture() -> Result<Simulated> {
    // Things take their time here: what is not done yet is seen, too.
    let options = CloudOptions { is_on: Some(true), ..CloudOptions::default() };
    Ok(Simulated { world: World::start(Seed::Empty, options).await?, names: AtomicU32::new(0) })
}

#[tokio::test]
async fn a_token_launches_once() -> Result<()> {
    testing::a_token_launches_once(&fixture().await?).await
}

#[tokio::test]
async fn instances_move_in_and_out_of_groups() -> Result<()> {
    testing::instances_move_in_and_out_of_groups(&fixture().await?).await
}

#[tokio::test]
async fn groups_keep_within_their_bounds() -> Result<()> {
    testing::groups_keep_within_their_bounds(&fixture().await?).await
}

#[tokio::test]
async fn a_member_is_ended_without_another() -> Result<()> {
    testing::a_member_is_ended_without_another(&fixture().await?).await
}

#[tokio::test]
async fn what_is_not_there_is_not_found() -> Result<()> {
    testing::what_is_not_there_is_not_found(&fixture().await?).await
}
