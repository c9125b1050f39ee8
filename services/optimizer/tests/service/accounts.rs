//! Accounts: what is accepted, and whose they are.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::world::{ACCOUNTS, User, World};

store::test_on_both! {
    async fn an_account_is_added_shown_and_forgotten(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let added = world.post(User::Ada, ACCOUNTS, world.new_account("shop")).await?;
        let id = added.text(201, "/id")?;
        let account = added.json(201)?;
        assert_eq!((&account["simulated"], &account["name"]), (&json!(true), &json!("shop")));
        assert_eq!(account["aws_account"], "000000000000");
        assert_eq!(account["region"], world.simulated().region());
        ensure!(!account.to_string().contains(world.simulated().external_id()), "it is a secret: {account}");
        let path = format!("{ACCOUNTS}/{id}");
        assert_eq!(world.get(User::Ada, &path).await?.json(200)?, account);
        assert_eq!(world.get(User::Ada, ACCOUNTS).await?.json(200)?["accounts"], json!([account]));

        let old = world.old().await?;
        let instance = world.instance(&id, &old, true).await?;
        world.delete(User::Ada, &path).await?.json(204)?;
        world.get(User::Ada, &path).await?.problem(404, "not_found")?;
        world.delete(User::Ada, &path).await?.problem(404, "not_found")?;
        world.get(User::Ada, &instance).await?.problem(404, "not_found")?;
        // Who comes then can have it.
        world.account(User::Bob).await?;
        Ok(())
    }

    async fn an_account_that_cannot_be_entered_is_refused(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let refused = [
            ("external_id", json!("somebody-elses"), "role_arn"),
            // No process of a test reaches AWS.
            ("role_arn", json!("arn:aws:iam::123456789012:role/Other"), "role_arn"),
            ("role_arn", json!("arn:aws:iam::1234:role/Other"), "role_arn"),
            ("role_arn", json!("arn:aws:iam::123456789012:user/ada"), "role_arn"),
            ("external_id", json!("a"), "external_id"),
            ("external_id", json!("a b"), "external_id"),
            ("region", json!("us-east-1a"), "region"),
            ("region", json!("nowhere"), "region"),
            // The simulated account is in one region.
            ("region", json!("eu-west-1"), "role_arn"),
            ("region", json!(""), "region"),
            ("name", json!(" "), "name"),
            ("name", json!("a\nb"), "name"),
            ("name", json!("a\u{0}b"), "name"),
            ("name", json!("a".repeat(101)), "name"),
            ("name", json!(7), "name"),
        ];
        for (field, value, at) in refused {
            let mut account = world.new_account("shop");
            account[field] = value;
            let answer = world.post(User::Ada, ACCOUNTS, account.clone()).await?;
            anyhow::Context::with_context(answer.refuses_field(at), || account.to_string())?;
        }
        let mut surprising = world.new_account("shop");
        surprising["surprise"] = 1.into();
        world.post(User::Ada, ACCOUNTS, surprising).await?.problem(422, "invalid")?;
        assert_eq!(world.get(User::Ada, ACCOUNTS).await?.json(200)?["accounts"], json!([]));
        Ok(())
    }

    async fn an_account_belongs_to_one_user_by_one_name(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        world.account(User::Ada).await?;
        for (user, name) in [(User::Bob, "shop"), (User::Bob, "other"), (User::Ada, "other")] {
            let answer = world.post(user, ACCOUNTS, world.new_account(name)).await?;
            answer.problem(409, "conflict")?;
        }
        Ok(())
    }
}
