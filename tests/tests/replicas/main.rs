//! Several replicas of each service: processes that are killed, frozen, cut off and replaced, under load.

mod clocks;
mod copies;
mod cuts;
mod deaths;
mod rollout;
mod told;
