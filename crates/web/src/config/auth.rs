use clap::Args;
use secrecy::SecretString;
use url::Url;

use super::secret;

/// How a service finds out whose an API key is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Authentication")]
pub struct AuthArgs {
    /// Base URL of user-auth, asked over HTTP while the broker is away; needs SERVICE_TOKEN
    #[arg(long, env = "USER_SERVICE_URL", value_parser = http_url)]
    pub user_service_url: Option<Url>,

    /// What services show user-auth over HTTP; the same in all of them
    #[arg(long, env = "SERVICE_TOKEN", hide_env_values = true, value_parser = secret)]
    pub service_token: Option<SecretString>,

    /// Seconds for which a valid key is remembered; a revocation empties the memory at once
    #[arg(long, env = "AUTH_CACHE_SECONDS", default_value_t = CACHE_SECONDS,
          value_parser = clap::value_parser!(u64).range(0..=300))]
    pub auth_cache_seconds: u64,
}

/// For how long a valid key is remembered unless the settings say otherwise, in seconds.
const CACHE_SECONDS: u64 = 10;

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| "must be a URL such as http://user-auth:8001".to_owned())
}

impl Default for AuthArgs {
    fn default() -> Self {
        Self { user_service_url: None, service_token: None, auth_cache_seconds: CACHE_SECONDS }
    }
}
