//! Instances.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    Filter, Instance as Told, InstanceLifecycleType, InstanceStateName, InstanceType, Reservation,
};
use cloud::{CloudError, Instance, InstanceId, InstanceState, Lifecycle};
use jiff::Timestamp;

use crate::{
    AwsCloud,
    error::{strange, unknown},
};

/// EC2's own tag of instances of groups, which nobody else can give. It goes when the instance leaves its group.
const GROUP_TAG: &str = "aws:autoscaling:groupName";
/// A page of `DescribeInstances` at most.
const PAGE: i32 = 1000;

impl AwsCloud {
    pub(crate) async fn find_instance(&self, id: &InstanceId) -> Result<Option<Instance>, CloudError> {
        let described = self.ask(|| self.ec2.describe_instances().instance_ids(id.as_str()).send()).await;
        match described {
            Ok(described) => {
                let told = described.reservations().iter().flat_map(Reservation::instances);
                told.map(instance).next().transpose()
            }
            Err(CloudError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn find_tagged(&self, tag: &str) -> Result<Vec<Instance>, CloudError> {
        let states = ["pending", "running", "shutting-down", "stopping", "stopped"];
        self.filtered(&[filter("tag-key", &[tag]), filter("instance-state-name", &states)]).await
    }

    pub(crate) async fn filtered(&self, filters: &[Filter]) -> Result<Vec<Instance>, CloudError> {
        let pages = || {
            let asked = self.ec2.describe_instances().set_filters(Some(filters.to_vec()));
            asked.into_paginator().page_size(PAGE).items().send().collect::<Result<Vec<_>, _>>()
        };
        let reservations = self.ask(pages).await?;
        reservations.iter().flat_map(Reservation::instances).map(instance).collect()
    }

    pub(crate) async fn end_instance(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.ask(|| self.changes.ec2.terminate_instances().instance_ids(id.as_str()).send()).await.map(drop)
    }
}

pub(crate) fn filter(name: &str, values: &[&str]) -> Filter {
    let values = values.iter().map(|&value| value.to_owned()).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

fn instance(told: &Told) -> Result<Instance, CloudError> {
    let id = told.instance_id().unwrap_or_default();
    let lacks = |what: &str| strange(&format!("the {what} of the instance {id}"));
    let wrong = |error: cloud::InvalidName| strange(&error.to_string());
    let tags = told.tags().iter().filter_map(|tag| {
        let key = tag.key()?;
        Some((key.to_owned(), tag.value().unwrap_or_default().to_owned()))
    });
    let tags: BTreeMap<String, String> = tags.collect();
    let zone = told.placement().and_then(|placement| placement.availability_zone());
    let launched_at = told.launch_time().ok_or_else(|| lacks("launch time"))?;
    Ok(Instance {
        id: id.parse().map_err(wrong)?,
        instance_type: told
            .instance_type()
            .map(InstanceType::as_str)
            .unwrap_or_default()
            .parse()
            .map_err(wrong)?,
        zone: zone.unwrap_or_default().parse().map_err(wrong)?,
        lifecycle: match told.instance_lifecycle() {
            Some(InstanceLifecycleType::Spot) => Lifecycle::Spot,
            // Reserved in one way or another: paid for, and not taken away for somebody who bids more.
            _ => Lifecycle::OnDemand,
        },
        state: told.state().and_then(|state| state.name()).and_then(state).ok_or_else(|| lacks("state"))?,
        group: tags.get(GROUP_TAG).map(|name| name.parse()).transpose().map_err(wrong)?,
        tags,
        launched_at: Timestamp::from_second(launched_at.secs())
            .map_err(|_| unknown("an instance of another age"))?,
    })
}

fn state(name: &InstanceStateName) -> Option<InstanceState> {
    Some(match name {
        InstanceStateName::Pending => InstanceState::Pending,
        InstanceStateName::Running => InstanceState::Running,
        InstanceStateName::ShuttingDown => InstanceState::ShuttingDown,
        InstanceStateName::Terminated => InstanceState::Terminated,
        InstanceStateName::Stopping => InstanceState::Stopping,
        InstanceStateName::Stopped => InstanceState::Stopped,
        _ => return None,
    })
}
