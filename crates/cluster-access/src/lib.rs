//! Access to clusters by stored credentials.

mod address;
mod server_url;
pub mod tls_data;

pub use address::forbidden;
pub use server_url::{Allowed, InvalidServerUrl, ServerUrl};
