//! Query parameters that cannot be read.

use anyhow::Result;
use reqwest::Method;
use serde_json::json;

use crate::common::anywhere;

#[tokio::test]
async fn numbers_are_read_as_the_real_server_reads_them() -> Result<()> {
    let cluster = anywhere().await?;
    let maps = cluster.core("configmaps");
    for (query, text, why) in [
        ("limit=abc", "abc", "invalid syntax"),
        ("watch=1&timeoutSeconds=x", "x", "invalid syntax"),
        ("timeoutSeconds=", "", "invalid syntax"),
        ("limit=99999999999999999999", "99999999999999999999", "value out of range"),
    ] {
        let (status, refused) = cluster.get(&format!("{maps}?{query}")).await?;
        assert_eq!((status, &refused["reason"]), (400, &json!("BadRequest")), "{query}: {refused}");
        assert_eq!(refused["message"], format!("strconv.ParseInt: parsing \"{text}\": {why}"));
    }
    Ok(())
}

#[tokio::test]
async fn truths_are_read_from_any_text() -> Result<()> {
    let cluster = anywhere().await?;
    let path = cluster.core("configmaps/a");
    let apply = [("content-type", "application/apply-patch+yaml")];
    let body = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}";
    for force in ["yes", "0", "True"] {
        let url = format!("{path}?fieldManager=test&force={force}");
        let (status, answer) = cluster.send(Method::PATCH, &url, &apply, body).await?;
        assert!(status < 300, "{force}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn of_parameters_that_stand_twice_the_first_counts() -> Result<()> {
    let cluster = anywhere().await?;
    let maps = cluster.core("configmaps");
    for name in ["a", "b"] {
        let map = json!({ "metadata": { "name": name, "labels": { "test": "twice" } } });
        cluster.post(&maps, map).await?;
    }
    let (status, list) = cluster.get(&format!("{maps}?labelSelector=test&limit=1&limit=2")).await?;
    assert_eq!((status, list["items"].as_array().map(Vec::len)), (200, Some(1)), "{list}");

    for (query, expected) in [("dryRun=All&dryRun=All", 201), ("dryRun=All&dryRun=Some", 422)] {
        let map = json!({ "metadata": { "name": "tried" } });
        let (status, answer) = cluster.call(Method::POST, &format!("{maps}?{query}"), Some(map)).await?;
        assert_eq!(status, expected, "{answer}");
        assert_eq!(cluster.get(&format!("{maps}/tried")).await?.0, 404);
    }
    Ok(())
}
