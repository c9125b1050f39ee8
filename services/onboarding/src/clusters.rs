//! What can be done with a cluster and its agent's keys.

mod install;

use std::{collections::BTreeSet, sync::Arc};

use contracts::{
    Timestamp, Token, TokenKind,
    auth::UserData,
    events::{Event, EventType},
};
use serde_json::{Value, json};
use store::StoreError;
use thiserror::Error;
use uuid::Uuid;
use web::Problem;

use crate::{
    costs::Rates,
    install::Feature,
    provider::Provider,
    session::Registry,
    store::{AgentKey, Cluster, Database, NewCluster, NewKey, UNUSED_LIFETIME},
};

pub(crate) use install::{Grant, GrantedKey, read_features};

/// The user's clusters, and the keys of their agents. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clusters {
    pub(crate) database: Database,
    pub(crate) registry: Arc<Registry>,
}

/// Why something could not be done with a cluster.
#[derive(Debug, Error)]
pub(crate) enum ClusterError {
    #[error("there is no such cluster")]
    NotFound,
    #[error("there is no such key")]
    NoSuchKey,
    #[error("you have a cluster of this name already; delete it, or make a new install script for it")]
    NameTaken,
    #[error("this cluster's agent has two keys already; revoke one first")]
    TooManyKeys,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ClusterError> for Problem {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::NotFound | ClusterError::NoSuchKey => Self::not_found(error.to_string()),
            ClusterError::NameTaken | ClusterError::TooManyKeys => Self::conflict(error.to_string()),
            ClusterError::Store(StoreError::Unavailable(cause)) => {
                Self::unavailable(&cause, "the database cannot be used right now; try again")
            }
            ClusterError::Store(other) => Self::internal(&other),
        }
    }
}

/// What an agent is about to be installed with. The token is known only here and now.
pub(crate) struct Installation {
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
    pub(crate) agent_id: String,
    pub(crate) provider: Provider,
    pub(crate) features: BTreeSet<Feature>,
    pub(crate) token: Token,
    /// When the token ends unless it is used, in epoch milliseconds.
    pub(crate) expires_at: i64,
}

/// A key that was just made. It is known only here and now.
pub(crate) struct MadeKey {
    pub(crate) id: String,
    pub(crate) key: Token,
    pub(crate) unused_until: i64,
}

impl Clusters {
    /// Makes a cluster, its agent's id and the token of its install script.
    pub(crate) async fn create(
        &self,
        user: &UserData,
        name: &str,
        provider: Provider,
        features: BTreeSet<Feature>,
        now: Timestamp,
    ) -> Result<Installation, ClusterError> {
        let installation = Installation {
            cluster_id: Uuid::new_v4().to_string(),
            cluster_name: name.to_owned(),
            agent_id: Uuid::new_v4().to_string(),
            provider,
            features,
            token: Token::generate(TokenKind::InstallToken, &mut rand::rng()),
            expires_at: unused_until(now),
        };
        let Installation { cluster_id, agent_id, token, expires_at, .. } = &installation;
        let cluster = NewCluster {
            id: cluster_id,
            user_id: &user.id,
            name,
            provider: provider.as_str(),
            features: &json!(installation.features).to_string(),
            agent_id,
            now,
        };
        let data = json!({"cluster_id": cluster_id, "agent_id": agent_id, "cluster_name": name,
                          "provider": provider.as_str()});
        let stored = async {
            let mut transaction = self.database.store().begin().await?;
            let inserted = self.database.insert_cluster(&mut transaction, &cluster).await;
            inserted.map_err(|error| match error {
                StoreError::Duplicate { .. } => ClusterError::NameTaken,
                other => other.into(),
            })?;
            self.database.insert_install_token(&mut transaction, cluster_id, token, now, *expires_at).await?;
            transaction.emit(&event(EventType::ClusterCreated, user, data, now)).await?;
            Ok(transaction.commit().await?)
        };
        self.bounded(stored).await?;
        Ok(installation)
    }

