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

#[cfg(feature = "aws")]
mod aws {
    use std::num::NonZeroU32;

    use anyhow::{Context, Result, ensure};
    use aws_access::{Sessions, Sts, StsOptions};
    use bus::{Bus, BusOptions};
    use contracts::auth::{Scope, UserData};
    use optimizer::{Aws, Clouds, NAME, NewAccount, OperationArgs, Optimizer, Parts, start};
    use store::testing::TestDatabase;
    use testkit::{Keys, ReplayedSts, TestBus, User};
    use web::{Problem, RateLimit, Shutdown, config::RateLimitArgs};

    store::test_on_both! {
        /// Nothing is wrong with the account where Kubesage's own credentials do not serve: its operator renews them, and it is tried again.
        async fn who_has_no_credentials_of_its_own_blames_nobody_else(database: TestDatabase) -> Result<()> {
            let sts = ReplayedSts::start().await?;
            let shutdown = Shutdown::new();
            let service = with_aws(&sts, &database, &shutdown).await?;
            for (role, status, why) in [
                ("Expired", 503, "Kubesage's own AWS credentials have expired"),
                ("Throttled", 503, "AWS asks us to call less often"),
                ("Denied", 422, "the role's trust policy does not allow it"),
            ] {
                let account = NewAccount {
                    name: "prod".to_owned(),
                    role_arn: format!("arn:aws:iam::123456789012:role/{role}"),
                    external_id: "kubesage-1".to_owned(),
                    region: "eu-central-1".to_owned(),
                };
                let refused = service.ensure_account(&ada(), account).await.err().context(role)?;
                ensure!(refused.to_string().contains(why), "{role}: {refused}");
                ensure!(!refused.to_string().contains("kubesage-1"), "{role}: {refused}");
                ensure!(Problem::from(refused).status() == status, "{role}");
            }
            shutdown.token().cancel();
            Ok(())
        }
    }

    /// A service that reaches AWS, of which there is no more than who gives sessions.
    async fn with_aws(sts: &ReplayedSts, database: &TestDatabase, shutdown: &Shutdown) -> Result<Optimizer> {
        let credentials = Some(("AKIAEXAMPLE".to_owned(), "planted".to_owned().into()));
        let options = StsOptions { endpoint_url: Some(sts.url().parse()?), credentials };
        let sessions = Sessions::new(Sts::new(&options).await);
        let bus = TestBus::memory();
        let parts = Parts {
            store: database.open(NAME, store::Options::default()).await?,
            bus: Bus::connect(&bus.url, BusOptions { prefix: bus.prefix.clone(), ..BusOptions::default() })?,
            verifier: Keys::generate().verifier(),
            rate_limit: RateLimit::new(&RateLimitArgs {
                rate_limit_enabled: false,
                rate_limit_requests_per_minute: NonZeroU32::MIN,
            }),
            clouds: Clouds::default().and_aws(Aws { sessions, endpoint_url: None, advisor: None }),
            operations: OperationArgs::default(),
        };
        Ok(start(parts, shutdown).await?)
    }

    fn ada() -> UserData {
        UserData {
            id: User::Ada.id().to_owned(),
            username: User::Ada.name().to_owned(),
            email: "ada@example.com".to_owned(),
            roles: Vec::new(),
            is_active: true,
            scopes: vec![Scope::Operate],
        }
    }
}
