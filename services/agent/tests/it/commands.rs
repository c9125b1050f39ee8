//! Each command, with the rights that the install script gives and no more.

use anyhow::Result;
use contracts::{
    ErrorCode,
    query::{Command, Params},
};
use serde_json::{Value, json};
use sim::{ListQuery, Seed, kinds};

use crate::{
    relay::Connection,
    world::{World, names, namespace, set_rules, until},
};

/// What the cluster holds.
fn held(world: &World, plural: &str, namespace: Option<&str>) -> Vec<String> {
    let kind = kinds::by_plural(plural).expect("a kind that is served");
    let query = ListQuery { namespace: namespace.map(str::to_owned), ..ListQuery::default() };
    let page = world.sim.api().list(kind, &query).expect("a list without token cannot fail");
    let name = |item: &Value| item["metadata"]["name"].as_str().expect("objects have names").to_owned();
    page.items.iter().map(|item| name(item)).collect()
}

fn page(limit: u32, continue_token: Option<String>) -> Params {
    Params { limit: Some(limit), continue_token, ..Params::default() }
}

fn in_namespace(name: &str) -> Params {
    Params { namespace: Some(name.to_owned()), ..Params::default() }
}

async fn all_pages(agent: &mut Connection, command: &Command, field: &str, limit: u32) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut token = None;
    loop {
        let answer = agent.get(command.clone(), page(limit, token)).await?;
        items.extend(answer[field].as_array().cloned().unwrap_or_default());
        token = answer["continue"].as_str().map(str::to_owned);
        if token.is_none() {
            return Ok(items);
        }
        anyhow::ensure!(answer["total_count"] == limit, "not a full page");
    }
}

#[tokio::test]
async fn lists_tell_what_the_cluster_holds_and_that_it_is_simulated() -> Result<()> {
    let mut world = World::new(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    for (command, plural) in [
        (Command::GetNamespaces, "namespaces"),
        (Command::GetNodes, "nodes"),
        (Command::GetPods, "pods"),
        (Command::GetDeployments, "deployments"),
        (Command::GetServices, "services"),
    ] {
        let answer = agent.get(command, Params::default()).await?;
        let held = held(&world, plural, None);
        assert!(!held.is_empty());
        assert_eq!(names(&answer, plural), held);
        assert_eq!(answer["total_count"], held.len());
        assert_eq!(answer["simulated"], true);
    }
    let answer = agent.get(Command::GetPods, in_namespace("cart")).await?;
    assert_eq!(names(&answer, "pods"), held(&world, "pods", Some("cart")));
    assert_eq!((&answer["source"], &answer["age_ms"]), (&json!("api"), &json!(0)));
    Ok(())
}

#[tokio::test]
async fn resources_are_counted_by_kind() -> Result<()> {
    let mut world = World::new(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    let answer = agent.get(Command::GetClusterResources, Params::default()).await?;
    let kinds = [
        "namespaces",
        "nodes",
        "pods",
        "services",
        "deployments",
        "daemonsets",
        "statefulsets",
        "jobs",
        "cronjobs",
    ];
    assert_eq!(answer["total_count"], kinds.len());
    for kind in kinds {
        assert_eq!(answer["resources"][kind], held(&world, kind, None).len(), "{kind}");
    }

    let only_nodes = json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]);
    set_rules(&world.sim, &only_nodes)?;
    let answer = agent.get(Command::GetClusterResources, Params::default()).await?;
    assert_eq!(answer["resources"], json!({"nodes": held(&world, "nodes", None).len()}));
    Ok(())
}

#[tokio::test]
async fn resources_are_counted_in_a_namespace_and_by_labels() -> Result<()> {
    let mut world = World::new(Seed::Sized { nodes: 3, pods: 1200 }).await?;
    let labelled = |api: &str, kind: &str, namespace: &str| {
        let metadata = json!({"name": "labelled", "namespace": namespace, "labels": {"team": "blue"}});
        json!({"apiVersion": api, "kind": kind, "metadata": metadata})
    };
    for namespace in ["team-000", "team-001"] {
        let mut service = labelled("v1", "Service", namespace);
        service["spec"] = json!({"ports": [{"port": 80}]});
        world.sim.api().create(service)?;
    }
    let (_running, mut agent) = world.open().await?;
    agent.heartbeat(|beat| beat.pods.is_some()).await?;

    let answer = agent.get(Command::GetClusterResources, in_namespace("team-000")).await?;
    let kinds = ["pods", "services", "deployments", "daemonsets", "statefulsets", "jobs", "cronjobs"];
    assert_eq!(answer["total_count"], kinds.len());
    for kind in kinds {
        assert_eq!(answer["resources"][kind], held(&world, kind, Some("team-000")).len(), "{kind}");
    }
    assert!(answer["resources"]["pods"].as_u64() < Some(1200), "{answer}");

    let blue = Params { label_selector: Some("team=blue".to_owned()), ..Params::default() };
    let answer = agent.get(Command::GetClusterResources, blue.clone()).await?;
    assert_eq!((&answer["resources"]["services"], &answer["resources"]["pods"]), (&json!(2), &json!(0)));
    assert_eq!(answer["resources"]["nodes"], 0);
    let both = Params { namespace: Some("team-001".to_owned()), ..blue };
    let answer = agent.get(Command::GetClusterResources, both).await?;
    assert_eq!((&answer["resources"]["services"], &answer["resources"]["nodes"]), (&json!(1), &Value::Null));

    // More than a page of them, of which the API server does not say how many remain.
    let before = world.asked("list", "pods");
    let any = Params { label_selector: Some("pod-template-hash".to_owned()), ..Params::default() };
    let answer = agent.get(Command::GetClusterResources, any).await?;
    assert_eq!((&answer["resources"]["pods"], &answer["resources"]["nodes"]), (&json!(1200), &json!(0)));
    assert_eq!(world.asked("list", "pods"), before + 3, "not in pages of 500");
    Ok(())
}

