//! Clusters by stored credentials: a server's URL, a token, TLS data; no agent.

mod check;
mod clients;
mod seal;

use cluster_access::{AccessError, Allowed, ClusterClient, Credentials, Identity, ServerUrl, Trust, Version};
use contracts::{
    ErrorCode, Timestamp,
    auth::UserData,
    events::{Event, EventType},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::{SealError, StoreError, Transaction};
use thiserror::Error;
use web::{FieldError, Problem};

pub(crate) use check::{Checked, Given};
pub(crate) use clients::Clients;
pub use seal::UnusableSecrets;
pub(crate) use seal::{Seals, keep_sealed};

use crate::store::{Database, NewCluster, StoredCluster};

/// More namespaces of one cluster are not listed. Kubernetes itself is not tested beyond 10,000.
/// <https://github.com/kubernetes/community/blob/master/sig-scalability/configs-and-limits/thresholds.md>
const MAX_NAMESPACES: usize = 100_000;
/// So many clusters one user may have.
const MAX_CLUSTERS: i64 = 1000;

/// The clusters of all users. Cheap to clone.
#[derive(Clone)]
pub(crate) struct StoredClusters {
    pub(crate) database: Database,
    pub(crate) seals: Seals,
    pub(crate) clients: Clients,
}

/// Why something could not be done with a cluster.
#[derive(Debug, Error)]
pub(crate) enum StoredError {
    #[error("there is no such cluster")]
    NotFound,
    #[error(
        "you have a cluster of this name already; replace its credentials, remove it, or choose another name"
    )]
    NameTaken,
    #[error("you have {MAX_CLUSTERS} clusters already; remove some first")]
    TooMany,
    #[error("some values cannot be accepted")]
    Invalid(Vec<FieldError>),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StoredError> for Problem {
    fn from(error: StoredError) -> Self {
        match error {
            StoredError::NotFound => Self::not_found(error.to_string()),
            StoredError::NameTaken | StoredError::TooMany => Self::conflict(error.to_string()),
            StoredError::Invalid(errors) => {
                let none = Self::new(ErrorCode::Invalid, "some values of the request cannot be accepted");
                errors
                    .into_iter()
                    .fold(none, |problem, FieldError { field, message }| problem.and_field(field, message))
            }
            StoredError::Access(error) => access_problem(&error),
            StoredError::Seal(error) => Self::internal(&error),
            StoredError::Store(StoreError::Unavailable(cause)) => {
                Self::unavailable(&cause, "the database cannot be used right now; try again")
            }
            StoredError::Store(other) => Self::internal(&other),
        }
    }
}

/// What the cluster said, as what it is. That its token is worth nothing is no fault of the caller's key, and so no 401.
fn access_problem(error: &AccessError) -> Problem {
    let code = match error {
        AccessError::Busy => ErrorCode::RateLimited,
        AccessError::Refused { status, .. } => match status {
            400 => ErrorCode::BadRequest,
            401 | 403 => ErrorCode::Forbidden,
            404 => ErrorCode::NotFound,
            409 => ErrorCode::Conflict,
            410 => ErrorCode::Expired,
            422 => ErrorCode::Invalid,
            429 => ErrorCode::RateLimited,
            _ => ErrorCode::ClusterUnreachable,
        },
        _ => ErrorCode::ClusterUnreachable,
    };
    let is_busy = code == ErrorCode::RateLimited;
    let text = match error {
        AccessError::Refused { status: 401, .. } => format!("{error} (it does not accept the credentials)"),
        _ => error.to_string(),
    };
    let problem = Problem::new(code, text);
    if is_busy { problem.retry_after(clients::BUSY) } else { problem }
}

impl StoredClusters {
    /// Stores a cluster that was checked.
    pub(crate) async fn onboard(
        &self,
        user: &UserData,
        checked: &Checked,
        now: Timestamp,
    ) -> Result<StoredCluster, StoredError> {
        let Checked { name, context_name, provider_name, tags, credentials } = checked;
        let server_url = credentials.server.to_string();
        let data = |id: i64| {
            json!({"cluster_id": id, "cluster_name": name, "server_url": server_url,
                   "context_name": context_name, "provider_name": provider_name})
        };
        let stored = async {
            let mut transaction = self.database.store().begin().await?;
            // From here on nobody else adds one.
            let id = self.database.next_id(&mut transaction).await?;
            if self.database.count(&mut transaction, &user.id).await? >= MAX_CLUSTERS {
                return Err(StoredError::TooMany);
            }
            let sealed = self.seals.seal(id, credentials)?;
            let new = NewCluster {
                user_id: &user.id,
                name,
                server_url: &server_url,
                context_name: context_name.as_deref(),
                provider_name: provider_name.as_deref(),
                tags: tags.as_deref(),
                use_secure_tls: credentials.trust != Trust::Nobody,
                ca_data: credentials.trust.authorities(),
                tls_server_name: credentials.server_name.as_deref(),
                sealed: &sealed,
                now,
            };
            let inserted = self.database.insert(&mut transaction, id, &new).await;
            inserted.map_err(|error| match error {
                StoreError::Duplicate { .. } => StoredError::NameTaken,
                other => other.into(),
            })?;
            commit(transaction, &event(EventType::ClusterOnboarded, user, data(id), now)).await?;
            Ok(id)
        };
        let id = self.bounded(stored).await?;
        self.get(user, id).await
    }

