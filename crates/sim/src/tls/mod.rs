//! TLS: the cluster's own certificate authority, and the listener that serves with it.

mod authority;
mod listener;

pub(crate) use self::authority::Authority;
pub use self::authority::{CertificateError, ClientCertificate};
pub(crate) use self::listener::{Peer, TlsListener};