    /// The user's clusters by name.
    pub(crate) async fn list(&self, user: &UserData, now: Timestamp) -> Result<Vec<Cluster>, ClusterError> {
        Ok(self.database.clusters_of(&user.id, now).await?)
    }

    /// One of the user's clusters.
    pub(crate) async fn get(
        &self,
        user: &UserData,
        id: &str,
        now: Timestamp,
    ) -> Result<Cluster, ClusterError> {
        self.database.cluster_of(&user.id, id, now).await?.ok_or(ClusterError::NotFound)
    }

    /// Changes what was said of the cluster; what is not given stays.
    pub(crate) async fn change(
        &self,
        user: &UserData,
        id: &str,
        provider: Option<Provider>,
        features: Option<&BTreeSet<Feature>>,
        now: Timestamp,
    ) -> Result<Cluster, ClusterError> {
        let cluster = self.get(user, id, now).await?;
        let provider = provider.map_or(cluster.provider.as_str(), |provider| provider.as_str());
        let features =
            features.map_or_else(|| cluster.features.clone(), |features| json!(features).to_string());
        let changed = async {
            let mut transaction = self.database.store().begin().await?;
            self.database.change_cluster(&mut transaction, id, provider, &features).await?;
            transaction.emit(&updated(user, &cluster, &["provider", "features"], now)).await?;
            Ok(transaction.commit().await?)
        };
        self.bounded(changed).await?;
        self.get(user, id, now).await
    }

    /// Takes over what the cluster's resources cost.
    pub(crate) async fn enter_costs(
        &self,
        user: &UserData,
        id: &str,
        rates: &Rates,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        let cluster = self.get(user, id, now).await?;
        let entered = async {
            let mut transaction = self.database.store().begin().await?;
            self.database.set_rates(&mut transaction, id, rates, now).await?;
            transaction.emit(&updated(user, &cluster, &["costs"], now)).await?;
            Ok(transaction.commit().await?)
        };
        self.bounded(entered).await
    }

    /// Keeps the role of the cluster's AWS account, or forgets it.
    pub(crate) async fn set_role(
        &self,
        user: &UserData,
        cluster: &Cluster,
        role_arn: Option<&str>,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        let kept = async {
            let mut transaction = self.database.store().begin().await?;
            self.database.set_role(&mut transaction, &cluster.id, role_arn, now).await?;
            transaction.emit(&updated(user, cluster, &["aws_role"], now)).await?;
            Ok(transaction.commit().await?)
        };
        self.bounded(kept).await
    }

    /// Deletes a cluster, revokes its agent's keys and closes its session.
    pub(crate) async fn delete(&self, user: &UserData, id: &str, now: Timestamp) -> Result<(), ClusterError> {
        let cluster = self.get(user, id, now).await?;
        let data = json!({"cluster_id": id, "agent_id": cluster.agent_id, "cluster_name": cluster.name});
        let deleted = async {
            let mut transaction = self.database.store().begin().await?;
            if !self.database.delete_cluster(&mut transaction, id, now).await? {
                return Err(ClusterError::NotFound);
            }
            transaction.emit(&event(EventType::ClusterDeleted, user, data, now)).await?;
            Ok(transaction.commit().await?)
        };
        self.bounded(deleted).await?;
        // Here at once; other replicas hear of it by the event.
        self.registry.revoke(&cluster.agent_id, None, "the cluster was deleted");
        Ok(())
    }

    /// Makes a further key for the cluster's agent.
    pub(crate) async fn create_key(
        &self,
        user: &UserData,
        cluster_id: &str,
        now: Timestamp,
    ) -> Result<MadeKey, ClusterError> {
        let cluster = self.get(user, cluster_id, now).await?;
        let key = Token::generate(TokenKind::AgentKey, &mut rand::rng());
        let id = Uuid::new_v4().to_string();
        let unused_until = unused_until(now);
        let new_key = NewKey { id: &id, cluster_id, token: &key, now, unused_until };
        let data = json!({"cluster_id": cluster_id, "agent_id": cluster.agent_id, "key_id": id});
        let stored = async {
            let mut transaction = self.database.begin_keys(cluster_id).await?;
            if !self.database.insert_key(&mut transaction, &new_key).await? {
                return Err(ClusterError::TooManyKeys);
            }
            transaction.emit(&event(EventType::AgentKeyCreated, user, data, now)).await?;
            Ok(transaction.commit().await?)
        };
        self.bounded(stored).await?;
        Ok(MadeKey { id, key, unused_until })
    }

