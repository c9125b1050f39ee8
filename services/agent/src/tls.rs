//! TLS to the relay: rustls with ring, and the certificates that the system trusts.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
};
use thiserror::Error;

/// There is no trust to verify the relay with.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The system trusts no certificate.
    #[error("no trusted certificates were found: install ca-certificates, or set SSL_CERT_FILE")]
    NoRoots,
    /// The further certificates cannot be used.
    #[error("API_CA_FILE {}: {source}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// TLS itself refuses the configuration.
    #[error("TLS cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Names the provider of cryptography for the whole process: kube takes the default one, and with two of them compiled
/// in there is none.
pub(crate) fn install_provider() {
    // An error means that there is one already.
    let _ = ring::default_provider().install_default();
}

/// What the relay is verified by: the system's certificates, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, and those of
/// `ca_file`.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a trusted certificate cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if let Some(path) = ca_file {
        let unusable = |source| TlsError::CaFile { path: path.to_owned(), source };
        for certificate in certificates(path).map_err(unusable)? {
            roots.add(certificate)?;
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The certificates of a file, of which there are none while it is missing: in a cluster it comes from a ConfigMap that need
/// not be there.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let certificates: Result<Vec<_>, _> = match CertificateDer::pem_file_iter(path) {
        Err(pem::Error::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?.collect(),
    };
    let certificates = certificates?;
    if certificates.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(certificates) }
}
