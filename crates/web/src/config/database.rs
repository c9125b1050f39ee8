use clap::Args;
use secrecy::SecretString;

use super::secret;

/// Where a service keeps its data, and what seals the secrets in it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// Database of this service alone: postgres://… or sqlite:…
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret)]
    pub database_url: SecretString,

    /// Key that seals secrets at rest: 32 bytes in base64, or id:key[,id:key…] while rotating; required with
    /// PostgreSQL
    #[arg(long, env = "SECRETS_KEY", hide_env_values = true, value_parser = secret)]
    pub secrets_key: Option<SecretString>,
}
