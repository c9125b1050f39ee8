//! What bodies may be written in.

use anyhow::Result;
use reqwest::Method;
use serde_json::json;
use sim::Seed;

use crate::common::{anywhere, simulated};

const YAML: [(&str, &str); 1] = [("content-type", "application/yaml")];

#[tokio::test]
async fn bodies_are_read_in_yaml() -> Result<()> {
    let cluster = anywhere().await?;
    let maps = cluster.core("configmaps");
    let map =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  one: &text |\n    1\n  two: *text\n";
    let (status, created) = cluster.send(Method::POST, &maps, &YAML, map).await?;
    assert_eq!((status, &created["data"]), (201, &json!({ "one": "1\n", "two": "1\n" })), "{created}");

    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {one: x}\nextra: 1\n";
    let (status, updated) = cluster.send(Method::PUT, &format!("{maps}/a"), &YAML, map).await?;
    assert_eq!((status, &updated["data"]), (200, &json!({ "one": "x" })), "{updated}");
    let strict = format!("{maps}/a?fieldValidation=Strict");
    let (status, refused) = cluster.send(Method::PUT, &strict, &YAML, map).await?;
    assert_eq!(status, 400, "{refused}");

    let options = "kind: DeleteOptions\napiVersion: v1\npreconditions: {uid: other}\n";
    let (status, refused) = cluster.send(Method::DELETE, &format!("{maps}/a"), &YAML, options).await?;
    assert_eq!(status, 409, "{refused}");

    let (status, refused) = cluster.send(Method::POST, &maps, &YAML, "a: [").await?;
    let message = refused["message"].as_str().unwrap_or_default();
    let start =
        "the object provided is unrecognized (must be of type ConfigMap): error converting YAML to JSON: ";
    assert!(status == 400 && message.starts_with(start) && message.ends_with("(613a205b)"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_body_of_an_unknown_type_is_refused() -> Result<()> {
    let cluster = anywhere().await?;
    let maps = cluster.core("configmaps");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let (status, refused) = cluster.send(Method::POST, &maps, &form, "{}").await?;
    assert_eq!((status, &refused["reason"]), (415, &json!("UnsupportedMediaType")));
    let why = "the body of the request was in an unknown format - accepted media types include: \
               application/json, application/yaml, application/vnd.kubernetes.protobuf";
    assert_eq!(refused["message"], why);
    Ok(())
}

#[tokio::test]
async fn little_yaml_does_not_become_much() -> Result<()> {
    let cluster = anywhere().await?;
    let mut bomb =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\na0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let again = [format!("*a{}", level - 1).as_str(); 8].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{again}]\n"));
    }
    let deep = format!("metadata: {}{}", "[".repeat(20_000), "]".repeat(20_000));
    for body in [bomb, deep] {
        let (status, refused) = cluster.send(Method::POST, &cluster.core("configmaps"), &YAML, body).await?;
        assert_eq!(status, 400, "{refused}");
    }
    Ok(())
}

/// Simulated: the words of the real server's library for YAML are others.
#[tokio::test]
async fn yaml_is_refused_without_advice_for_programmers() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {}\ndata: {}\n";
    for body in [twice, "a: [\n", "a: b: c\n", "\"open"] {
        let (status, refused) = cluster.send(Method::POST, &cluster.core("configmaps"), &YAML, body).await?;
        let message = refused["message"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{refused}");
        assert!(!message.contains('\n') && !message.contains("Options"), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn the_first_document_of_yaml_counts() -> Result<()> {
    let cluster = anywhere().await?;
    let map = |name: &str| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let both = map("a") + &map("b");
    let (status, made) = cluster.send(Method::POST, &cluster.core("configmaps"), &YAML, both).await?;
    assert_eq!((status, &made["metadata"]["name"]), (201, &json!("a")), "{made}");
    assert_eq!(cluster.get(&cluster.core("configmaps/b")).await?.0, 404);
    Ok(())
}

/// Simulated: the real server reads it, and replaces what is no Unicode text.
#[tokio::test]
async fn what_json_cannot_say_is_told() -> Result<()> {
    let cluster = simulated(Seed::Empty).await?;
    let deep = "[".repeat(300) + &"]".repeat(300);
    for (value, why) in [
        ("\"\\ud800\"", "a string in the JSON is no Unicode text"),
        (&deep, "exceeded max depth"),
        ("1e999", "cannot unmarshal number into Go value of type float64"),
    ] {
        let body = format!("{{\"kind\":\"ConfigMap\",\"data\":{{\"a\":{value}}}}}");
        let (status, refused) = cluster.send(Method::POST, &cluster.core("configmaps"), &[], body).await?;
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(why), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn an_object_is_not_larger_than_etcd_takes() -> Result<()> {
    let cluster = anywhere().await?;
    let path = cluster.path("coordination.k8s.io/v1", "leases");
    let lease = |bytes: usize| json!({ "metadata": { "name": "l" }, "spec": { "holderIdentity": "x".repeat(bytes) } });
    let (status, refused) = cluster.call(Method::POST, &path, Some(lease(1_600_000))).await?;
    assert_eq!((status, &refused["message"]), (500, &json!("etcdserver: request is too large")));
    let (status, _) = cluster.call(Method::POST, &path, Some(lease(1_400_000))).await?;
    assert_eq!(status, 201);
    let merge = [("content-type", "application/merge-patch+json")];
    let grown = lease(1_600_000).to_string();
    let (status, _) = cluster.send(Method::PATCH, &format!("{path}/l"), &merge, grown).await?;
    assert_eq!(status, 500);
    Ok(())
}
