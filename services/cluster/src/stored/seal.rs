//! The secrets of clusters, sealed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use cluster_access::Credentials;
use secrecy::SecretString;
use store::{SealError, Sealer, StoreError};
use thiserror::Error;
use tokio::time::sleep;

use crate::store::{Database, Sealed, StoredCluster};

/// So many rows are read at once; each may have two hundred thousand bytes.
const PAGE: i64 = 10;
/// How often it is looked for what was sealed with an earlier key: another replica may have had that one until now.
const AGAIN: Duration = Duration::from_secs(600);

/// Seals what is secret of a cluster. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Seals(Arc<Sealer>);

/// Why the secrets that are there cannot be used.
#[derive(Debug, Error)]
pub enum UnusableSecrets {
    /// One of them cannot be opened.
    #[error(
        "the credentials of cluster {cluster_id} in the database cannot be opened with this key for secrets"
    )]
    Sealed {
        /// Whose they are.
        cluster_id: i64,
        /// Why.
        source: SealError,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Seals with the present key what was sealed with an earlier one.
pub(crate) async fn keep_sealed(seals: Seals, database: Database) -> Infallible {
    loop {
        match seals.reseal(&database).await {
            Ok(0) => {}
            Ok(resealed) => tracing::info!(resealed, "credentials are sealed with the present key"),
            Err(error) => tracing::error!(%error, "credentials are still sealed with an earlier key"),
        }
        sleep(AGAIN).await;
    }
}

impl Seals {
    pub(crate) fn new(sealer: Sealer) -> Self {
        Self(Arc::new(sealer))
    }

    pub(crate) fn seal(&self, id: i64, credentials: &Credentials) -> Result<Sealed, SealError> {
        let seal = |secret: &SecretString, what| self.0.seal(secret, &context(id, what));
        let identity = credentials.identity.as_ref();
        let certificate = identity.map(|identity| SecretString::from(identity.certificate.as_str()));
        Ok(Sealed {
            token: credentials.token.as_ref().map(|token| seal(token, TOKEN)).transpose()?,
            tls_cert: certificate.map(|certificate| seal(&certificate, TLS_CERT)).transpose()?,
            tls_key: identity.map(|identity| seal(&identity.key, TLS_KEY)).transpose()?,
        })
    }

    /// The token, the certificate and its key.
    pub(crate) fn open(&self, cluster: &StoredCluster) -> Result<[Option<SecretString>; 3], SealError> {
        let open = |envelope: &Option<String>, what| {
            envelope.as_ref().map(|envelope| self.0.open(envelope, &context(cluster.id, what))).transpose()
        };
        let Sealed { token, tls_cert, tls_key } = &cluster.sealed;
        Ok([open(token, TOKEN)?, open(tls_cert, TLS_CERT)?, open(tls_key, TLS_KEY)?])
    }

    /// Opens everything that is sealed, so that a key that is missing or wrong is known at the start.
    pub(crate) async fn check(&self, database: &Database) -> Result<(), UnusableSecrets> {
        let mut last = i64::MIN;
        loop {
            let page = database.clusters_after(last, PAGE).await?;
            let Some(end) = page.last() else { return Ok(()) };
            last = end.id;
            for cluster in &page {
                self.open(cluster)
                    .map_err(|source| UnusableSecrets::Sealed { cluster_id: cluster.id, source })?;
            }
        }
    }

    /// Seals with the present key what was sealed with an earlier one; how many clusters those were.
    async fn reseal(&self, database: &Database) -> Result<u64, UnusableSecrets> {
        let (mut last, mut resealed) = (i64::MIN, 0);
        loop {
            let page = database.clusters_after(last, PAGE).await?;
            let Some(end) = page.last() else { return Ok(resealed) };
            last = end.id;
            for cluster in page.iter().filter(|cluster| self.is_stale(&cluster.sealed)) {
                let sealed = self.sealed_anew(cluster);
                let sealed =
                    sealed.map_err(|source| UnusableSecrets::Sealed { cluster_id: cluster.id, source })?;
                // Another replica may have been faster.
                resealed += u64::from(database.reseal(cluster.id, &cluster.sealed, &sealed).await?);
            }
        }
    }

    fn is_stale(&self, sealed: &Sealed) -> bool {
        let all = [&sealed.token, &sealed.tls_cert, &sealed.tls_key];
        all.into_iter().flatten().any(|envelope| self.0.needs_resealing(envelope))
    }

    fn sealed_anew(&self, cluster: &StoredCluster) -> Result<Sealed, SealError> {
        let [token, certificate, key] = self.open(cluster)?;
        let seal = |secret: Option<SecretString>, what| {
            secret.map(|secret| self.0.seal(&secret, &context(cluster.id, what))).transpose()
        };
        Ok(Sealed {
            token: seal(token, TOKEN)?,
            tls_cert: seal(certificate, TLS_CERT)?,
            tls_key: seal(key, TLS_KEY)?,
        })
    }
}

const TOKEN: &str = "token";
const TLS_CERT: &str = "tls_cert";
const TLS_KEY: &str = "tls_key";

/// An envelope is opened only in the place that it was made for.
fn context(id: i64, what: &str) -> String {
    format!("clusters.{what}/{id}")
}
