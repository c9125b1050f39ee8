//! What the types of a region are.

use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_ec2::types::{ArchitectureType, InstanceTypeInfo};
use cloud::{Architecture, CloudError, InstanceType};

use crate::AwsCloud;

/// What a type is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) vcpus: u32,
    pub(super) memory_mib: u64,
    pub(super) architecture: Architecture,
    pub(super) burstable: bool,
    pub(super) has_accelerators: bool,
    pub(super) instance_store_gb: u64,
}

pub(super) type Kinds = BTreeMap<InstanceType, Kind>;

impl AwsCloud {
    pub(super) async fn kinds(&self) -> Result<Arc<Kinds>, CloudError> {
        let pages = || {
            let asked = self.ec2.describe_instance_types().into_paginator();
            asked.items().send().collect::<Result<Vec<_>, _>>()
        };
        Ok(Arc::new(self.ask(pages).await?.iter().filter_map(kind).collect()))
    }
}

/// None for a type that runs no Linux node, such as a Mac, and for one that is told of by halves.
fn kind(told: &InstanceTypeInfo) -> Option<(InstanceType, Kind)> {
    let architectures = told.processor_info()?.supported_architectures();
    let architecture = if architectures.contains(&ArchitectureType::X8664) {
        Architecture::Amd64
    } else if architectures.contains(&ArchitectureType::Arm64) {
        Architecture::Arm64
    } else {
        return None;
    };
    let kind = Kind {
        vcpus: told.v_cpu_info()?.default_v_cpus()?.try_into().ok()?,
        memory_mib: told.memory_info()?.size_in_mib()?.try_into().ok()?,
        architecture,
        burstable: told.burstable_performance_supported().unwrap_or_default(),
        has_accelerators: has_accelerators(told),
        instance_store_gb: told
            .instance_storage_info()
            .and_then(|disks| disks.total_size_in_gb()?.try_into().ok())
            .unwrap_or_default(),
    };
    Some((told.instance_type()?.as_str().parse().ok()?, kind))
}

/// Whatever AWS tells of apart: GPUs, FPGAs, Inferentia, Trainium, and cards that encode video.
fn has_accelerators(told: &InstanceTypeInfo) -> bool {
    told.gpu_info().is_some()
        || told.fpga_info().is_some()
        || told.inference_accelerator_info().is_some()
        || told.neuron_info().is_some()
        || told.media_accelerator_info().is_some()
}
