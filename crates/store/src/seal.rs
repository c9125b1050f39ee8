//! Encryption of the secrets that are kept in rows.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use secrecy::{
    ExposeSecret, SecretString,
    zeroize::{Zeroize, Zeroizing},
};
use thiserror::Error;

use crate::{Backend, Store};

const VERSION: &str = "v1";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const MAX_KEY_ID_CHARS: usize = 32;
/// The id of a key that is given without one.
const DEFAULT_KEY_ID: &str = "1";

/// Why a secret cannot be sealed or opened. It never holds a key or a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// The setting is not a list of keys.
    #[error(
        "SECRETS_KEY must be 32 random bytes in base64 (openssl rand -base64 32), or id:key[,id:key…] while a key is being replaced: {0}"
    )]
    Keys(&'static str),
    /// PostgreSQL is shared and backed up by others, so what is secret in it must be sealed.
    #[error("SECRETS_KEY is required with PostgreSQL: 32 random bytes in base64 (openssl rand -base64 32)")]
    Required,
    /// The key in a file of its own cannot be read or written.
    #[error("the key in {path}: {reason}; give SECRETS_KEY instead, or let this process write there")]
    KeyFile {
        /// Where it is.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The envelope's key is not among those of the setting.
    #[error(
        "sealed with key {0:?}, which SECRETS_KEY does not have: it must hold every key that is still in use"
    )]
    UnknownKey(String),
    /// The envelope was changed, belongs to another row, or was sealed with another key of the same id.
    #[error("a sealed secret cannot be opened: it, its row or the key that SECRETS_KEY holds was changed")]
    Broken,
}

/// Seals secrets with XChaCha20-Poly1305 into envelopes `v1.{key id}.{base64 of nonce and ciphertext}`.
///
/// The first key seals and every key opens, so that a key is replaced by putting a new one before it, resealing
/// what [`needs_resealing`](Self::needs_resealing), and taking the old one away.
pub struct Sealer {
    keys: Vec<(String, XChaCha20Poly1305)>,
}

impl Sealer {
    /// Reads the setting `SECRETS_KEY`: `id:base64[,id:base64…]`, or one key in base64, whose id is then `1`.
    ///
    /// # Errors
    /// [`SealError::Keys`] when it is not that.
    pub fn from_keys(setting: &SecretString) -> Result<Self, SealError> {
        let mut keys: Vec<(String, XChaCha20Poly1305)> = Vec::new();
        for entry in setting.expose_secret().trim().split(',') {
            let (id, key) = entry.split_once(':').unwrap_or((DEFAULT_KEY_ID, entry));
            let id = id.trim();
            if !is_key_id(id) {
                return Err(SealError::Keys("an id is 1 to 32 letters, digits, - and _"));
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err(SealError::Keys("an id stands there twice"));
            }
            keys.push((id.to_owned(), cipher(key.trim())?));
        }
        Ok(Self { keys })
    }

    /// The sealer of a service's database, if its setting gives one. Asked at the start, so that a setting that is missing
    /// or cannot be used is known then, and not when the first secret is to be kept.
    ///
    /// # Errors
    /// [`SealError::Required`] with PostgreSQL and no setting, [`SealError::Keys`] as [`from_keys`](Self::from_keys).
    pub fn for_database(backend: Backend, setting: Option<&SecretString>) -> Result<Option<Self>, SealError> {
        match setting.filter(|setting| !setting.expose_secret().is_empty()) {
            Some(setting) => Self::from_keys(setting).map(Some),
            None if backend == Backend::Postgres => Err(SealError::Required),
            None => Ok(None),
        }
    }

    /// The sealer of a service that keeps secrets: by its setting or, for a file without one, by a key in a file of its own beside it,
    /// made when it is first needed. Who has the database alone has no secrets.
    ///
    /// # Errors
    /// As [`for_database`](Self::for_database), and [`SealError::KeyFile`].
    pub fn of(store: &Store, setting: Option<&SecretString>) -> Result<Self, SealError> {
        if let Some(sealer) = Self::for_database(store.backend(), setting)? {
            return Ok(sealer);
        }
        Self::kept_at(&store.file().ok_or(SealError::Required)?.with_extension("key"), None)
    }

