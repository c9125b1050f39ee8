//! user-auth's HTTP endpoint, for when the bus brings no answer.

use std::time::Duration;

use contracts::{Token, WireSecret, auth::AuthResult};
use reqwest::{Client, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use crate::config::AuthArgs;

pub(super) struct Fallback {
    client: Client,
    url: Url,
    token: SecretString,
}

#[derive(Serialize)]
struct VerifyBody {
    api_key: WireSecret,
}

impl Fallback {
    /// The endpoint, if both its address and the service token are set.
    pub(super) fn from_args(args: &AuthArgs, patience: Duration) -> Result<Option<Self>, reqwest::Error> {
        let Some(base) = &args.user_service_url else {
            return Ok(None);
        };
        // An empty variable is one that is not set: compose files pass them on so.
        let token = args.service_token.as_ref().filter(|token| !token.expose_secret().is_empty());
        let Some(token) = token else {
            tracing::warn!("USER_SERVICE_URL is not used without SERVICE_TOKEN");
            return Ok(None);
        };
        // Reqwest takes the process's provider; where another part has set one already, that one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // user-auth redirects nobody; whoever does so would be sent the key.
        let client = Client::builder().timeout(patience).redirect(Policy::none()).build()?;
        let mut url = base.clone();
        url.set_path(&format!("{}/api/v1/auth/verify", base.path().trim_end_matches('/')));
        Ok(Some(Self { client, url, token: token.clone() }))
    }

    pub(super) async fn ask(&self, key: &Token) -> Result<AuthResult, reqwest::Error> {
        let body = VerifyBody { api_key: key.secret().clone().into() };
        let token = self.token.expose_secret();
        let response = self.client.post(self.url.clone()).bearer_auth(token).json(&body).send().await?;
        response.error_for_status()?.json().await
    }
}
