//! Alerts: who watches over clusters is called when one falls silent, and when it is back.
//!
//! The call is a POST to `ALERT_WEBHOOK_URL`, signed as <https://www.standardwebhooks.com> says. An alert is written together with
//! the change that it is about, and tried again with growing pauses; after the last try it is dead, which its owner can see and
//! undo.

mod deliver;
mod webhook;

pub(crate) use deliver::Deliverer;
pub use webhook::InvalidSecret;
pub(crate) use webhook::Webhook;
