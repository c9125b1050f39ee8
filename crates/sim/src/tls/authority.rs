//! The cluster's certificate authority, as `kubeadm init` makes one.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};

/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The names of the API server inside of its cluster (`kubeadm/app/util/pkiutil/pki_helpers.go`).
const NAMES: [&str; 5] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
];

/// Signs the certificates of the server and of its clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A user's certificate and its private key, both PEM: the user is its common name, the group its organization.
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS #8.
    pub key: String,
}

/// Why a certificate cannot be made or served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be written or signed.
    #[error(transparent)]
    Write(#[from] rcgen::Error),
    /// TLS refuses it.
    #[error(transparent)]
    Serve(#[from] rustls::Error),
    /// A key cannot be made.
    #[error("the key is refused: {0}")]
    Key(::ring::error::KeyRejected),
    /// The authority cannot tell its clients' certificates.
    #[error(transparent)]
    Verify(#[from] rustls::server::VerifierBuilderError),
}

impl Authority {
    /// The authority's key is derived from the administrator's token, as all credentials of the cluster are: a
    /// kubeconfig stays good when a simulator is started again with the same token.
    pub(crate) fn derived_from(admin_token: &str) -> Result<Authority, CertificateError> {
        let seed = Sha256::digest(format!("certificate authority\0{admin_token}"));
        let pkcs8 = [&ED25519_PKCS8[..], &seed[..]].concat();
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8))?;
        let mut params = named("kubernetes", Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Authority(CertifiedIssuer::self_signed(params, key)?))
    }

    /// The certificate that clients trust.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// TLS 1.2 and 1.3 with HTTP/1.1 for a server at `address`. Clients may show a certificate of this authority.
    pub(crate) fn server_config(&self, address: IpAddr) -> Result<ServerConfig, CertificateError> {
        let addresses = [address.to_string(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let names = NAMES.map(str::to_owned).into_iter().chain(addresses).collect();
        let mut params = named("kube-apiserver", names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (certificate, key) = self.sign(params)?;

        let mut trusted = RootCertStore::empty();
        trusted.add(self.0.der().clone())?;
        // The provider is named, because a process with two of them compiled in has no default.
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(trusted.into(), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// A certificate for a user in at most one group: rcgen writes each attribute of a name once.
    pub(crate) fn client_certificate(
        &self,
        user: &str,
        group: Option<&str>,
    ) -> Result<ClientCertificate, CertificateError> {
        let mut params = named(user, Vec::new())?;
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, key) = self.sign(params)?;
        Ok(ClientCertificate { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    fn sign(&self, mut params: CertificateParams) -> Result<(rcgen::Certificate, KeyPair), CertificateError> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.0)?, key))
    }
}

fn named(common_name: &str, subjects: Vec<String>) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(subjects)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}