    /// The user's clusters by name.
    pub(crate) async fn list(&self, user: &UserData) -> Result<Vec<StoredCluster>, StoredError> {
        Ok(self.database.clusters_of(&user.id).await?)
    }

    /// One of the user's clusters.
    pub(crate) async fn get(&self, user: &UserData, id: i64) -> Result<StoredCluster, StoredError> {
        self.database.cluster_of(&user.id, id).await?.ok_or(StoredError::NotFound)
    }

    /// Removes a cluster with its credentials.
    pub(crate) async fn remove(&self, user: &UserData, id: i64) -> Result<StoredCluster, StoredError> {
        let cluster = self.get(user, id).await?;
        let removed = async {
            let (mut transaction, now) = self.touched(user, id).await?;
            self.database.remove(&mut transaction, id).await?;
            commit(transaction, &of_cluster(EventType::ClusterDeleted, user, &cluster, json!({}), now)).await
        };
        self.bounded(removed).await?;
        self.clients.forget(&cluster);
        Ok(cluster)
    }

    /// The user's cluster of that name.
    pub(crate) async fn named(&self, user: &UserData, name: &str) -> Result<StoredCluster, StoredError> {
        self.database.cluster_named(&user.id, name).await?.ok_or(StoredError::NotFound)
    }

    /// The credentials of the user's cluster of that name, opened; that somebody saw them is told as an event.
    pub(crate) async fn show_credentials(
        &self,
        user: &UserData,
        name: &str,
    ) -> Result<(StoredCluster, Credentials), StoredError> {
        let cluster = self.named(user, name).await?;
        let credentials = self.credentials(&cluster)?;
        self.tell(user, &cluster, EventType::ClusterCredentialsRead, json!({})).await?;
        Ok((cluster, credentials))
    }

    /// The names of the cluster's namespaces.
    pub(crate) async fn namespaces(&self, cluster: &StoredCluster) -> Result<Vec<String>, StoredError> {
        Ok(self.client(cluster)?.namespaces(MAX_NAMESPACES).await?)
    }

    /// Lists the cluster's namespaces and makes it the user's active one: both or neither.
    pub(crate) async fn select(
        &self,
        user: &UserData,
        id: i64,
    ) -> Result<(StoredCluster, Vec<String>), StoredError> {
        let cluster = self.get(user, id).await?;
        let namespaces = self.namespaces(&cluster).await?;
        let data = json!({"namespaces": namespaces.len()});
        let kind = EventType::ClusterSelectedAndNamespacesRetrieved;
        let selected = async {
            let (mut transaction, now) = self.touched(user, id).await?;
            let now = self.database.select(&mut transaction, &user.id, id, now).await?;
            let now = self.database.touch(&mut transaction, &user.id, id, now).await?.unwrap_or(now);
            commit(transaction, &of_cluster(kind, user, &cluster, data, now)).await
        };
        self.bounded(selected).await?;
        Ok((StoredCluster { is_active: 1, ..cluster }, namespaces))
    }

    /// What the cluster says that it is, by credentials that are not stored yet.
    pub(crate) async fn verify(&self, credentials: &Credentials) -> Result<Version, StoredError> {
        let version = ClusterClient::new(credentials, self.clients.limits())?.version().await;
        Ok(version.map_err(|error| match error {
            AccessError::Refused { status: 404, .. } => {
                AccessError::Unreadable("there is no /version; is the URL's path right?".to_owned())
            }
            other => other,
        })?)
    }

    /// Has an event published of one of the user's clusters.
    pub(crate) async fn tell(
        &self,
        user: &UserData,
        cluster: &StoredCluster,
        kind: EventType,
        data: Value,
    ) -> Result<(), StoredError> {
        let told = async {
            let (transaction, now) = self.touched(user, cluster.id).await?;
            commit(transaction, &of_cluster(kind, user, cluster, data, now)).await
        };
        self.bounded(told).await
    }

    /// The same of something that has been done, also when the cluster was removed meanwhile.
    pub(crate) async fn tell_of_past(
        &self,
        user: &UserData,
        cluster: &StoredCluster,
        kind: EventType,
        data: Value,
    ) -> Result<(), StoredError> {
        let told = async {
            let (transaction, touched) = self.try_touch(user, cluster.id).await?;
            let now = touched.unwrap_or_else(|| self.database.now());
            commit(transaction, &of_cluster(kind, user, cluster, data, now)).await
        };
        self.bounded(told).await
    }

