//! Streams of events: how long they go on, and how many there may be.

use anyhow::{Context, Result, ensure};
use optimizer::{
    Database, NAME, OperationArgs,
    phases::Phase,
    saga::{Ending, Event},
};
use reqwest::{Response, StatusCode};
use sim::Delays;
use store::Options;
use testkit::eventually_within;
use tokio::time::timeout;

use crate::{
    sagas::{taken, write},
    world::{OPERATIONS, PATIENCE, User, World},
};

/// What comes next; `None` at the end.
async fn more(stream: &mut Response) -> Result<Option<String>> {
    let chunk = timeout(PATIENCE, stream.chunk()).await??;
    Ok(chunk.map(|chunk| String::from_utf8_lossy(&chunk).into_owned()))
}

store::test_on_both! {
    async fn who_has_heard_all_is_told_not_to_come_again(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let account = world.account(User::Ada).await?;
        let instance = world.instance(&account, &world.old().await?, true).await?;
        let operation = world.evaluate(&instance).await?;
        let last = world.events(&operation, None).await?.len() - 1;
        let answer = world.stream(User::Ada, &operation, Some(&last.to_string())).await?;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        ensure!(answer.text().await?.is_empty());
        Ok(())
    }

    async fn what_another_process_writes_is_heard(database: TestDatabase) -> Result<()> {
        let another = Database::open(database.open(NAME, Options::default()).await?).await?;
        let lease = taken(&another, User::Ada).await?;
        let world = World::start(&database).await?;
        let operation = format!("{OPERATIONS}/{}", lease.saga);
        // Who has seen the first one waits for the second.
        let mut stream = world.stream(User::Ada, &operation, Some("0")).await?;
        for (seq, why) in [(1, "one"), (2, "two")] {
            let event = Event::Waiting { phase: Phase::Access, why: why.to_owned() };
            write(&another, lease, seq, event).await?;
            let told = more(&mut stream).await?.context("an event")?;
            ensure!(told.contains(&format!("id: {seq}")) && told.contains(why), "{told}");
        }
        write(&another, lease, 3, Event::Ended { ending: Ending::Kept, why: "enough".to_owned() }).await?;
        let told = more(&mut stream).await?.context("an event")?;
        ensure!(told.contains("event: ended"), "{told}");
        assert_eq!(more(&mut stream).await?, None);
        Ok(())
    }

    async fn a_user_has_so_many_and_others_have_theirs(database: TestDatabase) -> Result<()> {
        let another = Database::open(database.open(NAME, Options::default()).await?).await?;
        let of_ada = format!("{OPERATIONS}/{}", taken(&another, User::Ada).await?.saga);
        let of_bob = format!("{OPERATIONS}/{}", taken(&another, User::Bob).await?.saga);
        let settings = OperationArgs { max_event_streams_per_user: 2, ..OperationArgs::default() };
        let world = World::with_settings(&database, Delays::none(), settings).await?;
        let first = world.stream(User::Ada, &of_ada, None).await?.error_for_status()?;
        let _second = world.stream(User::AdaReading, &of_ada, None).await?.error_for_status()?;
        world.get(User::Ada, &format!("{of_ada}/events")).await?.problem(429, "rate_limited")?;
        let _of_bob = world.stream(User::Bob, &of_bob, None).await?.error_for_status()?;
        drop(first);
        eventually_within(PATIENCE, "a place to be free", async || {
            world.stream(User::Ada, &of_ada, None).await.ok()?.error_for_status().ok()
        })
        .await?;
        Ok(())
    }

    async fn a_stream_ends_with_its_key(database: TestDatabase) -> Result<()> {
        let another = Database::open(database.open(NAME, Options::default()).await?).await?;
        let operation = format!("{OPERATIONS}/{}", taken(&another, User::Ada).await?.saga);
        let world = World::start(&database).await?;
        let mut stream = world.stream(User::Ada, &operation, None).await?.error_for_status()?;
        ensure!(more(&mut stream).await?.is_some_and(|told| told.contains("event: started")));
        world.revoke_keys();
        while let Some(told) = more(&mut stream).await? {
            ensure!(told.starts_with(':'), "nothing happens meanwhile: {told}");
        }
        world.get(User::Ada, &operation).await?.problem(401, "unauthenticated")?;
        Ok(())
    }
}

#[test]
fn one_user_does_not_fill_a_process() {
    let settings = OperationArgs::default();
    assert!(settings.max_operations_per_user < settings.max_operations);
    assert!(settings.max_event_streams_per_user < settings.max_event_streams);
    assert_eq!(settings.operation_retention_days, 90);
}
