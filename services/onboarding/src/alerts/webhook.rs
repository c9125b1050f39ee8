//! The call itself.

use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use contracts::Timestamp;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE, redirect::Policy};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::Url;
use web::error_chain;

/// What whoever is called may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// "Between 24 bytes (192 bits) and 64 bytes (512 bits)".
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Where to call, and how to sign.
#[derive(Clone)]
pub(crate) struct Webhook {
    client: Client,
    url: Url,
    key: hmac::Key,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook([redacted])")
    }
}

/// The text is no secret to sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "must be whsec_ and 24 to 64 bytes in Base64, such as of: echo whsec_$(head -c 32 /dev/urandom | base64)"
)]
pub struct InvalidSecret;

/// Why a call was not taken.
#[derive(Debug, Error)]
pub(crate) enum NotTaken {
    /// "410 Gone: the consumer has disabled this endpoint".
    #[error("the webhook answers 410: it wants no more calls")]
    Gone,
    #[error("the webhook answers {0}")]
    Status(StatusCode),
    #[error("the webhook cannot be reached: {0}")]
    Unreachable(String),
}

impl Webhook {
    pub(crate) fn new(url: &Url, secret: &SecretString) -> Result<Self, InvalidSecret> {
        let text = secret.expose_secret().strip_prefix("whsec_").ok_or(InvalidSecret)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| InvalidSecret)?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(InvalidSecret);
        }
        // An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Not redirected: the signature is for this place.
        let client = Client::builder().timeout(PATIENCE).redirect(Policy::none());
        let client = client.user_agent(concat!("kubesage/", env!("CARGO_PKG_VERSION"))).build();
        let client = client.map_err(|_| InvalidSecret)?;
        Ok(Self { client, url: url.clone(), key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }

    /// Says it once.
    pub(super) async fn call(&self, id: &str, body: &str, now: Timestamp) -> Result<(), NotTaken> {
        let seconds = now.as_millis() / 1000;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", self.signature(id, seconds, body))
            .body(body.to_owned());
        let unreachable = |error: reqwest::Error| NotTaken::Unreachable(error_chain(&error.without_url()));
        match request.send().await.map_err(unreachable)?.status() {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(NotTaken::Gone),
            status => Err(NotTaken::Status(status)),
        }
    }

    fn signature(&self, id: &str, seconds: i64, body: &str) -> String {
        let signed = hmac::sign(&self.key, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(signed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(secret: &str) -> Result<Webhook, InvalidSecret> {
        Webhook::new(&"https://example.com/hook".parse().unwrap(), &secret.into())
    }

    /// The example of the reference implementations
    /// (<https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries>, their test vector).
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let webhook = webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            webhook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(!format!("{webhook:?}").contains("MfKQ"));
    }

    #[test]
    fn a_secret_is_long_enough() {
        for secret in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_?"] {
            assert_eq!(webhook(secret).unwrap_err(), InvalidSecret, "{secret}");
        }
    }
}
