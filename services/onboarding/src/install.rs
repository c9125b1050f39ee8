//! What installs an agent: its objects, and the script that applies them.

mod feature;
mod manifest;
mod objects;
mod script;

pub use feature::Feature;
pub(crate) use manifest::{AgentSecret, Manifest};
pub use objects::role_rules;
pub(crate) use script::{Install, UNINSTALL};
