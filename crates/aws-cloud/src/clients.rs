//! The clients of accounts.

use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig, identity::IdentityCache};
use aws_smithy_http_client::{Builder, tls};
use moka::sync::Cache;

use crate::{Account, AwsCloud, Settings};

/// So many are kept. One that has read what its region offers has some 300 kB of it.
const MOST: u64 = 256;

/// The clients of accounts: all who work in an account share one, with its connections and what it has read of types and prices. It knows of
/// none of them. Cheap to clone.
#[derive(Clone)]
pub struct Clients {
    settings: Settings,
    /// What all clients share, such as the connections.
    common: SdkConfig,
    kept: Cache<Account, Arc<AwsCloud>>,
}

impl Clients {
    /// There are none yet.
    pub fn new(settings: Settings) -> Self {
        let http = Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
        let mut common = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            // `Sessions` keep them; a second memory would not know what was forgotten.
            .identity_cache(IdentityCache::no_cache())
            .http_client(http.build_https());
        common.set_endpoint_url(settings.endpoint_url.clone().map(String::from));
        let kept = Cache::builder().max_capacity(MOST).time_to_idle(settings.timeouts.idle).build();
        Self { settings, common: common.build(), kept }
    }

    /// That of the account; one that is new has not asked anything yet. It is kept for as long as somebody asks for it now and then
    /// ([`Timeouts::idle`](crate::Timeouts::idle)), and who has it may use it for longer.
    pub fn of(&self, account: &Account) -> Arc<AwsCloud> {
        let new = || Arc::new(AwsCloud::new(&self.settings, &self.common, account));
        self.kept.get_with_by_ref(account, new)
    }
}
