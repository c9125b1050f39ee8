//! Rows of `clusters`, and which of them is a user's active one.

use cluster_access::{Credentials, Trust};
use contracts::Timestamp;
use sqlx::FromRow;
use store::{StoreError, Transaction};

use super::Database;

/// A cluster by stored credentials.
#[derive(Clone, FromRow)]
pub(crate) struct StoredCluster {
    pub(crate) id: i64,
    pub(crate) user_id: String,
    pub(crate) name: String,
    pub(crate) server_url: String,
    pub(crate) context_name: Option<String>,
    pub(crate) provider_name: Option<String>,
    pub(crate) tags: Option<String>,
    pub(crate) use_secure_tls: i64,
    pub(crate) ca_data: Option<String>,
    pub(crate) tls_server_name: Option<String>,
    #[sqlx(flatten)]
    pub(crate) sealed: Sealed,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    /// 1 when it is its user's active one.
    pub(crate) is_active: i64,
}

/// What is secret of a cluster, each in an envelope.
#[derive(Clone, Default, PartialEq, Eq, FromRow)]
pub(crate) struct Sealed {
    #[sqlx(rename = "sealed_token")]
    pub(crate) token: Option<String>,
    #[sqlx(rename = "sealed_tls_cert")]
    pub(crate) tls_cert: Option<String>,
    #[sqlx(rename = "sealed_tls_key")]
    pub(crate) tls_key: Option<String>,
}

/// What is kept of a cluster beside its id.
pub(crate) struct NewCluster<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) server_url: &'a str,
    pub(crate) context_name: Option<&'a str>,
    pub(crate) provider_name: Option<&'a str>,
    pub(crate) tags: Option<&'a str>,
    pub(crate) use_secure_tls: bool,
    pub(crate) ca_data: Option<&'a str>,
    pub(crate) tls_server_name: Option<&'a str>,
    pub(crate) sealed: &'a Sealed,
    pub(crate) now: Timestamp,
}

/// What is shown of a cluster; what is sealed is added by [`WITH_SECRETS`] or left out by [`WITHOUT_SECRETS`].
const SELECT: &str = "SELECT c.id, c.user_id, c.name, c.server_url, c.context_name, c.provider_name, c.tags, c.use_secure_tls, \
     c.ca_data, c.tls_server_name, c.created_at, c.updated_at, \
     (SELECT COUNT(*) FROM selections s WHERE s.user_id = c.user_id AND s.cluster_id = c.id) AS is_active";
const WITH_SECRETS: &str = ", c.sealed_token, c.sealed_tls_cert, c.sealed_tls_key FROM clusters c";
const WITHOUT_SECRETS: &str = ", CAST(NULL AS TEXT) AS sealed_token, CAST(NULL AS TEXT) AS sealed_tls_cert, \
     CAST(NULL AS TEXT) AS sealed_tls_key FROM clusters c";

impl Database {
    /// The id of the next cluster. Whoever asks for another one waits until the transaction has ended.
    pub(crate) async fn next_id(&self, transaction: &mut Transaction) -> Result<i64, StoreError> {
        let next = sqlx::query_scalar("UPDATE cluster_ids SET last = last + 1 WHERE id = 1 RETURNING last");
        Ok(next.fetch_one(&mut **transaction).await?)
    }

