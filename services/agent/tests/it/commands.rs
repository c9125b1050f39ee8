//! Each command, with the rights that the install script gives and no more.

use anyhow::Result;
use contracts::{
    ErrorCode,
    query::{Command, Params},
};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{Namespace, Pod, Service},
};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use sim::{ListQuery, Seed, kinds};

use crate::{
    relay::Connection,
    world::{World, names, namespace, until, waiting_pod, waiting_spec},
};

/// What a simulator holds.
fn held(world: &World, plural: &str, namespace: Option<&str>) -> Vec<String> {
    let kind = kinds::by_plural(plural).expect("a kind that is served");
    let query = ListQuery { namespace: namespace.map(str::to_owned), ..ListQuery::default() };
    let page = world.sim().api().list(kind, &query).expect("a list without token cannot fail");
    let name = |item: &Value| item["metadata"]["name"].as_str().expect("objects have names").to_owned();
    page.items.iter().map(|item| name(item)).collect()
}

fn page(limit: u32, continue_token: Option<String>) -> Params {
    Params { limit: Some(limit), continue_token, ..Params::default() }
}

fn fresh() -> Params {
    Params { fresh: true, ..Params::default() }
}

fn in_namespace(name: &str) -> Params {
    Params { namespace: Some(name.to_owned()), ..Params::default() }
}

/// All pods, of a namespace if one is named, by pages of a size.
async fn all_pages(agent: &mut Connection, of: &Params, limit: u32) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut token = None;
    loop {
        let answer = agent
            .get(Command::GetPods, Params { namespace: of.namespace.clone(), ..page(limit, token) })
            .await?;
        items.extend(answer["pods"].as_array().cloned().unwrap_or_default());
        token = answer["continue"].as_str().map(str::to_owned);
        if token.is_none() {
            return Ok(items);
        }
        anyhow::ensure!(answer["total_count"] == limit, "not a full page");
    }
}

#[tokio::test]
async fn lists_tell_what_the_cluster_holds_and_that_it_is_simulated() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
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
async fn what_is_in_a_namespace_is_listed() -> Result<()> {
    let mut world = World::anywhere().await?;
    let node = world.cluster.node("node", &[]).await?;
    one_of_each(&world).await?;
    let (_running, mut agent) = world.open().await?;
    let namespace = world.cluster.namespace().to_owned();
    for (command, field, held) in [
        (Command::GetPods, "pods", "waits"),
        (Command::GetDeployments, "deployments", "one"),
        (Command::GetServices, "services", "one"),
    ] {
        let answer = agent.get(command, in_namespace(&namespace)).await?;
        assert_eq!((names(&answer, field), &answer["total_count"]), (vec![held.to_owned()], &json!(1)));
    }
    for (command, field, held) in
        [(Command::GetNamespaces, "namespaces", &namespace), (Command::GetNodes, "nodes", &node)]
    {
        let answer = agent.get(command, fresh()).await?;
        assert!(names(&answer, field).contains(held), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn resources_are_counted_by_kind() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
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
    Ok(())
}

#[tokio::test]
async fn kinds_that_may_not_be_listed_are_not_counted() -> Result<()> {
    let mut world = World::anywhere().await?;
    let (_running, mut agent) = world.open().await?;
    let only_nodes = json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]);
    world.set_rules(&only_nodes).await?;
    until("a count of nodes alone", async || {
        let answer = agent.get(Command::GetClusterResources, Params::default()).await?;
        let counted = answer["resources"].as_object().into_iter().flatten();
        Ok(counted.map(|(kind, _)| kind).eq(["nodes"]).then_some(()))
    })
    .await
}

