//! From the token of an install script to the agent's key.

use std::collections::BTreeSet;

use contracts::{
    ErrorCode, Timestamp, Token, TokenKind,
    auth::UserData,
    events::{Event, EventType},
};
use serde_json::json;
use sqlx::AnyConnection;
use store::{StoreError, Transaction};
use thiserror::Error;
use uuid::Uuid;
use web::Problem;

use super::{ClusterError, Clusters, Installation, unused_until};
use crate::{
    install::Feature,
    provider::Provider,
    store::{InstallToken, NewKey},
};

/// What a token of an install script gives.
pub(crate) struct Grant {
    pub(crate) cluster_id: String,
    pub(crate) provider: Provider,
    pub(crate) features: BTreeSet<Feature>,
    pub(crate) key: GrantedKey,
}

impl Grant {
    fn of(found: &InstallToken, key: GrantedKey) -> Self {
        Self {
            cluster_id: found.cluster_id.clone(),
            provider: Provider::read(&found.provider),
            features: read_features(&found.features),
            key,
        }
    }
}

/// The agent's key: itself, once, and after that only its hash.
pub(crate) enum GrantedKey {
    New(Token),
    GivenBefore { hash: String },
}

/// Why a token of an install script gives nothing.
#[derive(Debug, Error)]
pub(crate) enum InstallError {
    #[error(
        "this install script is not good for this agent: it was replaced by a newer one, or its cluster was deleted"
    )]
    Unknown,
    #[error("this install script was not run within 24 hours and has expired; make a new one")]
    Expired,
    #[error(
        "the agent of this cluster has two keys already; revoke the one that is not needed (kubesage keys) and run the script again"
    )]
    TooManyKeys,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<InstallError> for Problem {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Unknown | InstallError::Expired => Self::unauthenticated(error.to_string()),
            InstallError::TooManyKeys => Self::new(ErrorCode::Conflict, error.to_string()),
            InstallError::Store(error) => ClusterError::Store(error).into(),
        }
    }
}

impl Clusters {
    /// Makes a new token for the install script of a cluster; one that was not used before ends.
    pub(crate) async fn reinstall(
        &self,
        user: &UserData,
        cluster_id: &str,
        now: Timestamp,
    ) -> Result<Installation, ClusterError> {
        let cluster = self.get(user, cluster_id, now).await?;
        let installation = Installation {
            provider: Provider::read(&cluster.provider),
            features: read_features(&cluster.features),
            cluster_id: cluster.id,
            cluster_name: cluster.name,
            agent_id: cluster.agent_id,
            token: Token::generate(TokenKind::InstallToken, &mut rand::rng()),
            expires_at: unused_until(now),
        };
        let Installation { token, expires_at, .. } = &installation;
        let stored = async {
            let mut transaction = self.database.begin_keys(cluster_id).await?;
            self.database.insert_install_token(&mut transaction, cluster_id, token, now, *expires_at).await?;
            Ok(transaction.commit().await?)
        };
        self.bounded(stored).await?;
        Ok(installation)
    }

    /// What the token gives to the agent: a new key, once.
    pub(crate) async fn grant(
        &self,
        token: &Token,
        agent_id: &str,
        now: Timestamp,
    ) -> Result<Grant, InstallError> {
        self.database
            .store()
            .bounded(async {
                // Anybody may show a token, so nothing is locked for one that is not good.
                let mut connection =
                    self.database.store().pool().acquire().await.map_err(StoreError::from)?;
                let found = self.find(&mut connection, token, agent_id, now).await?;
                drop(connection);
                if let Some(hash) = &found.key_hash {
                    return Ok(Grant::of(&found, GrantedKey::GivenBefore { hash: hash.clone() }));
                }
                // Two who fetch at once must not both be given a key, nor must a cluster get a third one.
                let mut transaction = self.database.begin_keys(&found.cluster_id).await?;
                let found = self.find(&mut transaction, token, agent_id, now).await?;
                let key = match &found.key_hash {
                    Some(hash) => GrantedKey::GivenBefore { hash: hash.clone() },
                    None => GrantedKey::New(self.make_key(&mut transaction, token, &found, now).await?),
                };
                transaction.commit().await?;
                Ok(Grant::of(&found, key))
            })
            .await
    }

    /// The token, if it is good for this agent.
    async fn find(
        &self,
        connection: &mut AnyConnection,
        token: &Token,
        agent_id: &str,
        now: Timestamp,
    ) -> Result<InstallToken, InstallError> {
        let found = self.database.install_token(connection, token).await?;
        let found = found.filter(|found| found.agent_id == agent_id).ok_or(InstallError::Unknown)?;
        if found.key_hash.is_none() && found.expires_at <= now.as_millis() {
            return Err(InstallError::Expired);
        }
        Ok(found)
    }

    async fn make_key(
        &self,
        transaction: &mut Transaction,
        token: &Token,
        found: &InstallToken,
        now: Timestamp,
    ) -> Result<Token, InstallError> {
        let InstallToken { cluster_id, agent_id, user_id, .. } = found;
        let key = Token::generate(TokenKind::AgentKey, &mut rand::rng());
        let id = Uuid::new_v4().to_string();
        let new_key = NewKey { id: &id, cluster_id, token: &key, now, unused_until: unused_until(now) };
        if !self.database.insert_key(transaction, &new_key).await? {
            return Err(InstallError::TooManyKeys);
        }
        if !self.database.use_install_token(transaction, token, &id, now).await? {
            return Err(InstallError::Unknown);
        }
        let data = json!({"cluster_id": cluster_id, "agent_id": agent_id, "key_id": id});
        // Nobody has signed in for this: the script has only the token.
        transaction.emit(&Event::new(EventType::AgentKeyCreated, user_id, "", now, data)).await?;
        Ok(key)
    }
}

/// What the database keeps of the features. What an earlier version does not know any more is none.
pub(crate) fn read_features(json: &str) -> BTreeSet<Feature> {
    let known = |name| serde_json::from_value(name).ok();
    let names: Vec<serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    names.into_iter().filter_map(known).collect()
}