    /// How many clusters the user has.
    pub(crate) async fn count(
        &self,
        transaction: &mut Transaction,
        user_id: &str,
    ) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM clusters WHERE user_id = $1").bind(user_id);
        Ok(count.fetch_one(&mut **transaction).await?)
    }

    pub(crate) async fn insert(
        &self,
        transaction: &mut Transaction,
        id: i64,
        new: &NewCluster<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO clusters (id, user_id, name, server_url, context_name, provider_name, tags, use_secure_tls, \
             ca_data, tls_server_name, sealed_token, sealed_tls_cert, sealed_tls_key, created_at, updated_at, touched_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $14)",
        )
        .bind(id)
        .bind(new.user_id)
        .bind(new.name)
        .bind(new.server_url)
        .bind(new.context_name)
        .bind(new.provider_name)
        .bind(new.tags)
        .bind(i64::from(new.use_secure_tls))
        .bind(new.ca_data)
        .bind(new.tls_server_name)
        .bind(new.sealed.token.as_deref())
        .bind(new.sealed.tls_cert.as_deref())
        .bind(new.sealed.tls_key.as_deref())
        .bind(new.now.as_millis())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// The user's clusters by name, without what is sealed of them.
    pub(crate) async fn clusters_of(&self, user_id: &str) -> Result<Vec<StoredCluster>, StoreError> {
        let query =
            sqlx::AssertSqlSafe(format!("{SELECT}{WITHOUT_SECRETS} WHERE c.user_id = $1 ORDER BY c.name"));
        self.store.read(sqlx::query_as(query).bind(user_id).fetch_all(self.store.pool())).await
    }

    /// One of the user's clusters.
    pub(crate) async fn cluster_of(
        &self,
        user_id: &str,
        id: i64,
    ) -> Result<Option<StoredCluster>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!("{SELECT}{WITH_SECRETS} WHERE c.user_id = $1 AND c.id = $2"));
        self.store.read(sqlx::query_as(query).bind(user_id).bind(id).fetch_optional(self.store.pool())).await
    }

    /// The user's cluster of that name. A name with a NUL, which PostgreSQL takes in no text, is nobody's.
    pub(crate) async fn cluster_named(
        &self,
        user_id: &str,
        name: &str,
    ) -> Result<Option<StoredCluster>, StoreError> {
        if name.contains('\0') {
            return Ok(None);
        }
        let query =
            sqlx::AssertSqlSafe(format!("{SELECT}{WITH_SECRETS} WHERE c.user_id = $1 AND c.name = $2"));
        self.store
            .read(sqlx::query_as(query).bind(user_id).bind(name).fetch_optional(self.store.pool()))
            .await
    }

    /// Up to `limit` clusters of all users after this id.
    pub(crate) async fn clusters_after(&self, id: i64, limit: i64) -> Result<Vec<StoredCluster>, StoreError> {
        let query =
            sqlx::AssertSqlSafe(format!("{SELECT}{WITH_SECRETS} WHERE c.id > $1 ORDER BY c.id LIMIT $2"));
        self.store.read(sqlx::query_as(query).bind(id).bind(limit).fetch_all(self.store.pool())).await
    }

    /// Notes that something is done now with one of the user's clusters, and holds it for that until the transaction ends. Answers the time
    /// at which it is done, which is later than that of whatever was done with it before, though by a process with another clock; `None`
    /// when there is none.
    pub(crate) async fn touch(
        &self,
        transaction: &mut Transaction,
        user_id: &str,
        id: i64,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let touched = sqlx::query_scalar(
            "UPDATE clusters SET touched_at = CASE WHEN touched_at >= $3 THEN touched_at + 1 ELSE $3 END \
             WHERE id = $1 AND user_id = $2 RETURNING touched_at",
        )
        .bind(id)
        .bind(user_id)
        .bind(now.as_millis())
        .fetch_optional(&mut **transaction)
        .await?;
        Ok(touched.map(|millis| Timestamp::from_millis(millis).unwrap_or(now)))
    }

    /// Makes a cluster the user's active one, and no other. Answers the time at which it is, which is later than that of the selection
    /// before.
    pub(crate) async fn select(
        &self,
        transaction: &mut Transaction,
        user_id: &str,
        id: i64,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let selected = sqlx::query_scalar(
            "INSERT INTO selections (user_id, cluster_id, selected_at) VALUES ($1, $2, $3) \
             ON CONFLICT (user_id) DO UPDATE SET cluster_id = $2, selected_at = CASE \
             WHEN selections.selected_at >= $3 THEN selections.selected_at + 1 ELSE $3 END RETURNING selected_at",
        )
        .bind(user_id)
        .bind(id)
        .bind(now.as_millis())
        .fetch_one(&mut **transaction)
        .await?;
        Ok(Timestamp::from_millis(selected).unwrap_or(now))
    }

    /// Puts other credentials in the place of a cluster's.
    pub(crate) async fn replace(
        &self,
        transaction: &mut Transaction,
        id: i64,
        credentials: &Credentials,
        sealed: &Sealed,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE clusters SET server_url = $2, use_secure_tls = $3, ca_data = $4, tls_server_name = $5, \
             sealed_token = $6, sealed_tls_cert = $7, sealed_tls_key = $8, \
             updated_at = CASE WHEN updated_at >= $9 THEN updated_at + 1 ELSE $9 END WHERE id = $1",
        )
        .bind(id)
        .bind(credentials.server.to_string())
        .bind(i64::from(credentials.trust != Trust::Nobody))
        .bind(credentials.trust.authorities())
        .bind(credentials.server_name.as_deref())
        .bind(sealed.token.as_deref())
        .bind(sealed.tls_cert.as_deref())
        .bind(sealed.tls_key.as_deref())
        .bind(now.as_millis())
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// Removes a cluster with all that was stored of it.
    pub(crate) async fn remove(&self, transaction: &mut Transaction, id: i64) -> Result<(), StoreError> {
        for statement in
            ["DELETE FROM selections WHERE cluster_id = $1", "DELETE FROM clusters WHERE id = $1"]
        {
            sqlx::query(statement).bind(id).execute(&mut **transaction).await?;
        }
        Ok(())
    }

    /// Puts other envelopes of the same secrets in the place of these; false when they are not there any more.
    pub(crate) async fn reseal(&self, id: i64, old: &Sealed, new: &Sealed) -> Result<bool, StoreError> {
        let same = |column: &str, number: u8| format!("COALESCE({column}, '') = ${number}");
        let query = format!(
            "UPDATE clusters SET sealed_token = $2, sealed_tls_cert = $3, sealed_tls_key = $4 WHERE id = $1 AND {} AND {} AND {}",
            same("sealed_token", 5),
            same("sealed_tls_cert", 6),
            same("sealed_tls_key", 7)
        );
        let resealed = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(id)
            .bind(new.token.as_deref())
            .bind(new.tls_cert.as_deref())
            .bind(new.tls_key.as_deref())
            .bind(old.token.as_deref().unwrap_or_default())
            .bind(old.tls_cert.as_deref().unwrap_or_default())
            .bind(old.tls_key.as_deref().unwrap_or_default())
            .execute(self.store.pool());
        Ok(self.store.read(resealed).await?.rows_affected() == 1)
    }
}
