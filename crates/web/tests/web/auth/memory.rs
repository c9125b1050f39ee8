//! What a verifier remembers, and for how long.

use anyhow::Result;
use contracts::{ErrorCode, Timestamp, auth::Scope, queues::Service};
use futures_util::future::join_all;
use testkit::{TestBus, eventually, on_both_brokers};
use tokio_util::sync::CancellationToken;
use web::{
    auth::{RemoteVerifier, Verifier},
    config::AuthArgs,
};

use super::user_auth::{Answer, PATIENT, UserAuth, connect, new_key, user, verifier, without_fallback};

on_both_brokers!(
    a_valid_key_is_asked_about_once,
    many_requests_with_one_key_ask_once,
    the_one_who_asks_may_go_away,
    a_refused_key_is_not_remembered,
    what_could_not_be_found_out_is_not_remembered,
    a_remembered_key_ends_when_it_expires,
    remembering_can_be_switched_off,
);

async fn a_valid_key_is_asked_about_once(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    user_auth.serve(&connect(&test).await?);
    let verifier = verifier(&bus, &user_auth).await?;
    let (ann, bob) = (user_auth.key(), new_key());
    user_auth.says(&bob, Answer::Valid(user("bob", &[Scope::Operate]), None));
    for _ in 0..3 {
        for (key, name) in [(&ann, "ann"), (&bob, "bob")] {
            let answer = verifier.verify(key.clone()).await;
            assert!(answer.valid, "{answer:?}");
            assert_eq!(answer.user_data.map(|user| user.username).as_deref(), Some(name));
            assert_eq!(answer.key_id, Some(format!("key of {name}")));
        }
    }
    assert_eq!((user_auth.asked_over_bus(&ann), user_auth.asked_over_bus(&bob)), (1, 1));
    Ok(())
}

async fn many_requests_with_one_key_ask_once(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    user_auth.serve(&connect(&test).await?);
    let verifier = verifier(&bus, &user_auth).await?;
    let (key, refused) = (user_auth.key(), new_key());
    let answers = join_all((0..100).map(|_| verifier.verify(key.clone()))).await;
    assert!(answers.iter().all(|answer| answer.valid));
    assert_eq!(user_auth.asked_over_bus(&key), 1);
    let answers = join_all((0..100).map(|_| verifier.verify(refused.clone()))).await;
    assert!(answers.iter().all(|answer| answer.code == Some(ErrorCode::Unauthenticated)));
    assert_eq!(user_auth.asked_over_bus(&refused), 1);
    Ok(())
}

/// Whoever waits for the answer to another's question asks for itself when the other's client goes away.
async fn the_one_who_asks_may_go_away(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    user_auth.serve(&connect(&test).await?);
    let verifier = verifier(&bus, &user_auth).await?;
    let (key, never) = (new_key(), CancellationToken::new());
    user_auth.says(&key, Answer::Held(user("ann", &[]), never));
    let ask = || {
        let (verifier, key) = (verifier.clone(), key.clone());
        tokio::spawn(async move { verifier.verify(key).await })
    };
    let first = ask();
    eventually("the first question", async || (user_auth.asked_over_bus(&key) == 1).then_some(())).await?;
    let second = ask();
    user_auth.says(&key, Answer::Valid(user("ann", &[]), None));
    first.abort();
    assert!(second.await?.valid);
    Ok(())
}

async fn a_refused_key_is_not_remembered(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    user_auth.serve(&connect(&test).await?);
    let verifier = verifier(&bus, &user_auth).await?;
    let key = new_key();
    for asked in 1..=2 {
        let answer = verifier.verify(key.clone()).await;
        assert_eq!((answer.valid, answer.code), (false, Some(ErrorCode::Unauthenticated)));
        assert_eq!(answer.error.as_deref(), Some("not known"));
        assert_eq!(user_auth.asked_over_bus(&key), asked);
    }
    user_auth.says(&key, Answer::Valid(user("ann", &[]), None));
    assert!(verifier.verify(key).await.valid, "a key that was just made is valid at once");
    Ok(())
}

async fn what_could_not_be_found_out_is_not_remembered(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    user_auth.serve(&connect(&test).await?);
    let verifier = verifier(&bus, &user_auth).await?;
    let key = new_key();
    user_auth.says(&key, Answer::Unanswered(ErrorCode::Unavailable));
    let answer = verifier.verify(key.clone()).await;
    assert_eq!((answer.valid, answer.code), (false, Some(ErrorCode::Unavailable)));
    user_auth.says(&key, Answer::Valid(user("ann", &[]), None));
    assert!(verifier.verify(key).await.valid);
    Ok(())
}

async fn a_remembered_key_ends_when_it_expires(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    user_auth.serve(&connect(&test).await?);
    let verifier = verifier(&bus, &user_auth).await?;
    let key = new_key();
    let soon = Timestamp::from_millis(Timestamp::now().as_millis() + 500);
    user_auth.says(&key, Answer::Valid(user("ann", &[]), soon));
    let ended = eventually("the key to expire", async || {
        let now = Timestamp::now();
        let answer = verifier.verify(key.clone()).await;
        if answer.valid {
            // What is left is counted in whole milliseconds, and so may be one too long.
            assert!(Some(now) <= soon, "accepted at {now:?} and expired at {soon:?}");
        }
        (!answer.valid).then_some(answer)
    })
    .await?;
    assert_eq!(ended.code, Some(ErrorCode::Unauthenticated));
    assert_eq!(ended.error.as_deref(), Some("this key has expired"));
    assert_eq!(user_auth.asked_over_bus(&key), 1, "it was remembered all the time");
    Ok(())
}

async fn remembering_can_be_switched_off(test: TestBus) -> Result<()> {
    let (bus, user_auth) = (connect(&test).await?, UserAuth::default());
    user_auth.serve(&connect(&test).await?);
    // This one remembers, so that user-auth is there and events are heard by now.
    verifier(&bus, &user_auth).await?;
    let args = AuthArgs { auth_cache_seconds: 0, ..without_fallback() };
    let forgetful = RemoteVerifier::with_patience(&bus, Service::Cluster, &args, PATIENT)?;
    let key = user_auth.key();
    for asked in 1..=3 {
        assert!(forgetful.verify(key.clone()).await.valid);
        assert_eq!(user_auth.asked_over_bus(&key), asked);
    }
    Ok(())
}
