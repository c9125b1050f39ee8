//! TLS data as users give it.

use base64::{Engine, prelude::BASE64_STANDARD};
use cluster_access::tls_data::{InvalidTlsData, authorities, certificate, key_of};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use secrecy::ExposeSecret;

const NOW: i64 = 1_780_000_000; // May 2026

struct Pair {
    certificate: String,
    key: String,
}

fn pair(until: i32) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["cluster.example".to_owned()]).expect("parameters");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    Pair { certificate: params.self_signed(&key).expect("a certificate").pem(), key: key.serialize_pem() }
}

fn base64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

#[test]
fn pem_and_pem_in_base64_are_the_same() {
    let Pair { certificate: pem, key } = pair(2030);
    for text in [pem.clone(), base64(&pem), format!(" {}\n", base64(&pem)), format!("# a comment\n{pem}")] {
        assert!(authorities(&text, NOW).unwrap().contains("BEGIN CERTIFICATE"), "{text}");
        let certificate = certificate(&text, NOW).unwrap();
        for key in [key.clone(), base64(&key)] {
            assert!(key_of(&certificate, &key.into()).unwrap().expose_secret().contains("PRIVATE KEY"));
        }
    }
}

#[test]
fn a_key_must_be_that_of_its_certificate() {
    let (one, other) = (pair(2030), pair(2030));
    let of_one = certificate(&one.certificate, NOW).unwrap();
    assert_eq!(key_of(&of_one, &other.key.into()).unwrap_err(), InvalidTlsData::Mismatch);
    assert_eq!(key_of(&of_one, &one.certificate.into()).unwrap_err(), InvalidTlsData::NoKey);
    assert_eq!(key_of(&of_one, &"secret".into()).unwrap_err(), InvalidTlsData::NotPem);
}

#[test]
fn what_has_expired_is_refused_unless_a_bundle_holds_another() {
    let (old, new) = (pair(2024), pair(2030));
    let expired = certificate(&old.certificate, NOW).unwrap_err();
    assert!(matches!(&expired, InvalidTlsData::Expired(when) if when.contains("2024")), "{expired}");
    assert!(matches!(authorities(&old.certificate, NOW), Err(InvalidTlsData::Expired(_))));
    assert!(authorities(&format!("{}{}", old.certificate, new.certificate), NOW).is_ok());
    assert!(matches!(certificate(&new.certificate, 0), Err(InvalidTlsData::NotYet(_))));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let Pair { key, .. } = pair(2030);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (text, expected) in [
        ("", InvalidTlsData::NotPem),
        ("not base64!", InvalidTlsData::NotPem),
        ("AAAA", InvalidTlsData::NotPem),
        (key.as_str(), InvalidTlsData::NoCertificate),
        (broken, InvalidTlsData::Unreadable),
    ] {
        assert_eq!(authorities(text, NOW).unwrap_err(), expected, "{text}");
    }
    assert_eq!(authorities(&"A".repeat(1 << 20), NOW), Err(InvalidTlsData::TooLong));
}
