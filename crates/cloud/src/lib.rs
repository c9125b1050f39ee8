//! What is asked of a cloud: instances, the groups they are in, what they cost. No I/O: AWS is behind it in `aws-cloud`, the simulated
//! cloud of `sim` in `simulated-cloud`. The feature `testing` has the suite that both pass.
//!
//! [`CloudReads`] has no method that changes anything. Who is given no more than that cannot buy, move or end anything, whatever it
//! decides: that is what shadow mode is.

mod calls;
mod error;
mod group;
mod instance;
mod names;
mod offer;
#[cfg(feature = "testing")]
pub mod testing;
mod token;

pub use calls::{CloudChanges, CloudReads, EksCluster, Launch};
pub use error::CloudError;
pub use group::{Group, Member, MemberState};
pub use instance::{Instance, InstanceState, Lifecycle};
pub use names::{ClusterName, GroupName, InstanceId, InstanceType, InvalidName, Zone};
pub use offer::{Architecture, InterruptionBand, Offer, Price};
pub use token::{ClientToken, InvalidClientToken};
