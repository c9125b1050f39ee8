//! The read-only role of a cluster's AWS account, against replayed answers of AWS: moto models no trust policies, and is asked
//! where the whole of Kubesage is.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::ReplayedSts;

use crate::world::{Made, Setup, User, World, start};

fn role(name: &str) -> Value {
    json!({"role_arn": format!("arn:aws:iam::123456789012:role/{name}")})
}

async fn connect(world: &World, cluster: &Made, request: Value) -> Result<crate::world::Answer> {
    world.post(User::Ada, &cluster.path("/aws-role"), request).await
}

store::test_on_both! {
    async fn a_role_is_connected_once_it_is_proven(database: TestDatabase) -> Result<()> {
        let aws = ReplayedSts::start().await?;
        let world = Setup { aws_url: aws.url(), ..Setup::on(&database) }.start().await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let path = cluster.path("/aws-role");
        world.get(User::Bob, &path).await?.problem(404, "not_found")?;
        let told = world.get(User::Ada, &path).await?;
        let external_id = told.text(200, "/external_id")?;
        ensure!(external_id.len() > 32 && told.body["role_arn"].is_null(), "{}", told.body);
        assert_eq!(told.body["principal"], "arn:aws:iam::999999999999:user/kubesage");
        let statement = &told.body["trust_policy"]["Statement"][0];
        assert_eq!(statement["Principal"]["AWS"], told.body["principal"]);
        assert_eq!(statement["Condition"]["StringEquals"]["sts:ExternalId"], external_id.as_str());
        let actions = told.body["permissions_policy"]["Statement"][0]["Action"].to_string();
        ensure!(actions.contains("ec2:Describe*") && actions.contains("pricing:GetProducts"), "{actions}");
        let template = told.text(200, "/cloudformation_template")?;
        ensure!(template.contains("AWS::IAM::Role") && template.contains(&external_id), "{template}");
        // It stays the same, and each cluster has its own.
        assert_eq!(world.get(User::Ada, &path).await?.text(200, "/external_id")?, external_id);
        let other = world.cluster(User::Bob, "b").await?;
        let others = world.get(User::Bob, &other.path("/aws-role")).await?.text(200, "/external_id")?;
        assert_ne!(others, external_id);

        for (request, field, says) in [
            (json!({"role_arn": "Reader"}), "role_arn", "must be the ARN of a role"),
            (json!({"role_arn": role("Guarded")["role_arn"], "external_id": others}), "external_id", "is not the one"),
            (role("Careless"), "role_arn", "can be assumed without this external id"),
            (role("Unguarded"), "role_arn", "can be assumed without this external id"),
            (role("Denied"), "role_arn", "trust policy does not allow it"),
            (role("Unknown"), "role_arn", "there is no such role"),
        ] {
            let answer = connect(&world, &cluster, request).await?;
            answer.refuses_field(field)?;
            let message = answer.text(422, "/errors/0/message")?;
            ensure!(message.contains(says), "{message}");
        }
        for (name, says) in [("Throttled", "call less often"), ("Expired", "have expired")] {
            let detail = connect(&world, &cluster, role(name)).await?.problem(503, "unavailable")?;
            ensure!(detail.contains(says), "{detail}");
        }
        ensure!(world.get(User::Ada, &path).await?.body["role_arn"].is_null());
        world.post(User::Bob, &path, role("Guarded")).await?.problem(404, "not_found")?;

        let mut request = role("Guarded");
        request["external_id"] = external_id.into();
        let connected = connect(&world, &cluster, request).await?;
        assert_eq!(connected.text(200, "/account_id")?, "123456789012");
        ensure!(connected.text(200, "/assumed_role_arn")?.ends_with("/SpotOptimizerMonitoring"));
        let seen = world.get(User::Ada, &cluster.path("")).await?;
        assert_eq!(seen.body["next_steps"][2], json!({"step": "connect_aws_role", "done": true,
            "detail": "arn:aws:iam::123456789012:role/Guarded"}));
        world.delete(User::Bob, &path).await?.problem(404, "not_found")?;
        world.delete(User::Ada, &path).await?.json(204)?;
        ensure!(world.get(User::Ada, &path).await?.body["role_arn"].is_null());
        Ok(())
    }

    async fn without_aws_it_is_said(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        world.get(User::Ada, &cluster.path("/aws-role")).await?.problem(503, "unavailable")?;
        connect(&world, &cluster, role("Guarded")).await?.problem(503, "unavailable")?;
        Ok(())
    }
}