    /// The sealer of this setting or, without one, of the key in this file, made when it is first needed.
    ///
    /// # Errors
    /// [`SealError::Keys`] as [`from_keys`](Self::from_keys), and [`SealError::KeyFile`].
    pub fn kept_at(path: &Path, setting: Option<&SecretString>) -> Result<Self, SealError> {
        if let Some(setting) = setting.filter(|setting| !setting.expose_secret().is_empty()) {
            return Self::from_keys(setting);
        }
        let key = kept_key(path).map_err(|error| SealError::KeyFile {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        Self::from_keys(&key)
    }

    /// Encrypts `secret` for the place that `context` names, such as `clusters.token/{id}`. Only there can it be
    /// opened: a row that was given another row's envelope does not get its secret.
    ///
    /// # Errors
    /// [`SealError::Broken`] when the secret is larger than the cipher can take (256 GiB).
    pub fn seal(&self, secret: &SecretString, context: &str) -> Result<String, SealError> {
        let (id, cipher) = self.keys.first().ok_or(SealError::Keys("it is empty"))?;
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let ciphertext = cipher
            .encrypt(
                &XNonce::from(nonce),
                Payload { msg: secret.expose_secret().as_bytes(), aad: &associated_data(id, context) },
            )
            .map_err(|_| SealError::Broken)?;
        let sealed = BASE64.encode([&nonce[..], &ciphertext].concat());
        Ok(format!("{VERSION}.{id}.{sealed}"))
    }

    /// Decrypts an envelope that was sealed for the same `context`.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`] when its key is not at hand, [`SealError::Broken`] when it is not as it was sealed.
    pub fn open(&self, envelope: &str, context: &str) -> Result<SecretString, SealError> {
        let (id, sealed) = parts(envelope).ok_or(SealError::Broken)?;
        let (_, cipher) = self
            .keys
            .iter()
            .find(|(known, _)| known == id)
            .ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let sealed = BASE64.decode(sealed).map_err(|_| SealError::Broken)?;
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Broken)?;
        let secret = cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &associated_data(id, context) })
            .map_err(|_| SealError::Broken)?;
        match String::from_utf8(secret) {
            Ok(secret) => Ok(secret.into()),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(SealError::Broken)
            }
        }
    }

    /// Whether the envelope was not sealed with the key that seals now.
    pub fn needs_resealing(&self, envelope: &str) -> bool {
        let current = self.keys.first().map(|(id, _)| id.as_str());
        parts(envelope).map(|(id, _)| id) != current
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|(id, _)| id.as_str()).collect();
        f.debug_struct("Sealer").field("key_ids", &ids).finish_non_exhaustive()
    }
}

/// The key in this file; a new one, when there is no file yet. Two processes that make it at once have the same one: the file is there
/// whole or not at all.
fn kept_key(path: &Path) -> io::Result<SecretString> {
    let read = || fs::read_to_string(path).map(SecretString::from);
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        done => return done,
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    // Only its owner can read it.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    let bytes = Zeroizing::new(rand::random::<[u8; KEY_BYTES]>());
    file.write_all(Zeroizing::new(BASE64.encode(bytes)).as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.error),
    }
    read()
}

fn cipher(key: &str) -> Result<XChaCha20Poly1305, SealError> {
    let bytes = Zeroizing::new(BASE64.decode(key).map_err(|_| SealError::Keys("a key is not base64"))?);
    let key: &[u8; KEY_BYTES] =
        bytes.as_slice().try_into().map_err(|_| SealError::Keys("a key is not 32 bytes long"))?;
    Ok(XChaCha20Poly1305::new(&Key::from(*key)))
}

