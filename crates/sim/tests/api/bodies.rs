//! What bodies may be written in.

use anyhow::Result;
use reqwest::Method;
use serde_json::json;

use crate::common::anywhere;

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
