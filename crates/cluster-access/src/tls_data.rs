//! TLS data as users give it: PEM, or PEM in Base64 as a kubeconfig has it.

use base64::{Engine, prelude::BASE64_STANDARD};
use pem::{EncodeConfig, LineEnding, Pem};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// Larger data is refused, in bytes: a certificate has one or two thousand, and all clusters of a user are listed with theirs.
const MAX_LENGTH: usize = 64 * 1024;

/// Why TLS data cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidTlsData {
    /// It is too long.
    #[error("is longer than {} KiB", MAX_LENGTH / 1024)]
    TooLong,
    /// It is neither PEM nor PEM in Base64.
    #[error("must be PEM, or PEM in Base64 as a kubeconfig has it")]
    NotPem,
    /// There is no certificate in it.
    #[error("holds no certificate (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// There is no private key in it.
    #[error("holds no private key (PKCS#8, PKCS#1 or SEC1, without a passphrase)")]
    NoKey,
    /// A certificate cannot be read.
    #[error("holds something that is no X.509 certificate")]
    Unreadable,
    /// The certificate has expired.
    #[error("has expired on {0}")]
    Expired(String),
    /// The certificate is not valid yet.
    #[error("is not valid before {0}")]
    NotYet(String),
    /// The key does not belong to the certificate.
    #[error("is not the key of the certificate")]
    Mismatch,
    /// The key is of a kind that cannot be used.
    #[error("is a key of a kind that cannot be used: RSA, ECDSA and Ed25519 can")]
    KeyKind,
}

/// The certificates of authorities, as PEM and without anything that stood between them: at least one, of which at least one is valid at
/// `now` (seconds since 1970).
///
/// # Errors
/// What is wrong with them.
pub fn authorities(text: &str, now: i64) -> Result<String, InvalidTlsData> {
    let pem = pem(text)?;
    let certificates = certificates(&pem)?;
    let is_unreadable = |certificate| valid(certificate, now) == Err(InvalidTlsData::Unreadable);
    if certificates.iter().any(is_unreadable) {
        return Err(InvalidTlsData::Unreadable);
    }
    // A bundle may hold one that has expired beside its successor.
    let mut validity = certificates.iter().map(|certificate| valid(certificate, now));
    let first = validity.next().unwrap_or(Err(InvalidTlsData::NoCertificate));
    if first.is_err() && !validity.any(|one| one.is_ok()) {
        first?;
    }
    Ok(printed(&certificates))
}

/// A client's certificate with its intermediates, as PEM, valid at `now` (seconds since 1970).
///
/// # Errors
/// What is wrong with it.
pub fn certificate(text: &str, now: i64) -> Result<String, InvalidTlsData> {
    let certificates = certificates(&pem(text)?)?;
    valid(&certificates[0], now)?;
    Ok(printed(&certificates))
}

/// The private key of a certificate that [`certificate`] has returned, as PEM.
///
/// # Errors
/// What is wrong with it; never a part of it.
pub fn key_of(certificate: &str, text: &SecretString) -> Result<SecretString, InvalidTlsData> {
    let pem = SecretString::from(pem(text.expose_secret())?);
    let key =
        PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| InvalidTlsData::NoKey)?;
    match CertifiedKey::from_der(certificates(certificate)?, key, &ring::default_provider()) {
        Ok(_) => Ok(pem),
        Err(rustls::Error::InconsistentKeys(_)) => Err(InvalidTlsData::Mismatch),
        Err(_) => Err(InvalidTlsData::KeyKind),
    }
}

/// The certificates of a PEM that was checked.
pub(crate) fn der(pem: &str) -> Result<Vec<Vec<u8>>, InvalidTlsData> {
    Ok(certificates(pem)?.iter().map(|certificate| certificate.to_vec()).collect())
}

/// The text as PEM.
fn pem(text: &str) -> Result<String, InvalidTlsData> {
    if text.len() > MAX_LENGTH {
        return Err(InvalidTlsData::TooLong);
    }
    if text.contains("-----BEGIN ") {
        return Ok(text.to_owned());
    }
    let packed: String = text.split_ascii_whitespace().collect();
    let decoded = BASE64_STANDARD.decode(packed).map_err(|_| InvalidTlsData::NotPem)?;
    let decoded = String::from_utf8(decoded).map_err(|_| InvalidTlsData::NotPem)?;
    if decoded.contains("-----BEGIN ") { Ok(decoded) } else { Err(InvalidTlsData::NotPem) }
}

fn printed(certificates: &[CertificateDer<'_>]) -> String {
    let blocks = certificates.iter().map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()));
    let unix = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_many_config(&blocks.collect::<Vec<_>>(), unix)
}

/// At least one.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, InvalidTlsData> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|_| InvalidTlsData::NotPem)?;
    if found.is_empty() { Err(InvalidTlsData::NoCertificate) } else { Ok(found) }
}

fn valid(certificate: &CertificateDer<'_>, now: i64) -> Result<(), InvalidTlsData> {
    let (rest, certificate) =
        x509_parser::parse_x509_certificate(certificate).map_err(|_| InvalidTlsData::Unreadable)?;
    if !rest.is_empty() {
        return Err(InvalidTlsData::Unreadable);
    }
    let validity = certificate.validity();
    if validity.not_after.timestamp() <= now {
        return Err(InvalidTlsData::Expired(validity.not_after.to_string()));
    }
    if validity.not_before.timestamp() > now {
        return Err(InvalidTlsData::NotYet(validity.not_before.to_string()));
    }
    Ok(())
}
