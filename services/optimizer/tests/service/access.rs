//! Who may do what, and who may see what.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{ACCOUNTS, INSTANCES, OPERATIONS, User, World};

/// Every endpoint that names something of a user's, what is sent there, and whether a key must be allowed to operate for it.
fn endpoints(account: &str, instance: &str, operation: &str) -> Vec<(Method, String, Value, bool)> {
    vec![
        (Method::GET, account.to_owned(), Value::Null, false),
        (Method::DELETE, account.to_owned(), Value::Null, true),
        (Method::GET, instance.to_owned(), Value::Null, false),
        (Method::PATCH, instance.to_owned(), json!({}), true),
        (Method::DELETE, instance.to_owned(), Value::Null, true),
        (Method::POST, format!("{instance}/evaluate"), Value::Null, true),
        (Method::GET, operation.to_owned(), Value::Null, false),
        (Method::POST, format!("{operation}/cancel"), Value::Null, true),
    ]
}

store::test_on_both! {
    async fn only_its_user_sees_what_there_is_and_a_reading_key_changes_nothing(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let id = world.account(User::Ada).await?;
        let (account, old) = (format!("{ACCOUNTS}/{id}"), world.old().await?);
        let instance = world.instance(&id, &old, true).await?;
        let operation = world.evaluate(&instance).await?;
        world.events(&operation, None).await?;
        for (method, path, body, operates) in endpoints(&account, &instance, &operation) {
            let what = format!("{method} {path}");
            let answer = world.call(User::Bob, method.clone(), &path, body.clone()).await?;
            answer.problem(404, "not_found").context(what.clone())?;
            let answer = world.call(User::AdaReading, method, &path, body).await?;
            let checked = if operates { answer.problem(403, "forbidden").map(drop) } else { answer.json(200).map(drop) };
            checked.context(what)?;
        }
        let events = format!("{operation}/events");
        world.get(User::Bob, &events).await?.problem(404, "not_found")?;
        for (path, body) in [
            (ACCOUNTS, world.new_account("other")),
            (INSTANCES, World::new_instance(&id, &old)),
        ] {
            world.post(User::AdaReading, path, body).await?.problem(403, "forbidden")?;
        }
        for (path, list) in [(ACCOUNTS, "accounts"), (INSTANCES, "instances"), (OPERATIONS, "operations")] {
            assert_eq!(world.get(User::Bob, path).await?.json(200)?[list], json!([]));
            let seen = world.get(User::AdaReading, path).await?;
            assert_eq!(seen.json(200)?[list].as_array().map(Vec::len), Some(1), "{path}");
        }
        Ok(())
    }

    async fn what_cannot_be_an_id_is_not_found(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        for id in ["%00", "nothing", "5a3c4f0e-0000-4000-8000-000000000000", "%F0%9F%92%A5"] {
            let paths = [ACCOUNTS, INSTANCES, OPERATIONS].map(|path| format!("{path}/{id}"));
            let [account, instance, operation] = &paths;
            for (method, path, body, _) in endpoints(account, instance, operation) {
                let answer = world.call(User::Ada, method, &path, body).await?;
                answer.problem(404, "not_found").context(path)?;
            }
            world.get(User::Ada, &format!("{operation}/events")).await?.problem(404, "not_found")?;
        }
        Ok(())
    }
}
