//! Long work that survives its process: a list of phases, each planned, written down, done, looked at, and undone when a later one fails.
//!
//! A saga is its journal ([`Entry`]): nothing else is kept of it, and what comes next is a function of what was written
//! ([`State`]). Whoever holds its lease carries on ([`Engine`]); what was written under an earlier lease's epoch than the newest is
//! refused by the [`Log`].

mod engine;
mod entry;
mod log;
mod reach;
mod state;
mod stuck;
mod timing;

pub use engine::Engine;
pub use entry::{Ending, Entry, Event, NewSaga, RunMode, SagaId};
pub use log::{Claimed, Lease, Log, LogError, Owner};
pub use reach::{NotLive, Reach};
pub use state::{Direction, Next, Stage, State};
pub use stuck::cannot_carry_on;
pub use timing::Timing;
