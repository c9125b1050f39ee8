//! Everything that crosses a process: queue messages, events, the agent's frames, keys and error codes.
//!
//! No I/O. Messages are JSON; unknown fields are ignored and unknown enum values survive a round trip, because
//! old and new processes run side by side during a roll-out.

pub mod agent;
pub mod auth;
pub mod catalog;
pub mod events;
pub mod query;
pub mod queues;
pub mod resources;

mod error_code;
mod json;
mod secret;
mod time;
mod token;
mod trace;

pub use error_code::ErrorCode;
pub use json::json_place;
pub use secret::WireSecret;
pub use time::Timestamp;
pub use token::{Token, TokenError, TokenKind, without_keys};
pub use trace::TraceParent;
