//! Operations of users.

use contracts::auth::UserData;
use uuid::Uuid;

use super::{Lab, LabError, PipelineMode, parsed};
use crate::{
    phases::{KUBERNETES, Subject, Target},
    report::OperationReport,
    saga::{Direction, Ending, LogError, NewSaga, RunMode, SagaId, State},
    store::{NotBegun, Operation},
};

impl Lab {
    /// Begins an operation on an instance.
    pub(crate) async fn evaluate(&self, user: &UserData, id: &str) -> Result<SagaId, LabError> {
        let instance = self.instance(user, id).await?;
        let (Some(PipelineMode::Kubernetes), Some(cluster)) =
            (instance.mode(), instance.cluster_name.as_deref())
        else {
            return Err(LabError::Conflict(format!(
                "the pipeline of {} is {}: this version has that of KUBERNETES only",
                instance.instance_id, instance.pipeline_mode
            )));
        };
        let target = Target {
            account_id: instance.account_id,
            instance_id: parsed("instance_id", &instance.instance_id)?,
            instance_type: parsed("instance_type", &instance.instance_type)?,
            zone: parsed("availability_zone", &instance.availability_zone)?,
            group: instance.asg_name.as_deref().map(|name| parsed("asg_name", name)).transpose()?,
            cluster: parsed("cluster_membership.cluster_name", cluster)?,
        };
        let (mode, subjects) = if instance.is_shadow_mode == 1 {
            (RunMode::Shadow, Vec::new())
        } else {
            (RunMode::Live, vec![Subject::instance(&target.account_id, &target.instance_id)])
        };
        let saga = NewSaga {
            id: Uuid::now_v7(),
            user_id: user.id.clone(),
            username: user.username.clone(),
            mode,
            phases: KUBERNETES.to_vec(),
            target,
        };
        let is_simulated = instance.is_simulated == 1;
        let begun = self.database.begin_operation(&saga, is_simulated, &subjects, self.max_live).await;
        begun.map_err(|error| match error {
            NotBegun::NoAccount => LabError::NotFound("instance"),
            NotBegun::TooMany(_) => LabError::TooMany(error.to_string()),
            NotBegun::Log(LogError::Store(error)) => LabError::Store(error),
            NotBegun::Log(error) => LabError::Conflict(error.to_string()),
        })?;
        self.begun.notify_one();
        Ok(saga.id)
    }

    /// One of the user's operations.
    pub(crate) async fn operation(
        &self,
        user: &UserData,
        id: &str,
    ) -> Result<(Operation, NewSaga), LabError> {
        let not_found = || LabError::NotFound("operation");
        let id = Uuid::try_parse(id).map_err(|_| not_found())?;
        let operation = self.database.operation_of(&user.id, id).await?.ok_or_else(not_found)?;
        let saga = operation.saga()?;
        Ok((operation, saga))
    }

    /// The user's newest operations, the newest first.
    pub(crate) async fn reports(&self, user: &UserData) -> Result<Vec<OperationReport>, LabError> {
        let operations = self.database.operations_of(&user.id).await?;
        let reports =
            operations.iter().map(|(operation, saga, journal)| OperationReport::of(operation, saga, journal));
        Ok(reports.collect())
    }

    /// An operation as its journal tells.
    pub(crate) async fn report(
        &self,
        operation: &Operation,
        saga: &NewSaga,
    ) -> Result<OperationReport, LabError> {
        let journal = self.database.journal_of(saga.id, 0).await?;
        Ok(OperationReport::of(operation, saga, &journal))
    }

    /// Has an operation cancelled between two of its steps, as long as there is a way back.
    pub(crate) async fn cancel(&self, user: &UserData, id: &str) -> Result<(), LabError> {
        let (operation, saga) = self.operation(user, id).await?;
        if operation.ended_at.is_some() {
            return Err(LabError::Conflict("the operation is over".to_owned()));
        }
        self.database.request_cancel(&operation, &saga, can_be_cancelled).await
    }
}

/// Whether there is a way back for an operation, and it is not taken yet for another reason.
fn can_be_cancelled(state: &State) -> Result<(), LabError> {
    let is_cancelled = matches!(
        state.direction(),
        Direction::Back(Ending::Cancelled, _) | Direction::Ended(Ending::Cancelled, _)
    );
    if is_cancelled || state.can_be_cancelled() {
        return Ok(());
    }
    let why = if state.is_past_return() {
        "the old instance is being ended, or is: from here on the operation only goes forward"
    } else {
        "the operation is being undone already, or over"
    };
    Err(LabError::Conflict(why.to_owned()))
}
