//! Who calls: keys at the door, what is remembered of them, and whom a verifier asks.

mod door;
mod fallback;
mod forgetting;
mod memory;
mod user_auth;
