//! Operations that no process carries on but the test.

use std::time::Duration;

use anyhow::{Context, Result};
use optimizer::{
    Database,
    phases::{KUBERNETES, Target},
    saga::{Entry, Event, Lease, Log, NewSaga, Owner, RunMode},
};
use uuid::Uuid;

use crate::world::User;

/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_hours(1);

/// Begins an operation of this user.
pub(crate) async fn begun(database: &Database, user: User) -> Result<NewSaga> {
    let saga = NewSaga {
        id: Uuid::now_v7(),
        user_id: user.id().to_owned(),
        username: user.name().to_owned(),
        mode: RunMode::Shadow,
        phases: KUBERNETES.to_vec(),
        target: Target {
            account_id: Uuid::new_v4().to_string(),
            instance_id: "i-00000001".parse()?,
            instance_type: "m5.xlarge".parse()?,
            zone: "us-east-1a".parse()?,
            group: None,
            cluster: "shop".parse().unwrap(),
        },
    };
    database.begin(&saga, &[]).await?;
    Ok(saga)
}

/// Begins one, and takes it on so that the service does not.
pub(crate) async fn taken(database: &Database, user: User) -> Result<Lease> {
    let saga = begun(database, user).await?;
    let claimed = database.claim(&Owner("a test".to_owned()), LONG).await?.context("it is there")?;
    assert_eq!(claimed.saga, saga);
    Ok(claimed.lease)
}

/// Writes the entry at that place.
pub(crate) async fn write(database: &Database, lease: Lease, seq: u32, event: Event) -> Result<()> {
    let entry = Entry { seq, at: Log::now(database), epoch: lease.epoch, event };
    Ok(database.append(lease, &entry).await?)
}
