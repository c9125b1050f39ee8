//! The roles of AWS accounts, in the rows of `clusters`.

use contracts::Timestamp;
use store::{StoreError, Transaction};

use super::Database;

impl Database {
    /// The external id that was made for the cluster; `proposed` from now on, where there was none.
    pub(crate) async fn external_id(&self, cluster_id: &str, proposed: &str) -> Result<String, StoreError> {
        let kept = sqlx::query_scalar(
            "UPDATE clusters SET aws_external_id = COALESCE(aws_external_id, $2) WHERE id = $1 RETURNING aws_external_id",
        )
        .bind(cluster_id)
        .bind(proposed)
        .fetch_one(self.store.pool());
        self.store.read(kept).await
    }

    /// Keeps a role that was proven, or forgets it.
    pub(crate) async fn set_role(
        &self,
        transaction: &mut Transaction,
        cluster_id: &str,
        role_arn: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE clusters SET aws_role_arn = $2, aws_role_proven_at = $3 WHERE id = $1")
            .bind(cluster_id)
            .bind(role_arn)
            .bind(role_arn.map(|_| now.as_millis()))
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }
}
