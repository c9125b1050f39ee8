//! Sessions in AWS accounts, by roles that customers hand over (`sts:AssumeRole` with an external id).

mod arn;
mod error;
mod sessions;
mod sts;

pub use arn::{InvalidArn, RoleArn};
pub use error::AwsError;
pub use sessions::Sessions;
pub use sts::{Identity, Proof, Session, Sts, StsOptions};
