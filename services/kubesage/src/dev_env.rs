//! `dev.env`: how to reach the running process, for shells, and the keys, for the next run.

use contracts::{Token, TokenKind};
use secrecy::ExposeSecret;
use url::Url;

use crate::data_dir::{DataDir, DataDirError};

const FILE: &str = "dev.env";
const API_KEY: &str = "KUBESAGE_API_KEY";
const AGENT_KEY: &str = "KUBESAGE_AGENT_KEY";

/// The keys that are kept between runs.
pub(crate) struct Keys {
    pub(crate) api_key: Token,
    pub(crate) agent_key: Token,
}

impl Keys {
    /// The keys of the last run, and new ones for those that are missing or damaged.
    pub(crate) fn load(data_dir: &DataDir) -> Result<Self, DataDirError> {
        let text = data_dir.read(FILE)?.unwrap_or_default();
        let kept = |name: &str, kind| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            Token::parse(kind, value.trim()).ok()
        };
        let or_new = |kept: Option<Token>, kind| kept.unwrap_or_else(|| new_key(kind));
        Ok(Self {
            api_key: or_new(kept(API_KEY, TokenKind::ApiKey), TokenKind::ApiKey),
            agent_key: or_new(kept(AGENT_KEY, TokenKind::AgentKey), TokenKind::AgentKey),
        })
    }
}

pub(crate) fn new_key(kind: TokenKind) -> Token {
    Token::generate(kind, &mut rand::rng())
}

/// What the file says.
pub(crate) struct DevEnv<'a> {
    pub(crate) url: &'a Url,
    pub(crate) keys: &'a Keys,
    pub(crate) agent_id: &'a str,
    pub(crate) cluster_id: &'a str,
    /// Of the simulated account, if there is one.
    pub(crate) account_id: Option<&'a str>,
}

impl DevEnv<'_> {
    /// Writes the file, which shells can source. Nothing in it needs quoting.
    pub(crate) fn save(&self, data_dir: &DataDir) -> Result<(), DataDirError> {
        let lines = [
            ("KUBESAGE_URL", self.url.as_str().trim_end_matches('/')),
            (API_KEY, self.keys.api_key.secret().expose_secret()),
            ("KUBESAGE_AGENT_ID", self.agent_id),
            (AGENT_KEY, self.keys.agent_key.secret().expose_secret()),
            ("KUBESAGE_CLUSTER_ID", self.cluster_id),
        ];
        let account = self.account_id.map(|id| ("KUBESAGE_ACCOUNT_ID", id));
        let text: String =
            lines.into_iter().chain(account).map(|(name, value)| format!("{name}={value}\n")).collect();
        data_dir.write(FILE, &text).map(drop)
    }
}
