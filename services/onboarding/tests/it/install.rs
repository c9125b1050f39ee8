//! Install scripts: what is asked and refused, and what they fetch. What they do in a cluster is tested where there is one,
//! with the whole of Kubesage.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use crate::{
    agent::Agent,
    world::{Answer, CLUSTERS, GENERATE, Made, Setup, User, World, send, start},
};

store::test_on_both! {
    async fn what_is_not_acceptable_is_refused_by_its_name(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let valid = json!({"provider": "eks", "cluster_name": "a"});
        let long = "x".repeat(101);
        let changes: [(&str, &str, Value); 10] = [
            ("cluster_name", "cluster_name", json!("")),
            ("cluster_name", "cluster_name", json!("  \t")),
            ("cluster_name", "cluster_name", json!(long)),
            ("cluster_name", "cluster_name", json!("a\u{0}")),
            ("cluster_name", "cluster_name", json!("a'; rm -rf /")),
            ("cluster_name", "cluster_name", json!(7)),
            ("provider", "provider", json!("ibm")),
            ("features", "features[0]", json!(["secrets"])),
            ("features", "features", json!("logs")),
            ("unknown", "unknown", json!(true)),
        ];
        for (field, refused, value) in changes {
            let mut body = valid.clone();
            body[field] = value.clone();
            let answer = world.post(User::Ada, GENERATE, body).await?;
            answer.refuses_field(refused).with_context(|| format!("{field} = {value}"))?;
        }
        world.post(User::Ada, GENERATE, json!({"provider": "eks"})).await?.refuses_field("cluster_name")?;
        world.post(User::Ada, GENERATE, json!({"cluster_name": "a"})).await?.refuses_field("provider")?;
        Ok(())
    }

    async fn a_name_is_taken_once_by_each_user(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        world.cluster(User::Ada, "shop/eu-1: ä").await?;
        let again = json!({"provider": "gke", "cluster_name": " shop/eu-1: ä "});
        world.post(User::Ada, GENERATE, again.clone()).await?.problem(409, "conflict")?;
        world.post(User::Bob, GENERATE, again).await?.text(200, "/script")?;
        Ok(())
    }

    async fn a_token_gives_the_key_once_and_then_the_rest(database: TestDatabase) -> Result<()> {
        let mut setup = Setup::on(&database);
        setup.agents.public_url = Some("https://kubesage.example.com/base/".parse()?);
        setup.agents.agent_image = "registry.example.com/agent:7".to_owned();
        let world = setup.start().await?;
        let made = world.post(User::Ada, GENERATE, json!({"provider": "eks", "cluster_name": "a"})).await?;
        let (cluster_id, agent_id) = (made.text(200, "/cluster_id")?, made.text(200, "/agent_id")?);
        let token = token_of(&made)?;
        // Two at once: one of them is given the key.
        let (one, other) = tokio::join!(fetch(&world, &agent_id, &token), fetch(&world, &agent_id, &token));
        let (first, second) = (one?, other?);
        let (with, without) = if first.contains("kind: Secret") { (first, second) } else { (second, first) };
        assert!(with.contains("kind: Secret") && !without.contains("kind: Secret"), "{with}\n{without}");
        for held in [&cluster_id, &agent_id, "https://kubesage.example.com/base", "registry.example.com/agent:7"] {
            assert!(with.contains(held) && without.contains(held), "{held} in {with}");
        }
        let key = with.lines().find_map(|line| line.trim().strip_prefix("api-key: ")).context(with.clone())?;
        let cluster = Made { cluster_id, agent_id, key: key.trim_matches('"').to_owned() };
        Agent::open(&world, &cluster).await?;
        // The rest is the same, so that nothing is restarted.
        let documents = |text: &str| text.split("---\n").filter(|part| !part.contains("kind: Secret")).count();
        assert_eq!(documents(&with), documents(&without));
        Ok(())
    }

    async fn a_token_is_good_for_its_agent_until_a_newer_one_or_the_clusters_end(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let made = world.post(User::Ada, GENERATE, json!({"provider": "eks", "cluster_name": "a"})).await?;
        let (cluster_id, agent_id) = (made.text(200, "/cluster_id")?, made.text(200, "/agent_id")?);
        let other = world.cluster(User::Bob, "b").await?;
        let token = token_of(&made)?;
        let refused = async |agent_id: &str, token: &str, says: &str| -> Result<()> {
            let detail = get_manifest(&world, agent_id, token).await?.problem(401, "unauthenticated")?;
            ensure!(detail.contains(says), "{detail}");
            Ok(())
        };
        refused(&other.agent_id, &token, "not good for this agent").await?;
        refused("nobody\u{0}", &token, "not good for this agent").await?;
        refused(&agent_id, "ki_wrong", "a key of this kind").await?;

        let renew = format!("{CLUSTERS}/{cluster_id}/install-script");
        world.post(User::Bob, &renew, Value::Null).await?.problem(404, "not_found")?;
        let renewed = token_of(&world.post(User::Ada, &renew, Value::Null).await?)?;
        refused(&agent_id, &token, "replaced by a newer one").await?;
        assert!(fetch(&world, &agent_id, &renewed).await?.contains("kind: Secret"));

        // Two keys are the most.
        let keys = format!("{CLUSTERS}/{cluster_id}/agent-keys");
        world.post(User::Ada, &keys, Value::Null).await?.text(201, "/key")?;
        let third = token_of(&world.post(User::Ada, &renew, Value::Null).await?)?;
        get_manifest(&world, &agent_id, &third).await?.problem(409, "conflict")?;
        // That has not spent it; and one that was used before is still good for the rest.
        assert!(!fetch(&world, &agent_id, &renewed).await?.contains("kind: Secret"));
        let list = world.get(User::Ada, &keys).await?;
        let key_id = list.text(200, "/agent_keys/0/id")?;
        world.delete(User::Ada, &format!("{keys}/{key_id}")).await?.json(204)?;
        assert!(fetch(&world, &agent_id, &third).await?.contains("kind: Secret"));

        world.delete(User::Ada, &format!("{CLUSTERS}/{cluster_id}")).await?.json(204)?;
        refused(&agent_id, &renewed, "its cluster was deleted").await
    }
}

fn token_of(made: &Answer) -> Result<String> {
    let script = made.text(200, "/script")?;
    let token = script.lines().find_map(|line| line.strip_prefix("TOKEN="));
    Ok(token.context(script.clone())?.to_owned())
}

async fn get_manifest(world: &World, agent_id: &str, token: &str) -> Result<Answer> {
    let agent_id: String = byte_serialize(agent_id.as_bytes()).collect();
    send(world.request(Method::GET, &format!("/api/v1/install/{agent_id}/manifest.yaml?token={token}"))).await
}

async fn fetch(world: &World, agent_id: &str, token: &str) -> Result<String> {
    let request =
        world.request(Method::GET, &format!("/api/v1/install/{agent_id}/manifest.yaml?token={token}"));
    let response = request.send().await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    ensure!(response.headers()["cache-control"] == "no-store");
    Ok(response.text().await?)
}