/// Makes one object of each kind in the test's namespace; none of them makes a pod.
async fn one_of_each(world: &World) -> Result<()> {
    let team = json!({"team": world.cluster.namespace()});
    let metadata = json!({"name": "one", "labels": team});
    let (selector, template) =
        (json!({"matchLabels": team}), json!({"metadata": {"labels": team}, "spec": waiting_spec()}));
    let mut job = template.clone();
    job["spec"]["restartPolicy"] = "Never".into();
    let job = json!({"suspend": true, "template": job});
    let set = json!({"replicas": 0, "serviceName": "one", "selector": selector, "template": template});
    let object = |spec: Value| json!({"metadata": metadata, "spec": spec});
    world.make::<Service>(object(json!({"ports": [{"port": 80}]}))).await?;
    world.make::<DaemonSet>(object(json!({"selector": selector, "template": template}))).await?;
    world
        .make::<Deployment>(object(json!({"replicas": 0, "selector": selector, "template": template})))
        .await?;
    world.make::<StatefulSet>(object(set)).await?;
    world.make::<Job>(object(job.clone())).await?;
    world
        .make::<CronJob>(object(
            json!({"suspend": true, "schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}),
        ))
        .await
}

#[tokio::test]
async fn resources_are_counted_in_a_namespace_and_by_labels() -> Result<()> {
    let mut world = World::anywhere().await?;
    one_of_each(&world).await?;
    let (namespace, other) = (world.cluster.namespace().to_owned(), world.cluster.unique("other"));
    world.cluster.create::<Namespace>(&serde_json::from_value(self::namespace(&other))?).await?;
    let service = json!({
        "metadata": {"name": "one", "labels": {"team": namespace}}, "spec": {"ports": [{"port": 80}]}
    });
    let services: Api<Service> = Api::namespaced(world.cluster.client(), &other);
    services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
    let (_running, mut agent) = world.open().await?;

    let answer = agent.get(Command::GetClusterResources, in_namespace(&namespace)).await?;
    let each = json!({
        "pods": 1, "services": 1, "deployments": 1, "daemonsets": 1, "statefulsets": 1, "jobs": 1, "cronjobs": 1
    });
    assert_eq!((&answer["resources"], &answer["total_count"]), (&each, &json!(7)));

    let team = Params { label_selector: Some(format!("team={namespace}")), ..Params::default() };
    let answer = agent.get(Command::GetClusterResources, team.clone()).await?;
    assert_eq!((&answer["resources"]["services"], &answer["resources"]["pods"]), (&json!(2), &json!(0)));
    assert_eq!(answer["resources"]["nodes"], 0);
    let both = Params { namespace: Some(other), ..team };
    let answer = agent.get(Command::GetClusterResources, both).await?;
    assert_eq!((&answer["resources"]["services"], &answer["resources"]["nodes"]), (&json!(1), &Value::Null));
    Ok(())
}

/// With a label selector the API server does not say how many remain.
#[tokio::test]
async fn more_than_a_page_is_counted_by_labels() -> Result<()> {
    let mut world = World::simulated(Seed::Sized { nodes: 3, pods: 1200 }).await?;
    let (_running, mut agent) = world.open().await?;
    agent.heartbeat(|beat| beat.pods.is_some()).await?;
    let before = world.asked("list", "pods");
    let any = Params { label_selector: Some("pod-template-hash".to_owned()), ..Params::default() };
    let answer = agent.get(Command::GetClusterResources, any).await?;
    assert_eq!((&answer["resources"]["pods"], &answer["resources"]["nodes"]), (&json!(1200), &json!(0)));
    assert_eq!(world.asked("list", "pods"), before + 3, "not in pages of 500");
    Ok(())
}

#[tokio::test]
async fn what_does_not_apply_is_refused_and_not_ignored() -> Result<()> {
    let mut world = World::anywhere().await?;
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
    let mut world = World::anywhere().await?;
    let [first, second, third] = ["t-1", "t-2", "t-3"].map(|name| world.cluster.unique(name));
    let team = |name: &str| format!("{name}-{}", world.cluster.namespace());
    for (name, team) in [(&first, team("blue")), (&second, team("red")), (&third, team("blue"))] {
        let mut object = namespace(name);
        object["metadata"]["labels"] = json!({"team": team});
        world.cluster.create::<Namespace>(&serde_json::from_value(object)?).await?;
    }
    let blue = Params { label_selector: Some(format!("team in ({})", team("blue"))), ..Params::default() };
    for number in 1..5 {
        world.make::<Pod>(waiting_pod(&format!("waits-{number}"))).await?;
    }
    let (_running, mut agent) = world.open().await?;

    let answer = agent.get(Command::GetNamespaces, blue).await?;
    assert_eq!(names(&answer, "namespaces"), [first, third]);
    assert_eq!(answer["source"], "api");

    let wrong = Params { label_selector: Some("team in (".to_owned()), ..Params::default() };
    assert_eq!(agent.refusal(Command::GetNamespaces, wrong).await?.code, ErrorCode::BadRequest);

    let of = in_namespace(world.cluster.namespace());
    let some = Params { namespace: of.namespace.clone(), ..page(2, None) };
    let answer = agent.get(Command::GetPods, some).await?;
    assert_eq!((&answer["total_count"], &answer["remaining_count"]), (&json!(2), &json!(3)));
    let pages = json!({"pods": all_pages(&mut agent, &of, 2).await?});
    assert_eq!(names(&pages, "pods"), names(&agent.get(Command::GetPods, of).await?, "pods"));
    assert_eq!(names(&pages, "pods"), ["waits", "waits-1", "waits-2", "waits-3", "waits-4"]);
    Ok(())
}

#[tokio::test]
async fn a_large_list_is_fetched_in_pages_and_sent_in_parts() -> Result<()> {
    let mut world = World::simulated(Seed::Sized { nodes: 3, pods: 1200 }).await?;
    let (_running, mut agent) = world.open().await?;
    let before = world.asked("list", "pods");
    let whole = agent.get(Command::GetPods, Params::default()).await?;
    assert!(world.asked("list", "pods") >= before + 3, "not in pages of 500");
    assert!(
        whole["pods"].to_string().len() > contracts::agent::INLINE_RESULT_BYTES,
        "too small to be sent in parts"
    );
    // Small pages come inside their response: what came in parts must be the same.
    assert_eq!(json!(all_pages(&mut agent, &Params::default(), 100).await?), whole["pods"]);

    // A limit above the size of a page is kept, too.
    let most = agent.get(Command::GetPods, page(700, None)).await?;
    assert_eq!((&most["total_count"], &most["remaining_count"]), (&json!(700), &json!(500)));
    Ok(())
}

#[tokio::test]
async fn an_old_page_is_expired_and_a_list_that_expires_half_way_begins_anew() -> Result<()> {
    let mut world = World::simulated(Seed::Sized { nodes: 1, pods: 900 }).await?;
    let (_running, mut agent) = world.open().await?;
    agent.heartbeat(|beat| beat.pods.is_some()).await?;
    let expire = |world: &World, name: &str| {
        world.sim().api().create(namespace(name)).unwrap();
        world.sim().compact();
    };

    let first = agent.get(Command::GetPods, page(5, None)).await?;
    expire(&world, "later-1");
    let token = first["continue"].as_str().map(str::to_owned);
    assert_eq!(agent.refusal(Command::GetPods, page(5, token)).await?.code, ErrorCode::Expired);

    let garbage = page(5, Some("garbage".to_owned()));
    assert_eq!(agent.refusal(Command::GetPods, garbage).await?.code, ErrorCode::BadRequest);

    // The second page is asked for and held back by the latency while what it continues expires. The count of pods
    // for a heartbeat is over by then.
    world.sim().set_latency(std::time::Duration::from_millis(300));
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

/// Nodes of a real cluster may be stand-ins, which have no logs.
#[tokio::test]
async fn logs_need_a_right_of_their_own() -> Result<()> {
    let mut world = World::simulated(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    let pod = held(&world, "pods", Some("cart")).remove(0);
    let of_pod = |lines| Params { name: Some(pod.clone()), lines, ..in_namespace("cart") };

    let error = agent.refusal(Command::GetPodLogs, of_pod(None)).await?;
    assert_eq!(error.code, ErrorCode::Forbidden);
    assert!(error.detail.contains("pods/log"), "{}", error.detail);

    let rules = json!([{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}]);
    world.set_rules(&rules).await?;
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
    let mut world = World::anywhere().await?;
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
    let mut world = World::anywhere().await?;
    world.set_rules(&json!([])).await?;
    world.until_allowed(false).await?;
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
    let mut world = World::simulated(Seed::Shop).await?;
    let (_running, mut agent) = world.open().await?;
    agent.get(Command::GetPods, Params::default()).await?;
    world.cluster.stop().await;
    let error = agent.refusal(Command::GetPods, Params::default()).await?;
    assert_eq!(error.code, ErrorCode::ClusterUnreachable);
    assert_eq!(agent.refusal(Command::GetNodes, fresh()).await?.code, ErrorCode::ClusterUnreachable);
    Ok(())
}