#[tokio::test]
async fn what_does_not_apply_is_refused_and_not_ignored() -> Result<()> {
    let mut world = World::new(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    let next = Params { continue_token: Some("token".to_owned()), ..Params::default() };
    for (command, params, said) in [
        (Command::GetNamespaces, in_namespace("cart"), "namespace does not apply to get-namespaces"),
        (Command::GetNodes, in_namespace("cart"), "namespace does not apply to get-nodes"),
        (Command::GetClusterResources, page(5, None), "limit does not apply to get-cluster-resources"),
        (Command::GetClusterResources, next, "continue does not apply to get-cluster-resources"),
    ] {
        let error = agent.refusal(command, params).await?;
        assert_eq!((error.code, error.detail.as_str()), (ErrorCode::Invalid, said));
    }
    Ok(())
}

#[tokio::test]
async fn selectors_and_pages_are_the_api_servers() -> Result<()> {
    let mut world = World::new(Seed::Shop).await?;
    for (name, team) in [("t-1", "blue"), ("t-2", "red"), ("t-3", "blue")] {
        let mut object = namespace(name);
        object["metadata"]["labels"] = json!({"team": team});
        world.sim.api().create(object)?;
    }
    let (_running, mut agent) = world.open().await?;

    let blue = Params { label_selector: Some("team in (blue)".to_owned()), ..Params::default() };
    let answer = agent.get(Command::GetNamespaces, blue).await?;
    assert_eq!(names(&answer, "namespaces"), ["t-1", "t-3"]);
    assert_eq!(answer["source"], "api");

    let wrong = Params { label_selector: Some("team in (".to_owned()), ..Params::default() };
    assert_eq!(agent.refusal(Command::GetNamespaces, wrong).await?.code, ErrorCode::BadRequest);

    let total = held(&world, "pods", None).len();
    let answer = agent.get(Command::GetPods, page(7, None)).await?;
    assert_eq!((&answer["total_count"], &answer["remaining_count"]), (&json!(7), &json!(total - 7)));
    let whole = agent.get(Command::GetPods, Params::default()).await?;
    assert_eq!(json!(all_pages(&mut agent, &Command::GetPods, "pods", 7).await?), whole["pods"]);
    Ok(())
}

#[tokio::test]
async fn a_large_list_is_fetched_in_pages_and_sent_in_parts() -> Result<()> {
    let mut world = World::new(Seed::Sized { nodes: 3, pods: 1200 }).await?;
    let (_running, mut agent) = world.open().await?;
    let before = world.asked("list", "pods");
    let whole = agent.get(Command::GetPods, Params::default()).await?;
    assert!(world.asked("list", "pods") >= before + 3, "not in pages of 500");
    assert!(
        whole["pods"].to_string().len() > contracts::agent::INLINE_RESULT_BYTES,
        "too small to be sent in parts"
    );
    // Small pages come inside their response: what came in parts must be the same.
    assert_eq!(json!(all_pages(&mut agent, &Command::GetPods, "pods", 100).await?), whole["pods"]);

    // A limit above the size of a page is kept, too.
    let most = agent.get(Command::GetPods, page(700, None)).await?;
    assert_eq!((&most["total_count"], &most["remaining_count"]), (&json!(700), &json!(500)));
    Ok(())
}

#[tokio::test]
async fn an_old_page_is_expired_and_a_list_that_expires_half_way_begins_anew() -> Result<()> {
    let mut world = World::new(Seed::Sized { nodes: 1, pods: 900 }).await?;
    let (_running, mut agent) = world.open().await?;
    agent.heartbeat(|beat| beat.pods.is_some()).await?;
    let expire = |world: &World, name: &str| {
        world.sim.api().create(namespace(name)).unwrap();
        world.sim.compact();
    };

    let first = agent.get(Command::GetPods, page(5, None)).await?;
    expire(&world, "later-1");
    let token = first["continue"].as_str().map(str::to_owned);
    assert_eq!(agent.refusal(Command::GetPods, page(5, token)).await?.code, ErrorCode::Expired);

    let garbage = page(5, Some("garbage".to_owned()));
    assert_eq!(agent.refusal(Command::GetPods, garbage).await?.code, ErrorCode::BadRequest);

    // The second page is asked for and held back by the latency while what it continues expires. The count of pods
    // for a heartbeat is over by then.
    world.sim.set_latency(std::time::Duration::from_millis(300));
    let before = world.asked("list", "pods");
    agent.request(Command::GetPods, Params::default(), crate::relay::PATIENCE).await?;
    until("second page", async || Ok((world.asked("list", "pods") >= before + 2).then_some(()))).await?;
    expire(&world, "later-2");
    let (_, answer) = agent.answer().await?;
    let answer = answer.expect("a list of ours that expires is no error of the caller's");
    assert_eq!(names(&answer, "pods"), held(&world, "pods", None));
    assert!(world.asked("list", "pods") >= before + 4, "it did not begin anew");
    Ok(())
}

#[tokio::test]
async fn logs_need_a_right_of_their_own() -> Result<()> {
    let mut world = World::new(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    let pod = held(&world, "pods", Some("cart")).remove(0);
    let of_pod = |lines| Params { name: Some(pod.clone()), lines, ..in_namespace("cart") };

    let error = agent.refusal(Command::GetPodLogs, of_pod(None)).await?;
    assert_eq!(error.code, ErrorCode::Forbidden);
    assert!(error.detail.contains("pods/log"), "{}", error.detail);

    let rules = json!([{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}]);
    set_rules(&world.sim, &rules)?;
    let answer = agent.get(Command::GetPodLogs, of_pod(None)).await?;
    assert_eq!((&answer["pod"], &answer["total_count"]), (&json!(pod), &json!(100)));
    let three = agent.get(Command::GetPodLogs, of_pod(Some(3))).await?;
    let last = answer["lines"].as_array().map(|lines| lines[97..].to_vec());
    assert_eq!(three["lines"].as_array(), last.as_ref());
    assert_eq!((&three["truncated"], &three["simulated"]), (&json!(false), &json!(true)));

    assert_eq!(agent.refusal(Command::GetPodLogs, of_pod(Some(10_001))).await?.code, ErrorCode::Invalid);
    let gone = Params { name: Some("gone".to_owned()), ..in_namespace("cart") };
    assert_eq!(agent.refusal(Command::GetPodLogs, gone).await?.code, ErrorCode::NotFound);
    Ok(())
}

#[tokio::test]
async fn names_cannot_lead_to_other_paths() -> Result<()> {
    let mut world = World::new(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    for params in [in_namespace("x/../../secrets"), in_namespace("cart?watch=true"), in_namespace("")] {
        assert_eq!(agent.refusal(Command::GetPods, params).await?.code, ErrorCode::Invalid);
    }
    for name in [None, Some("../x".to_owned())] {
        let params = Params { name, ..in_namespace("cart") };
        assert_eq!(agent.refusal(Command::GetPodLogs, params).await?.code, ErrorCode::Invalid);
    }
    let nameless = Params { name: Some("a".to_owned()), ..Params::default() };
    assert_eq!(agent.refusal(Command::GetPodLogs, nameless).await?.code, ErrorCode::Invalid);
    Ok(())
}

#[tokio::test]
async fn what_is_not_allowed_or_not_known_is_an_error() -> Result<()> {
    let mut world = World::new(Seed::Shop).await?;
    set_rules(&world.sim, &json!([]))?;
    let (_running, mut agent) = world.open().await?;
    for command in [Command::GetNamespaces, Command::GetPods] {
        let error = agent.refusal(command, Params::default()).await?;
        assert_eq!(error.code, ErrorCode::Forbidden);
        assert!(error.detail.contains("is forbidden"), "{}", error.detail);
    }
    let newer = Command::Other("get-ingresses".to_owned());
    assert_eq!(agent.refusal(newer, Params::default()).await?.code, ErrorCode::BadRequest);
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_is_gone_is_unreachable() -> Result<()> {
    let mut world = World::new(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    agent.get(Command::GetPods, Params::default()).await?;
    world.sim.stop().await;
    let error = agent.refusal(Command::GetPods, Params::default()).await?;
    assert_eq!(error.code, ErrorCode::ClusterUnreachable);
    let fresh = Params { fresh: true, ..Params::default() };
    assert_eq!(agent.refusal(Command::GetNodes, fresh).await?.code, ErrorCode::ClusterUnreachable);
    Ok(())
}
