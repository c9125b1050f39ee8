//! API keys and agent keys: random, checksummed, kept only as a hash.
//!
//! The form follows GitHub's tokens (<https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>):
//! a prefix that scanners recognise, 32 random base-62 characters (190 bits), and six of their CRC-32, so that a typing
//! error or a made-up key is refused without asking anybody.

use std::fmt;

use rand::{CryptoRng, RngExt, distr::Alphanumeric};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use thiserror::Error;

const RANDOM_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whose key it is; the prefix says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A user's API key, `ks_…`.
    ApiKey,
    /// A cluster agent's key, `ka_…`.
    AgentKey,
    /// What one service shows another over HTTP, `kt_…`.
    ServiceToken,
    /// What an install script fetches the agent's key with, once, `ki_…`.
    InstallToken,
}

const KINDS: [TokenKind; 4] =
    [TokenKind::ApiKey, TokenKind::AgentKey, TokenKind::ServiceToken, TokenKind::InstallToken];

impl TokenKind {
    /// What every key of this kind begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "ks_",
            Self::AgentKey => "ka_",
            Self::ServiceToken => "kt_",
            Self::InstallToken => "ki_",
        }
    }
}

/// The text is not a key of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It does not begin as keys of this kind do, or is of another length or alphabet.
    #[error("a key of this kind is {0} followed by 38 letters and digits")]
    Form(&'static str),
    /// It looks like a key, but its checksum is wrong: mistyped or cut.
    #[error("the key's checksum does not match: it was mistyped or cut")]
    Checksum,
}

/// A well-formed key. Whether it is known to anybody is another question.
#[derive(Clone)]
pub struct Token {
    kind: TokenKind,
    text: SecretString,
}

impl Token {
    /// Makes a new key from a cryptographic source of randomness.
    pub fn generate(kind: TokenKind, rng: &mut impl CryptoRng) -> Self {
        let random: String = rng.sample_iter(Alphanumeric).take(RANDOM_CHARS).map(char::from).collect();
        let text = format!("{}{random}{}", kind.prefix(), checksum(&random));
        Self { kind, text: text.into() }
    }

    /// Checks prefix, length, alphabet and checksum.
    ///
    /// # Errors
    /// [`TokenError`], which never holds any part of the text.
    pub fn parse(kind: TokenKind, text: &str) -> Result<Self, TokenError> {
        let body = text.strip_prefix(kind.prefix()).ok_or(TokenError::Form(kind.prefix()))?;
        if body.len() != RANDOM_CHARS + CHECKSUM_CHARS || !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(TokenError::Form(kind.prefix()));
        }
        let (random, sum) = body.split_at(RANDOM_CHARS);
        if checksum(random) != sum {
            return Err(TokenError::Checksum);
        }
        Ok(Self { kind, text: text.into() })
    }

    /// The key itself, to be shown once or sent in a header.
    pub fn secret(&self) -> &SecretString {
        &self.text
    }

    /// The lower-case hex SHA-256 by which the key is stored and found. A plain hash is enough for 190 random bits.
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.text.expose_secret().as_bytes()))
    }

    /// The prefix and four characters, by which a person recognises the key in a list.
    pub fn preview(&self) -> String {
        let shown = self.kind.prefix().len() + 4;
        format!("{}…", &self.text.expose_secret()[..shown])
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}[redacted])", self.kind.prefix())
    }
}

/// The text with every key in it, well-formed or not, replaced by its prefix and `[redacted]`.
pub fn without_keys(text: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let prefix =
            KINDS.iter().map(|kind| kind.prefix().as_bytes()).find(|prefix| rest.starts_with(prefix));
        match prefix {
            Some(prefix) => {
                clean.extend_from_slice(prefix);
                clean.extend_from_slice(b"[redacted]");
                let secret =
                    rest[prefix.len()..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
                rest = &rest[prefix.len() + secret..];
            }
            None => {
                clean.push(first);
                rest = after;
            }
        }
    }
    clean
}

/// The CRC-32 of the random part in six base-62 digits, most significant first.
fn checksum(random: &str) -> String {
    let mut rest = crc32fast::hash(random.as_bytes());
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    proptest! {
        #[test]
        fn a_generated_key_is_well_formed_and_any_changed_character_is_noticed(seed: u64, at in 3_usize..41) {
            let token = Token::generate(TokenKind::ApiKey, &mut StdRng::seed_from_u64(seed));
            let text = token.secret().expose_secret().to_owned();
            prop_assert_eq!(text.len(), 41);
            prop_assert!(Token::parse(TokenKind::ApiKey, &text).is_ok());
            prop_assert!(Token::parse(TokenKind::AgentKey, &text).is_err());

            let mut bytes = text.into_bytes();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert!(matches!(Token::parse(TokenKind::ApiKey, &changed), Err(TokenError::Checksum)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = Token::parse(TokenKind::AgentKey, &text);
        }
    }

    #[test]
    fn no_key_is_left_in_a_text() {
        let token = Token::generate(TokenKind::ApiKey, &mut StdRng::seed_from_u64(7));
        let text = format!(r#"{{"api_key":"{}","other":"ka_cut","x":1}}"#, token.secret().expose_secret());
        let clean = String::from_utf8(without_keys(text.as_bytes())).unwrap();
        assert_eq!(clean, r#"{"api_key":"ks_[redacted]","other":"ka_[redacted]","x":1}"#);
    }

    #[test]
    fn debug_and_preview_keep_the_secret() {
        let token = Token::generate(TokenKind::AgentKey, &mut StdRng::seed_from_u64(7));
        assert_eq!(format!("{token:?}"), "Token(ka_[redacted])");
        assert_eq!(token.preview().chars().count(), 8);
        assert_eq!(token.hash().len(), 64);
    }
}
