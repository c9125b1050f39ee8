//! Access to clusters by stored credentials: a URL, a token, TLS data.
//!
//! [`ServerUrl`] and [`tls_data`] check what users give, [`kubeconfig`] reads it from the file of that name, and a
//! [`ClusterClient`] is made from it in memory.

mod address;
mod bearer;
mod client;
mod credentials;
pub mod drain;
mod error;
pub mod kubeconfig;
mod local;
mod lookup;
mod server_url;
pub mod tls_data;
mod tunnel;

pub use address::forbidden;
pub use bearer::Bearer;
pub use client::{ClusterClient, Limits, Version};
pub use credentials::{Credentials, Identity, Trust};
pub use error::AccessError;
pub use local::local_client;
pub use server_url::{Allowed, InvalidServerUrl, ServerUrl, is_server_name};
pub use tunnel::Tunnel;
