//! JSON Web Tokens that this server alone signs and reads (RFC 7519): no crate for them is built on ring.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde_json::{Value, json};

/// Signs the claims with EdDSA (RFC 8037).
pub(super) fn sign(key: &Ed25519KeyPair, claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "typ": "JWT" });
    let [header, claims] = [header, claims.clone()].map(|part| encode(part.to_string().as_bytes()));
    let signed = format!("{header}.{claims}");
    let signature = encode(key.sign(signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

/// The claims of a token that `key` has signed. What the header says does not matter: one algorithm is used.
pub(super) fn read(key: &Ed25519KeyPair, token: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (_, claims) = signed.split_once('.')?;
    let public = UnparsedPublicKey::new(&ED25519, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &decode(signature)?).ok()?;
    serde_json::from_slice(&decode(claims)?).ok()
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_key_has_signed_is_read() {
        let [key, other] = [[1; 32], [2; 32]].map(|seed| Ed25519KeyPair::from_seed_unchecked(&seed).unwrap());
        let claims = json!({ "sub": "a" });
        let token = sign(&key, &claims);
        assert_eq!(read(&key, &token), Some(claims));
        assert_eq!(read(&other, &token), None);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let forged = format!("{header}.{}.{signature}", encode(b"{\"sub\":\"b\"}"));
        assert_eq!(read(&key, &forged), None);
        for text in ["", ".", "..", "a.b.c", &format!("{signed}."), signed] {
            assert_eq!(read(&key, text), None, "{text}");
        }
    }
}
