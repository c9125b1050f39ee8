//! Parameters that cannot be used are refused by name, and nobody is asked.

use anyhow::{Context, Result};
use reqwest::Response;
use testkit::{TestBus, on_both_brokers};

use crate::world::{problem, start};

on_both_brokers!(lists_check_their_parameters, logs_check_their_parameters);

async fn refused_field(response: Response, what: &str) -> Result<String> {
    let document = problem(response, 422, "invalid").await.with_context(|| what.to_owned())?;
    let [error] = &document.errors[..] else { anyhow::bail!("{what}: {:?}", document.errors) };
    anyhow::ensure!(!error.message.is_empty() && error.message.len() < 300, "{what}: {error:?}");
    Ok(error.field.clone())
}

async fn lists_check_their_parameters(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    let long = |length: usize| "x".repeat(length);
    let bad = [
        (String::new(), "agent_id"),
        ("namespace=default".to_owned(), "agent_id"),
        ("agent_id=".to_owned(), "agent_id"),
        (format!("agent_id={}", long(129)), "agent_id"),
        ("agent_id=a%20b".to_owned(), "agent_id"),
        ("agent_id=a%2Fb".to_owned(), "agent_id"),
        ("agent_id=a%00b".to_owned(), "agent_id"),
        ("agent_id=%C3%A4".to_owned(), "agent_id"),
        ("agent_id=a%0Ab".to_owned(), "agent_id"),
        ("agent_id=a&agent_id=b".to_owned(), "agent_id"),
    ];
    let rest = [
        ("cluster_id=".to_owned(), "cluster_id"),
        ("cluster_id=prod".to_owned(), "cluster_id"),
        ("cluster_id=1.5".to_owned(), "cluster_id"),
        ("cluster_id=99999999999999999999".to_owned(), "cluster_id"),
        ("cluster_id=6f9619ff-8b86-d011-b42d".to_owned(), "cluster_id"),
        ("limit=0".to_owned(), "limit"),
        ("limit=100001".to_owned(), "limit"),
        ("limit=-1".to_owned(), "limit"),
        ("limit=many".to_owned(), "limit"),
        ("limit=".to_owned(), "limit"),
        ("limit=99999999999".to_owned(), "limit"),
        ("namespace=".to_owned(), "namespace"),
        ("namespace=a/b".to_owned(), "namespace"),
        ("namespace=..%2Fsecrets".to_owned(), "namespace"),
        ("namespace=..".to_owned(), "namespace"),
        ("namespace=.".to_owned(), "namespace"),
        ("namespace=-a".to_owned(), "namespace"),
        ("namespace=Default".to_owned(), "namespace"),
        (format!("namespace={}", long(254)), "namespace"),
        (format!("label_selector={}", long(4097)), "label_selector"),
        (format!("continue={}", long(4097)), "continue"),
        ("fresh=perhaps".to_owned(), "fresh"),
        ("colour=red".to_owned(), "colour"),
        ("lines=5".to_owned(), "lines"),
    ];
    let rest = rest.map(|(query, field)| (format!("agent_id=agent-1&{query}"), field));
    for (query, field) in bad.into_iter().chain(rest) {
        for path in ["/namespaces", "/nodes", "/pods", "/deployments", "/services", "/resources"] {
            let path = format!("{path}?{query}");
            assert_eq!(refused_field(world.get(&path).await?, &path).await?, field, "{path}");
        }
    }
    assert_eq!(world.onboarding.times_asked(), 0);

    // As much as is taken.
    world.onboarding.agent_answers("{}")?;
    let most = format!("agent_id={}&namespace={}&label_selector={}", long(128), long(253), long(4096));
    world.json(&format!("/pods?{most}&limit=100000&cluster_id=-9223372036854775808")).await?;
    Ok(())
}

async fn logs_check_their_parameters(test: TestBus) -> Result<()> {
    let world = start(&test).await?;
    for (pod, query, field) in [
        ("default/web-0", "", "agent_id"),
        ("default/web-0", "agent_id=a%20b", "agent_id"),
        ("default/web-0", "agent_id=a&cluster_id=x", "cluster_id"),
        ("default/web-0", "agent_id=a&lines=0", "lines"),
        ("default/web-0", "agent_id=a&lines=10001", "lines"),
        ("default/web-0", "agent_id=a&lines=-5", "lines"),
        ("default/web-0", "agent_id=a&lines=all", "lines"),
        ("default/web-0", "agent_id=a&container=", "container"),
        ("default/web-0", "agent_id=a&container=a/b", "container"),
        ("default/web-0", "agent_id=a&container=..", "container"),
        ("default/web-0", "agent_id=a&limit=5", "limit"),
        ("default/web-0", "agent_id=a&namespace=b", "namespace"),
        ("a%2Fb/web-0", "agent_id=a", "namespace"),
        ("Default/web-0", "agent_id=a", "namespace"),
        ("default/web%2F0", "agent_id=a", "name"),
        ("default/web%3F0", "agent_id=a", "name"),
        ("default/%FF", "agent_id=a", "name"),
        // Clients resolve `..` themselves.
        ("default/..%2E", "agent_id=a", "name"),
    ] {
        let path = format!("/pods/{pod}/logs?{query}");
        assert_eq!(refused_field(world.get(&path).await?, &path).await?, field, "{path}");
    }
    assert_eq!(world.onboarding.times_asked(), 0);
    Ok(())
}