    /// Whether the cluster says that it is a simulation.
    pub(crate) async fn is_simulated(&self, cluster: &StoredCluster) -> bool {
        match self.client(cluster) {
            Ok(client) => client.is_simulated().await,
            Err(_) => false,
        }
    }

    /// Puts other credentials in the place of those that are stored of a cluster.
    pub(crate) async fn replace_credentials(
        &self,
        user: &UserData,
        cluster: &StoredCluster,
        credentials: &Credentials,
    ) -> Result<StoredCluster, StoredError> {
        let sealed = self.seals.seal(cluster.id, credentials)?;
        let data = json!({
            "changed": changed(cluster, credentials),
            "server_url": credentials.server.to_string(),
            "use_secure_tls": credentials.trust != Trust::Nobody,
        });
        let replaced = async {
            let (mut transaction, now) = self.touched(user, cluster.id).await?;
            self.database.replace(&mut transaction, cluster.id, credentials, &sealed, now).await?;
            commit(transaction, &of_cluster(EventType::ClusterUpdated, user, cluster, data, now)).await
        };
        self.bounded(replaced).await?;
        self.clients.forget(cluster);
        self.get(user, cluster.id).await
    }

    /// What is stored of the cluster, opened.
    pub(crate) fn credentials(&self, cluster: &StoredCluster) -> Result<Credentials, StoredError> {
        let [token, certificate, key] = self.seals.open(cluster)?;
        // It was checked when it was stored; what addresses are allowed may have changed.
        let allowed = Allowed { http: true, any_address: self.clients.limits().any_address };
        let server = ServerUrl::parse(&cluster.server_url, allowed)
            .map_err(|error| AccessError::Credentials(format!("server_url {error}")))?;
        let identity = certificate.zip(key);
        Ok(Credentials {
            server,
            server_name: cluster.tls_server_name.clone(),
            token,
            identity: identity.map(|(certificate, key)| Identity {
                certificate: certificate.expose_secret().to_owned(),
                key,
            }),
            trust: match (cluster.use_secure_tls != 0, cluster.ca_data.clone()) {
                (false, _) => Trust::Nobody,
                (true, None) => Trust::Public,
                (true, Some(pem)) => Trust::Authorities(pem),
            },
        })
    }

    fn client(&self, cluster: &StoredCluster) -> Result<ClusterClient, StoredError> {
        self.clients.get(cluster, || self.credentials(cluster))
    }

    /// A transaction that holds one of the user's clusters, and the time of what is done in it.
    async fn touched(&self, user: &UserData, id: i64) -> Result<(Transaction, Timestamp), StoredError> {
        let (transaction, touched) = self.try_touch(user, id).await?;
        Ok((transaction, touched.ok_or(StoredError::NotFound)?))
    }

    /// The same, without a time when there is no such cluster.
    async fn try_touch(
        &self,
        user: &UserData,
        id: i64,
    ) -> Result<(Transaction, Option<Timestamp>), StoredError> {
        let mut transaction = self.database.store().begin().await?;
        let touched = self.database.touch(&mut transaction, &user.id, id, self.database.now()).await?;
        Ok((transaction, touched))
    }

    async fn bounded<T>(&self, work: impl Future<Output = Result<T, StoredError>>) -> Result<T, StoredError> {
        self.database.store().bounded(work).await
    }
}

/// What is another in these credentials than in those that are stored; their secrets always may be.
fn changed(cluster: &StoredCluster, credentials: &Credentials) -> Vec<&'static str> {
    let is_secure = credentials.trust != Trust::Nobody;
    let others = [
        ("server_url", cluster.server_url != credentials.server.to_string()),
        ("use_secure_tls", (cluster.use_secure_tls != 0) != is_secure),
        ("ca_data", cluster.ca_data.as_deref() != credentials.trust.authorities()),
        ("tls_server_name", cluster.tls_server_name != credentials.server_name),
    ];
    let others = others.into_iter().filter_map(|(field, is_another)| is_another.then_some(field));
    std::iter::once("credentials").chain(others).collect()
}

/// Makes a change last, with the event that tells of it.
async fn commit(mut transaction: Transaction, event: &Event) -> Result<(), StoredError> {
    transaction.emit(event).await?;
    Ok(transaction.commit().await?)
}

/// An event of a cluster: `data` with the cluster's id and name.
fn of_cluster(
    kind: EventType,
    user: &UserData,
    cluster: &StoredCluster,
    mut data: Value,
    now: Timestamp,
) -> Event {
    data["cluster_id"] = cluster.id.into();
    data["cluster_name"] = cluster.name.as_str().into();
    event(kind, user, data, now)
}

fn event(kind: EventType, user: &UserData, data: Value, now: Timestamp) -> Event {
    Event::new(kind, &user.id, &user.username, now, data)
}
