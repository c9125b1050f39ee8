//! What a cluster costs, as the OpenCost specification defines it (<https://opencost.io/docs/specification/>): what nodes have
//! is paid for; what workloads hold of it is theirs, and the rest is idle.

mod allocate;
mod money;

pub(crate) use allocate::{Costs, allocate};
pub(crate) use money::{Cost, Money, Rates, of_capacity};
