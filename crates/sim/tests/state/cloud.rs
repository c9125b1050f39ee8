//! The account beside the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cloud::{CloudChanges as _, InstanceId, InstanceState, Launch, Lifecycle};
use serde_json::{Value, json};
use sim::cloud::{FaultKind, HookResult, LifecycleHook, Operation, Pool, Transition};
use sim::{Account, CloudOptions, Delays, Options};
use simulated_cloud::{Settings, Simulated};
use tempfile::TempDir;
use testkit::{Cluster, eventually_within};

use crate::common::{PATIENCE, after_kill, kept, killed_now, sim, stay_away};

const SLOW: Duration = Duration::from_hours(1);

fn options(cloud: CloudOptions) -> Options {
    Options { delays: Delays::none(), cloud, ..Options::default() }
}

fn account(cluster: &Cluster) -> &Account {
    sim(cluster).account().expect("there is an account")
}

fn client(cluster: &Cluster) -> Result<Simulated> {
    Ok(Simulated::new(Settings {
        url: sim(cluster).url(),
        ca_pem: sim(cluster).ca_pem(),
        role_arn: account(cluster).role_arn().to_owned(),
        external_id: account(cluster).external_id().to_owned(),
        timeout: None,
    })?)
}

fn launch(token: &str) -> Result<Launch> {
    Ok(Launch {
        token: token.parse()?,
        group: "eks-core".parse()?,
        instance_type: "m6i.xlarge".parse()?,
        zone: "us-east-1a".parse()?,
        lifecycle: Lifecycle::OnDemand,
        tags: BTreeMap::new(),
    })
}

async fn until_state(cluster: &Cluster, id: &InstanceId, state: InstanceState) -> Result<()> {
    let is = async || {
        let state_of = |world: &mut sim::cloud::World, now| {
            world.advance(now);
            world.instances().find(|instance| instance.id == *id).map(|instance| instance.state)
        };
        (account(cluster).with(state_of) == Some(state)).then_some(())
    };
    eventually_within(PATIENCE, "the instance", is).await
}

/// The nodes that are an instance.
async fn nodes(cluster: &Cluster, id: &InstanceId) -> Option<Vec<Value>> {
    let (_, nodes) = cluster.get("/api/v1/nodes").await.ok()?;
    let is_its = |node: &Value| {
        node["spec"]["providerID"].as_str().is_some_and(|provider| provider.ends_with(id.as_str()))
    };
    Some(nodes["items"].as_array()?.iter().filter(|node| is_its(node)).cloned().collect())
}

/// The only node that is an instance, when its condition `Ready` is this.
async fn node(cluster: &Cluster, id: &InstanceId, ready: &str) -> Result<Value> {
    let is = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|is| is["type"] == "Ready" && is["status"] == ready))
    };
    let ask = async || match nodes(cluster, id).await?.as_slice() {
        [node] if is(node) => Some(node.clone()),
        _ => None,
    };
    eventually_within(PATIENCE, "the node", ask).await
}

async fn until_no_node(cluster: &Cluster, id: &InstanceId) -> Result<()> {
    let ask = async || nodes(cluster, id).await?.is_empty().then_some(());
    eventually_within(PATIENCE, "no node", ask).await
}

