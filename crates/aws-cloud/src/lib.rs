//! The cloud on AWS: EC2, EC2 Auto Scaling, EKS and the price list, in an account whose role `aws-access` assumes.
//!
//! The SDK of EC2 alone takes minutes to compile, so nothing but what runs on AWS depends on this crate.

mod advisor;
mod calls;
mod client;
mod clients;
mod eks;
mod error;
mod groups;
mod instances;
mod launch;
mod offers;
mod role;
mod settings;

pub use advisor::{AdvisorError, SpotAdvisor};
pub use client::AwsCloud;
pub use clients::Clients;
pub use settings::{Account, Settings, Timeouts};
