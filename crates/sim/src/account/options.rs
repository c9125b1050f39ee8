//! How the account beside the cluster is set up.

use std::time::Duration;

use crate::cloud::Timing;

/// Whether the cluster's nodes are instances of a simulated AWS account, and how that is set up.
#[derive(Clone, Debug)]
pub struct CloudOptions {
    /// Whether there is an account; when absent, only the shop has one.
    pub is_on: Option<bool>,
    /// Prices and the ids of instances follow from it.
    pub seed: u64,
    /// How long things take.
    pub timing: Timing,
    /// From the moment that an instance runs until its node is there.
    pub join: Duration,
    /// From there until the node is ready.
    pub ready: Duration,
    /// The name of the cluster in EKS.
    pub eks_cluster: String,
    /// A role that can be assumed.
    pub role_arn: String,
    /// The external id of that role; a random one when absent.
    pub external_id: Option<String>,
    /// How long its sessions last.
    pub session: Duration,
}

impl Default for CloudOptions {
    fn default() -> CloudOptions {
        CloudOptions {
            is_on: None,
            seed: 0,
            timing: Timing::default(),
            join: Duration::from_secs(2),
            ready: Duration::from_secs(2),
            eks_cluster: "shop".to_owned(),
            role_arn: format!("arn:aws:iam::{ACCOUNT_ID}:role/KubesageOptimizer"),
            external_id: None,
            // What STS gives who asks for no other time.
            session: Duration::from_hours(1),
        }
    }
}

impl CloudOptions {
    /// There is an account, in which everything happens at once.
    #[must_use]
    pub fn at_once() -> CloudOptions {
        let zero = Duration::ZERO;
        CloudOptions {
            is_on: Some(true),
            timing: Timing::none(),
            join: zero,
            ready: zero,
            ..CloudOptions::default()
        }
    }
}

/// No account of AWS has this id.
pub(super) const ACCOUNT_ID: &str = "000000000000";