#[tokio::test]
async fn the_world_is_the_same() -> Result<()> {
    let directory = TempDir::new()?;
    let first = kept(directory.path(), options(CloudOptions::default())).await?;
    let (account_of_first, cloud) = (account(&first), client(&first)?);
    let core = "eks-core".parse()?;
    let id = cloud.launch(&launch("one")?).await?;
    until_state(&first, &id, InstanceState::Running).await?;
    cloud.attach(&core, &id).await?;
    let pool =
        Pool { instance_type: "m5.large".parse()?, zone: "us-east-1b".parse()?, lifecycle: Lifecycle::Spot };
    let hook = LifecycleHook {
        name: "drain".to_owned(),
        transition: Transition::Terminating,
        heartbeat_timeout_seconds: 3600,
        default_result: HookResult::Continue,
    };
    let spot = account_of_first.with(|world, now| {
        world.begin_shortage(pool);
        world.set_hooks(now, &core, vec![hook])?;
        world.protect(now, &core, &id, true)?;
        world.add_fault(sim::cloud::Fault {
            operation: Some(Operation::Detach),
            times: 2,
            kind: FaultKind::DoneLate { millis: 3_600_000 },
        });
        let spot = world.instances().find(|instance| instance.lifecycle == Lifecycle::Spot);
        let spot = spot.map(|instance| instance.id.clone()).context("no spot instance")?;
        world.interrupt(now, &spot)?;
        anyhow::Ok(spot)
    })?;
    cloud.terminate_in_group(&id).await?;
    cloud.detach(&core, &id).await.expect_err("its answer is lost");
    account_of_first.accept_role("arn:aws:iam::000000000000:role/Other", "other");
    let session = cloud.credentials().await?;

    let (second, _image) = after_kill(directory.path(), options(CloudOptions::default())).await?;
    let (account_of_second, again) = (account(&second), client(&second)?);
    assert_eq!(account_of_second.external_id(), account_of_first.external_id());
    let told = |account: &Account| {
        account.with(|world, now| {
            world.advance(now);
            // But for where the API server is.
            let mut told = serde_json::to_value(&*world).unwrap_or_default();
            told["clusters"]["shop"]["endpoint"] = "".into();
            told
        })
    };
    assert_eq!(told(account_of_second), told(account_of_first));
    let taken = |account: &Account| account.with(|world, _| world.interruption(&spot));
    assert!(taken(account_of_second).is_some());
    assert_eq!(taken(account_of_second), taken(account_of_first));
    assert_eq!(again.launch(&launch("one")?).await?, id, "a token stands for its launch");
    let endpoint = account_of_second.with(|world, now| world.eks_cluster(now, "shop"))?;
    assert_eq!(endpoint.context("no cluster")?.endpoint, sim(&second).url());

    // Who was let in is known.
    let authority = reqwest::Certificate::from_pem(sim(&second).ca_pem().as_bytes())?;
    let http = reqwest::Client::builder().tls_certs_only([authority]).build()?;
    let call = http.post(format!("{}/simulator/v1/cloud/group", sim(&second).url()));
    let call = call
        .bearer_auth(session.session_token().context("no token")?)
        .body(json!({ "name": core }).to_string());
    assert_eq!(call.send().await?.status(), 200);
    let role = json!({ "role_arn": "arn:aws:iam::000000000000:role/Other", "external_id": "other" });
    let assumed =
        http.post(format!("{}/simulator/v1/cloud/assume-role", sim(&second).url())).body(role.to_string());
    assert_eq!(assumed.send().await?.status(), 200);
    Ok(())
}

/// Killed at each step of its way.
#[tokio::test]
async fn a_launch_in_flight_becomes_a_node() -> Result<()> {
    let mut slow = CloudOptions { join: SLOW, ready: SLOW, ..CloudOptions::default() };
    (slow.timing.boot, slow.timing.shutdown) = (SLOW, SLOW);
    let options = || options(slow.clone());
    let directory = TempDir::new()?;
    let first = kept(directory.path(), options()).await?;
    let id = client(&first)?.launch(&launch("one")?).await?;
    let later = SLOW + Duration::from_secs(1);

    let (second, directory) = after_kill(directory.path(), options()).await?;
    until_state(&second, &id, InstanceState::Pending).await?;
    sim(&second).clock().advance(later);
    until_state(&second, &id, InstanceState::Running).await?;

    let (third, directory) = after_kill(directory.path(), options()).await?;
    sim(&third).clock().advance(later);
    let registered = node(&third, &id, "False").await?;

    let (fourth, directory) = after_kill(directory.path(), options()).await?;
    sim(&fourth).clock().advance(later);
    let ready = node(&fourth, &id, "True").await?;
    assert_eq!(ready["metadata"]["uid"], registered["metadata"]["uid"]);

    client(&fourth)?.terminate(&id).await?;
    let (fifth, directory) = after_kill(directory.path(), options()).await?;
    until_state(&fifth, &id, InstanceState::ShuttingDown).await?;
    // So long that nobody is told of the instance's end any more: its node goes all the same.
    let image = killed_now(directory.path())?;
    stay_away(image.path(), SLOW * 10)?;
    let sixth = kept(image.path(), options()).await?;
    until_no_node(&sixth, &id).await
}
