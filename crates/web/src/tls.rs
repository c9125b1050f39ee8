//! A server's certificate and key, from PEM files.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use thiserror::Error;

/// Where the certificate chain and its private key are, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// The private key of the certificate (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Why a certificate cannot be served.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificate's file cannot be read, or holds none.
    #[error("SSL_CERTFILE {}: {}", path.display(), explain(source))]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The key's file cannot be read, or holds none.
    #[error("SSL_KEYFILE {}: {}", path.display(), explain(source))]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Each could be read, together they do not serve.
    #[error("SSL_CERTFILE and SSL_KEYFILE cannot be used together: {0}")]
    Pair(#[from] rustls::Error),
}

impl TlsFiles {
    /// Reads both for a server of HTTP/1.1 over TLS 1.2 or 1.3.
    pub(crate) fn load(&self) -> Result<ServerConfig, TlsError> {
        let unusable = |source| TlsError::Certificate { path: self.certificate.clone(), source };
        let chain = CertificateDer::pem_file_iter(&self.certificate).map_err(unusable)?;
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unusable)?;
        if chain.is_empty() {
            return Err(unusable(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| TlsError::Key { path: self.key.clone(), source })?;

        // The provider is named, because a process with two of them compiled in has no default.
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn explain(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => "holds no PEM block of the kind that belongs there".to_owned(),
        other => format!("is not PEM: {other}"),
    }
}