fn is_key_id(id: &str) -> bool {
    (1..=MAX_KEY_ID_CHARS).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The key's id and the base64 of an envelope of this version.
fn parts(envelope: &str) -> Option<(&str, &str)> {
    let (id, sealed) = envelope.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
    is_key_id(id).then_some((id, sealed))
}

fn associated_data(key_id: &str, context: &str) -> Vec<u8> {
    format!("{VERSION}.{key_id}.{context}").into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> String {
        BASE64.encode([byte; KEY_BYTES])
    }

    fn sealer(setting: &str) -> Result<Sealer, SealError> {
        Sealer::from_keys(&setting.into())
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened_in_its_place_only(secret in "\\PC{0,80}", context in "\\PC{0,20}", other in "\\PC{0,20}") {
            let sealer = sealer(&key(1)).unwrap();
            let envelope = sealer.seal(&secret.as_str().into(), &context).unwrap();
            prop_assert!(secret.len() < 8 || !envelope.contains(&secret));
            let opened = sealer.open(&envelope, &context).unwrap();
            prop_assert_eq!(opened.expose_secret(), &secret);
            if other != context {
                prop_assert_eq!(sealer.open(&envelope, &other).unwrap_err(), SealError::Broken);
            }
        }

        #[test]
        fn any_changed_byte_is_noticed(secret in "\\PC{0,40}", at: prop::sample::Index, to in 0x20_u8..0x7f) {
            let sealer = sealer(&format!("new:{},old:{}", key(1), key(2))).unwrap();
            let envelope = sealer.seal(&secret.as_str().into(), "row").unwrap();
            let mut bytes = envelope.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert!(sealer.open(&String::from_utf8(bytes).unwrap(), "row").is_err());
            prop_assert!(sealer.open(&envelope[..at], "row").is_err());
        }

        #[test]
        fn no_text_makes_it_panic(setting in "\\PC{0,60}", envelope in "(v1\\.1\\.)?\\PC{0,60}") {
            let _ = sealer(&setting);
            let sealer = sealer(&key(1)).unwrap();
            prop_assert!(sealer.open(&envelope, "").is_err());
            let _ = sealer.needs_resealing(&envelope);
        }
    }

    #[test]
    fn a_key_is_replaced_without_losing_what_it_sealed() {
        let (old, new) = (key(1), key(2));
        let before = sealer(&old).unwrap();
        let during = sealer(&format!("2:{new},1:{old}")).unwrap();
        let after = sealer(&format!("2:{new}")).unwrap();

        let envelope = before.seal(&"secret".into(), "row").unwrap();
        assert!(envelope.starts_with("v1.1."));
        assert!(!before.needs_resealing(&envelope));
        assert!(during.needs_resealing(&envelope));
        let resealed = during.seal(&during.open(&envelope, "row").unwrap(), "row").unwrap();
        assert!(!after.needs_resealing(&resealed));
        assert_eq!(after.open(&resealed, "row").unwrap().expose_secret(), "secret");
        assert_eq!(after.open(&envelope, "row").unwrap_err(), SealError::UnknownKey("1".into()));
    }

    #[test]
    fn a_file_has_a_key_beside_it_that_is_made_once() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("cluster.key");
        let keys: Vec<SecretString> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| kept_key(&path).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.expose_secret() == keys[0].expose_secret()));
        assert!(Sealer::from_keys(&keys[0]).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_seals_of_one_secret_differ() {
        let sealer = sealer(&key(1)).unwrap();
        assert_ne!(
            sealer.seal(&"secret".into(), "row").unwrap(),
            sealer.seal(&"secret".into(), "row").unwrap()
        );
    }

    #[test]
    fn what_is_not_keys_is_refused_by_the_settings_name_and_not_shown() {
        let (short, fine) = (BASE64.encode([7; 31]), key(7));
        let settings = [
            "".to_owned(),
            "hunter2hunter2!".to_owned(),
            short,
            format!("a:{fine},a:{fine}"),
            format!("{fine},"),
            format!(":{fine}"),
            format!("a.b:{fine}"),
        ];
        for setting in settings {
            let error = sealer(&setting).unwrap_err();
            assert!(error.to_string().starts_with("SECRETS_KEY must be 32 random bytes"));
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert_eq!(format!("{:?}", sealer(&fine).unwrap()), r#"Sealer { key_ids: ["1"], .. }"#);
    }
}
