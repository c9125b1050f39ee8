use std::num::NonZeroU32;

use clap::{ArgAction, Args};

use super::{boolean, positive};

/// How many requests one API key may make.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Rate limit")]
pub struct RateLimitArgs {
    /// Limit the requests of each API key
    #[arg(long, env = "RATE_LIMIT_ENABLED", default_value = "true", value_parser = boolean, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub rate_limit_enabled: bool,

    /// Requests a minute that each API key may make
    #[arg(long, env = "RATE_LIMIT_REQUESTS_PER_MINUTE", default_value = "60", value_parser = positive)]
    pub rate_limit_requests_per_minute: NonZeroU32,
}
