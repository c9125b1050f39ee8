use ::store::{Options, testing::TestDatabase};
use contracts::events::{Event, EventType};
use serde_json::json;
use testkit::eventually;

use super::*;
use crate::{
    NAME,
    phases::{KUBERNETES, Target},
    saga::{self, Ending, NewSaga, RunMode},
    store::{Account, Added},
};

/// As when a process is started again without what its users' accounts are entered by.
#[tokio::test]
async fn what_cannot_be_entered_says_so_and_can_be_cancelled() {
    let place = TestDatabase::sqlite();
    let store = place.open(NAME, Options::default()).await.unwrap();
    let database = Database::open(store.clone()).await.unwrap();
    let account = Account {
        id: Uuid::from_u128(7).to_string(),
        user_id: "ada".to_owned(),
        name: "production".to_owned(),
        aws_account: "123456789012".to_owned(),
        role_arn: "arn:aws:iam::123456789012:role/kubesage".to_owned(),
        external_id: "only-ours".to_owned(),
        region: "us-east-1".to_owned(),
        created_at: 0,
    };
    let added = Event::new(EventType::AccountAdded, "ada", "ada", database.now(), json!({}));
    assert_eq!(database.add_account(&account, &added).await.unwrap(), Added::Now);
    let saga = NewSaga {
        id: Uuid::from_u128(8),
        user_id: "ada".to_owned(),
        username: "ada".to_owned(),
        mode: RunMode::Live,
        phases: KUBERNETES.to_vec(),
        target: Target {
            account_id: account.id,
            instance_id: "i-1234abcd".parse().unwrap(),
            instance_type: "m5.large".parse().unwrap(),
            zone: "us-east-1a".parse().unwrap(),
            group: None,
            cluster: "shop".parse().unwrap(),
        },
    };
    database.begin_operation(&saga, false, &[], 1).await.unwrap();
    let stop = CancellationToken::new();
    let worker = Worker {
        database: database.clone(),
        clouds: Clouds::default(),
        timing: Timing { lease: Duration::from_millis(100), ..Timing::default() },
        at_once: 1,
        begun: Arc::default(),
    };
    let working = tokio::spawn(worker.run(stop.clone()));

    let last = async || Some(database.journal_of(saga.id, 0).await.unwrap().pop()?.event);
    let why = "this process reaches no accounts of AWS";
    let is_told =
        |event: &saga::Event| matches!(event, saga::Event::Waiting { why: told, .. } if told == why);
    eventually("it to be told", async || last().await.filter(is_told)).await.unwrap();
    let epoch = async || {
        let query = sqlx::query_scalar::<_, i64>("SELECT epoch FROM sagas");
        query.fetch_one(store.pool()).await.unwrap()
    };
    eventually("it to be tried again", async || (epoch().await > 2).then_some(())).await.unwrap();
    let journal = database.journal_of(saga.id, 0).await.unwrap();
    let count = |what: fn(&saga::Event) -> bool| journal.iter().filter(|entry| what(&entry.event)).count();
    let told = count(|event| matches!(event, saga::Event::Waiting { .. }));
    let taken_over = count(|event| matches!(event, saga::Event::TakenOver { .. }));
    assert!(told <= taken_over + 1, "it is told once: {journal:?}");

    let operation = database.operation_of("ada", saga.id).await.unwrap().unwrap();
    database.request_cancel(&operation, &saga, |_| Ok::<_, StoreError>(())).await.unwrap();
    let is_cancelled = |event: &saga::Event| matches!(event, saga::Event::Ended { ending: Ending::Cancelled, why: told } if told.ends_with(why));
    eventually("it to be cancelled", async || last().await.filter(is_cancelled)).await.unwrap();
    stop.cancel();
    working.await.unwrap();
}
