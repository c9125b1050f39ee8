//! Sessions in AWS accounts, by roles that customers hand over (`sts:AssumeRole` with an external id), and tokens for their EKS clusters.

mod arn;
mod eks_token;
mod error;
mod sessions;
mod sts;

pub use arn::{InvalidArn, RoleArn};
pub use eks_token::{EksToken, EksTokenError, eks_token};
pub use error::AwsError;
pub use sessions::Sessions;
pub use sts::{Identity, Proof, Session, Sts, StsOptions};
