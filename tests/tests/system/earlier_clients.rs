//! Clients of the earlier system speak AMQP themselves and know no reply queues.

use anyhow::{Context, Result};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use serde_json::{Value, json};
use system_tests::{Options, System, names};
use testkit::amqp_url;
use tokio::time::timeout;
use uuid::Uuid;

/// Publishes a request without `reply_to` and waits for its answer on the results queue.
async fn ask(channel: &Channel, requests: &str, results: &str, request: &Value) -> Result<Value> {
    use futures_util::StreamExt;

    for queue in [requests, results] {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.into(), durable, FieldTable::default()).await?;
    }
    let tag = Uuid::new_v4().to_string();
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut answers = channel.basic_consume(results.into(), tag.as_str().into(), options, arguments).await?;
    let properties = BasicProperties::default().with_content_type("application/json".into());
    let body = serde_json::to_vec(request)?;
    channel
        .basic_publish("".into(), requests.into(), BasicPublishOptions::default(), &body, properties)
        .await?;
    let found = async {
        while let Some(delivery) = answers.next().await {
            let delivery = delivery?;
            delivery.acker.ack(BasicAckOptions::default()).await?;
            let answer: Value = serde_json::from_slice(&delivery.data)?;
            if answer["request_id"] == request["request_id"] {
                return Ok(answer);
            }
        }
        anyhow::bail!("the results queue was closed")
    };
    timeout(std::time::Duration::from_secs(10), found).await.context("no answer on the results queue")?
}

#[tokio::test]
async fn requests_without_a_reply_queue_are_answered_on_the_named_results_queues() -> Result<()> {
    // The names of these queues are what is tested, so there is no prefix.
    let system = System::start(Options { without_prefix: true, ..Options::default() }).await?;
    let connection = Connection::connect(&amqp_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;

    let request = json!({"request_id": Uuid::new_v4(), "api_key": system.admin.api_key, "service": "cluster",
                         "timestamp": "2026-11-20T10:00:00.000Z"});
    let answer = ask(&channel, "cluster_auth_requests", "cluster_auth_results", &request).await?;
    assert_eq!(answer["valid"], true, "{answer}");
    assert_eq!(answer["user_data"]["username"], "admin");
    assert_eq!(answer["user_data"]["is_active"], true);

    let request = json!({"request_id": Uuid::new_v4(), "api_key": "ks_wrong", "service": "cluster",
                         "timestamp": "2026-11-20T10:00:00.000Z"});
    let answer = ask(&channel, "cluster_auth_requests", "cluster_auth_results", &request).await?;
    assert_eq!((&answer["valid"], &answer["code"]), (&json!(false), &json!("unauthenticated")), "{answer}");

    let request = json!({"request_id": Uuid::new_v4(), "agent_id": system.agent_id, "command": "get-namespaces",
                         "cluster_config": {}, "timestamp": "2026-11-20T10:00:00.000Z"});
    let answer = ask(&channel, "cluster_namespace_requests", "cluster_namespace_results", &request).await?;
    assert_eq!(answer["agent_id"], system.agent_id);
    assert!(answer["error"].is_null(), "{answer}");
    assert!(names(&answer["result"]["namespaces"]).contains(&system.kubernetes.namespace()), "{answer}");
    Ok(())
}
