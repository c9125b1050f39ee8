//! Rows of `lab_instances`.

use contracts::events::Event;
use sqlx::FromRow;
use store::StoreError;

use super::{Added, Database, accounts::has_account, add, is_id, operations::turns_of};

/// An instance that may be replaced.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct LabInstance {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) account_id: String,
    pub(crate) instance_id: String,
    pub(crate) instance_type: String,
    pub(crate) availability_zone: String,
    pub(crate) pipeline_mode: String,
    /// 1 when operations on it only tell what they would do.
    pub(crate) is_shadow_mode: i64,
    /// 1 when it is in the simulated account.
    pub(crate) is_simulated: i64,
    pub(crate) asg_name: Option<String>,
    pub(crate) cluster_name: Option<String>,
    pub(crate) node_group: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

const COLUMNS: &str = "id, user_id, account_id, instance_id, instance_type, availability_zone, pipeline_mode, \
     is_shadow_mode, is_simulated, asg_name, cluster_name, node_group, role, created_at, updated_at";

impl Database {
    /// Adds an instance to its user's account. [`Added::Before`]: the account has it already.
    pub(crate) async fn add_instance(
        &self,
        instance: &LabInstance,
        event: &Event,
    ) -> Result<Added, StoreError> {
        let query = sqlx::AssertSqlSafe(format!(
            "INSERT INTO lab_instances ({COLUMNS}) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
             ON CONFLICT (account_id, instance_id) DO NOTHING"
        ));
        let insert = sqlx::query(query)
            .bind(&instance.id)
            .bind(&instance.user_id)
            .bind(&instance.account_id)
            .bind(&instance.instance_id)
            .bind(&instance.instance_type)
            .bind(&instance.availability_zone)
            .bind(&instance.pipeline_mode)
            .bind(instance.is_shadow_mode)
            .bind(instance.is_simulated)
            .bind(&instance.asg_name)
            .bind(&instance.cluster_name)
            .bind(&instance.node_group)
            .bind(&instance.role)
            .bind(instance.created_at)
            .bind(instance.updated_at);
        let added = async {
            // So that neither the account goes meanwhile, nor another instance comes.
            let mut transaction = self.store.begin_exclusive(&turns_of(&instance.user_id)).await?;
            if !has_account(&mut transaction, &instance.account_id).await? {
                return Ok(Added::NoAccount);
            }
            add(transaction, "lab_instances", &instance.user_id, insert, event).await
        };
        self.store.bounded(added).await
    }

    /// The instances of a user, the oldest first.
    pub(crate) async fn instances_of(&self, user_id: &str) -> Result<Vec<LabInstance>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM lab_instances WHERE user_id = $1 ORDER BY created_at, id"
        ));
        self.store.read(sqlx::query_as(query).bind(user_id).fetch_all(self.store.pool())).await
    }

    /// An instance of this user.
    pub(crate) async fn instance_of(
        &self,
        user_id: &str,
        id: &str,
    ) -> Result<Option<LabInstance>, StoreError> {
        if !is_id(id) {
            return Ok(None);
        }
        let query = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM lab_instances WHERE user_id = $1 AND id = $2"
        ));
        let found = sqlx::query_as(query).bind(user_id).bind(id).fetch_optional(self.store.pool());
        self.store.read(found).await
    }

    /// Writes what can be changed of an instance; false when it is gone, or was changed by somebody since it was read, at `read_at`.
    pub(crate) async fn change_instance(
        &self,
        instance: &LabInstance,
        read_at: i64,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let changed = sqlx::query(
            "UPDATE lab_instances SET pipeline_mode = $2, is_shadow_mode = $3, asg_name = $4, cluster_name = $5, \
             node_group = $6, role = $7, updated_at = $8 WHERE id = $1 AND updated_at = $9",
        )
        .bind(&instance.id)
        .bind(&instance.pipeline_mode)
        .bind(instance.is_shadow_mode)
        .bind(&instance.asg_name)
        .bind(&instance.cluster_name)
        .bind(&instance.node_group)
        .bind(&instance.role)
        .bind(instance.updated_at)
        .bind(read_at);
        self.change(changed, event).await
    }

    /// Forgets an instance, which goes on running; false when it is gone already.
    pub(crate) async fn remove_instance(&self, id: &str, event: &Event) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM lab_instances WHERE id = $1").bind(id);
        self.change(removed, event).await
    }
}