    /// The usable keys of the cluster's agent, oldest first.
    pub(crate) async fn keys(
        &self,
        user: &UserData,
        cluster_id: &str,
        now: Timestamp,
    ) -> Result<Vec<AgentKey>, ClusterError> {
        self.get(user, cluster_id, now).await?;
        let read = async {
            // Not a transaction: on SQLite that would wait for those that write.
            let mut connection = self.database.store().pool().acquire().await.map_err(StoreError::from)?;
            Ok(self.database.usable_keys(&mut connection, cluster_id, now).await?)
        };
        self.bounded(read).await
    }

    /// Revokes a key and closes the session that it opened.
    pub(crate) async fn revoke_key(
        &self,
        user: &UserData,
        cluster_id: &str,
        key_id: &str,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        let cluster = self.get(user, cluster_id, now).await?;
        let data = json!({"cluster_id": cluster_id, "agent_id": cluster.agent_id, "key_id": key_id});
        let revoked = async {
            let mut transaction = self.database.begin_keys(cluster_id).await?;
            if !self.database.revoke_key(&mut transaction, cluster_id, key_id, now).await? {
                return Err(ClusterError::NoSuchKey);
            }
            transaction.emit(&event(EventType::AgentKeyRevoked, user, data, now)).await?;
            Ok(transaction.commit().await?)
        };
        self.bounded(revoked).await?;
        self.registry.revoke(&cluster.agent_id, Some(key_id), "the agent's key was revoked");
        Ok(())
    }

    /// Sees to it that the user has a cluster of this name whose agent has this key; for the all-in-one process, which
    /// keeps its agent's key between runs. Answers the ids of the cluster and its agent.
    pub(crate) async fn ensure(
        &self,
        user: &UserData,
        name: &str,
        key: &Token,
        now: Timestamp,
    ) -> Result<(String, String), ClusterError> {
        let (cluster_id, agent_id) = match self.database.cluster_named(&user.id, name, now).await? {
            Some(cluster) => (cluster.id, cluster.agent_id),
            None => {
                let made =
                    self.create(user, name, Provider::Other, BTreeSet::from([Feature::Logs]), now).await?;
                (made.cluster_id, made.agent_id)
            }
        };
        let mut transaction = self.database.begin_keys(&cluster_id).await?;
        self.database.use_only_key(&mut transaction, &cluster_id, key, now).await?;
        transaction.commit().await?;
        Ok((cluster_id, agent_id))
    }

    /// Gives work with the database a bounded time, also when the database fell silent in the midst of it.
    async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, ClusterError>>,
    ) -> Result<T, ClusterError> {
        self.database.store().bounded(work).await
    }
}

/// When what is made now ends unless it is used, in epoch milliseconds.
fn unused_until(now: Timestamp) -> i64 {
    let lifetime = i64::try_from(UNUSED_LIFETIME.as_millis()).unwrap_or(i64::MAX);
    now.as_millis().saturating_add(lifetime)
}

fn updated(user: &UserData, cluster: &Cluster, changed: &[&str], now: Timestamp) -> Event {
    let data = json!({"cluster_id": cluster.id, "agent_id": cluster.agent_id, "cluster_name": cluster.name,
                      "changed": changed});
    event(EventType::ClusterUpdated, user, data, now)
}

fn event(event_type: EventType, user: &UserData, data: Value, now: Timestamp) -> Event {
    Event::new(event_type, &user.id, &user.username, now, data)
}
