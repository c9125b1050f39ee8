//! A region of AWS in memory, as far as Kubesage touches one: EC2 instances, Auto Scaling groups, prices, the names of EKS clusters.
//!
//! [`World`] does no I/O and has no clock and no chance of its own: every call brings the time, and the same seed with the same calls
//! gives the same answers. What takes time in AWS happens in the order of its times, when a call or [`World::advance`] comes that far.

mod agenda;
mod balance;
mod capacity;
pub(crate) mod catalog;
mod faults;
mod group;
mod hooks;
mod instances;
mod membership;
mod prices;
mod random;
mod reads;
mod timing;
mod world;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use self::agenda::{Event, EventKind};
pub use self::capacity::Pool;
pub use self::faults::{Change, Fault, FaultKind, Operation};
pub use self::group::{GroupSettings, LaunchTemplate, Sizes};
pub use self::hooks::{HookResult, LifecycleHook, Transition};
pub use self::timing::Timing;
pub use self::world::World;
pub(crate) use catalog::REGION;
