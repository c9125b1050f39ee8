//! TLS: the cluster's own certificate authority.

mod authority;

pub(crate) use self::authority::Authority;
pub use self::authority::{CertificateError, ClientCertificate};
