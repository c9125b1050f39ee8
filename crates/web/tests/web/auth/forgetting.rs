//! What empties a verifier's memory.

use anyhow::Result;
use contracts::{
    ErrorCode, Token,
    auth::Scope,
    events::EventType::{ApiKeyRevoked, ApiKeyRotated, UserUpdated},
    queues::Service,
};
use testkit::{Proxy, TestBus, amqp_address, amqp_url, amqp_url_at, eventually, on_both_brokers};
use tokio_util::sync::CancellationToken;
use web::auth::{RemoteVerifier, Verifier};

use super::user_auth::{
    Answer, PATIENT, UserAuth, connect, connect_to, event, new_key, until_it_remembers, user, verifier,
    without_fallback,
};

on_both_brokers!(
    every_change_empties_the_memory_of_every_replica,
    what_was_under_way_is_given_to_nobody_after
);

/// Waits until the verifier asks about this key, which it has remembered so far, again.
async fn until_forgotten(verifier: &RemoteVerifier, user_auth: &UserAuth, key: &Token) -> Result<()> {
    let asked = user_auth.asked_over_bus(key);
    eventually("the memory to be emptied", async || {
        assert!(verifier.verify(key.clone()).await.valid);
        (user_auth.asked_over_bus(key) > asked).then_some(())
    })
    .await
}

async fn every_change_empties_the_memory_of_every_replica(test: TestBus) -> Result<()> {
    let user_auth = UserAuth::default();
    user_auth.serve(&connect(&test).await?);
    let buses = [connect(&test).await?, connect(&test).await?];
    let replicas = [verifier(&buses[0], &user_auth).await?, verifier(&buses[1], &user_auth).await?];
    for (changes, change) in [ApiKeyRevoked, ApiKeyRotated, UserUpdated].into_iter().enumerate() {
        // One key for each replica, so that each one's questions are counted.
        let keys = [user_auth.key(), user_auth.key()];
        for (replica, key) in replicas.iter().zip(&keys) {
            for _ in 0..2 {
                assert!(replica.verify(key.clone()).await.valid);
            }
            assert_eq!(user_auth.asked_over_bus(key), 1, "remembered after {changes} changes");
        }
        buses[0].publish_event(&event(change)).await?;
        for (replica, key) in replicas.iter().zip(&keys) {
            until_forgotten(replica, &user_auth, key).await?;
            assert_eq!(user_auth.asked_over_bus(key), 2, "one change empties the memory once");
        }
    }
    Ok(())
}

/// An answer that was asked for before a revocation reaches neither who asks after it nor the memory.
async fn what_was_under_way_is_given_to_nobody_after(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    user_auth.serve(&connect(&test).await?);
    let verifier = verifier(&bus, &user_auth).await?;
    let (key, witness) = (new_key(), user_auth.key());
    assert!(verifier.verify(witness.clone()).await.valid);

    let release = CancellationToken::new();
    user_auth.says(&key, Answer::Held(user("ann", &[Scope::Read]), release.clone()));
    let (early, early_key) = (verifier.clone(), key.clone());
    let early = tokio::spawn(async move { early.verify(early_key).await });
    eventually("the first question", async || (user_auth.asked_over_bus(&key) == 1).then_some(())).await?;

    user_auth.says(&key, Answer::Unknown);
    bus.publish_event(&event(ApiKeyRevoked)).await?;
    until_forgotten(&verifier, &user_auth, &witness).await?;
    let late = verifier.verify(key.clone()).await;
    assert_eq!((late.valid, late.code), (false, Some(ErrorCode::Unauthenticated)));

    release.cancel();
    assert!(early.await?.valid, "asked before the revocation");
    let later = verifier.verify(key.clone()).await;
    assert_eq!((later.valid, user_auth.asked_over_bus(&key)), (false, 3));
    Ok(())
}

/// Events may have been missed while the connection was away.
#[tokio::test]
async fn a_new_connection_to_the_broker_empties_the_memory() -> Result<()> {
    let (prefix, user_auth) = (TestBus::rabbitmq().prefix, UserAuth::default());
    user_auth.serve(&connect_to(&amqp_url().into(), &prefix).await?);
    let proxy = Proxy::start(amqp_address()?).await?;
    let bus = connect_to(&amqp_url_at(proxy.address())?.into(), &prefix).await?;
    let verifier = RemoteVerifier::with_patience(&bus, Service::Cluster, &without_fallback(), PATIENT)?;
    until_it_remembers(&verifier, &user_auth).await?;
    let key = user_auth.key();
    for _ in 0..2 {
        assert!(verifier.verify(key.clone()).await.valid);
    }
    assert_eq!(user_auth.asked_over_bus(&key), 1);

    user_auth.says(&key, Answer::Unknown);
    proxy.reset();
    let answer = eventually("the key to be asked about again", async || {
        let answer = verifier.verify(key.clone()).await;
        (answer.code == Some(ErrorCode::Unauthenticated)).then_some(answer)
    })
    .await?;
    assert!(!answer.valid);
    Ok(())
}
