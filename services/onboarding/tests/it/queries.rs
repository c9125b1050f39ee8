//! Queries over the queue, to an agent and back.

use std::time::Duration;

use anyhow::{Context, Result};
use bus::RequestOptions;
use contracts::{
    ErrorCode, TraceParent,
    query::{Command, Params, QueryRequest, QueryResult},
    queues,
};
use serde_json::json;
use testkit::eventually;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    agent::Agent,
    world::{PATIENCE, User, query_for, refused, start},
};

/// JSON that no serializer would write like this.
const ODD: &str = r#"{"b": 1.0,  "a":[ ], "ü":"\u00e9","b":1e2, "n":123456789012345678901234567890}"#;

store::test_on_both! {
    async fn an_answer_comes_back_byte_for_byte(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let params = Params { namespace: Some("default".to_owned()), limit: Some(7), ..Params::default() };
        let mut query = QueryRequest { params: params.clone(), ..cluster.query() };
        query.cluster_config.insert("cluster_id".to_owned(), json!(cluster.cluster_id));
        let trace = TraceParent::generate(&mut rand::rng());
        let bus = world.bus.clone();
        let asked = query.clone();
        let asking = tokio::spawn(async move {
            let options = RequestOptions { trace: Some(trace), ..RequestOptions::within(PATIENCE) };
            bus.request::<_, QueryResult>(queues::QUERIES, &asked, options).await
        });
        let request = agent.request().await?;
        assert_eq!((&request.command, &request.params), (&Command::GetPods, &params));
        assert!(Duration::from_millis(request.deadline_ms) <= PATIENCE && request.deadline_ms > 1000);
        let hop = request.traceparent.context("a trace")?;
        assert!(hop.trace_id() == trace.trace_id() && hop != trace);
        agent.answer(&request, ODD).await?;

        let answer = asking.await??;
        assert_eq!(answer.result.context("a result")?.get(), ODD);
        assert_eq!((answer.request_id, answer.agent_id), (query.request_id, cluster.agent_id));
        assert_eq!((answer.error, answer.code), (None, None));
        assert!(answer.owner.is_some_and(|owner| owner.contains("private")), "the queue of the replica");
        assert_eq!(answer.epoch, Some(1));
        Ok(())
    }

    async fn many_answers_in_reverse_order_find_their_askers(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let ask = |limit| {
            let params = Params { limit: Some(limit), ..Params::default() };
            let query = QueryRequest { params, ..cluster.query() };
            (limit, world.asking(query, PATIENCE))
        };
        let asked: Vec<_> = (0..100).map(ask).collect();
        let mut requests = Vec::new();
        while requests.len() < asked.len() {
            requests.push(agent.request().await?);
        }
        for request in requests.iter().rev() {
            let limit = request.params.limit.context("a limit")?;
            agent.answer(request, &limit.to_string()).await?;
        }
        for (limit, asking) in asked {
            let answer = asking.await??;
            assert_eq!(answer.result.context("a result")?.get(), limit.to_string());
        }
        Ok(())
    }

    async fn what_cannot_be_asked_is_told_apart(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let (cluster, silent) = (world.cluster(User::Ada, "a").await?, world.cluster(User::Ada, "b").await?);
        let mut agent = Agent::open(&world, &cluster).await?;
        let query = cluster.query();
        for unknown in ["", "nobody", &Uuid::new_v4().to_string(), &"x".repeat(100_000)] {
            let answer = world.ask(&query_for(User::Ada, unknown)).await?;
            refused(&answer, &ErrorCode::NotFound)?;
        }
        for agent_id in [&cluster.agent_id, &silent.agent_id] {
            refused(&world.ask(&query_for(User::Bob, agent_id)).await?, &ErrorCode::NotFound)?;
            for wrong in [json!("nothing"), json!(Uuid::new_v4()), json!({})] {
                let mut query = query_for(User::Ada, agent_id);
                query.cluster_config.insert("cluster_id".to_owned(), wrong);
                refused(&world.ask(&query).await?, &ErrorCode::NotFound)?;
            }
        }
        refused(&world.ask(&silent.query()).await?, &ErrorCode::AgentNotConnected)?;
        for command in [Command::GetServices, Command::Other("get-secrets".to_owned())] {
            let answer = world.ask(&QueryRequest { command, ..query.clone() }).await?;
            let detail = refused(&answer, &ErrorCode::AgentError)?;
            assert!(detail.contains("1.2.3"), "{detail}");
        }
        let label_selector = Some("x".repeat(contracts::agent::MAX_FRAME_BYTES));
        let params = Params { label_selector, ..Params::default() };
        let answer = world.ask(&QueryRequest { params, ..query.clone() }).await?;
        refused(&answer, &ErrorCode::TooLarge)?;

        // Of all this the agent saw nothing, and its session lives. An older asker names no user, and null is no cluster.
        let mut older = QueryRequest { user_id: None, ..query };
        older.cluster_config.insert("cluster_id".to_owned(), json!(null));
        agent.answers(&world, &older).await
    }

    async fn an_agent_that_is_not_connected_is_told_within_a_tenth_of_a_second(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        drop(Agent::open(&world, &cluster).await?);
        world.until_absent(&cluster).await?;
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let asked = Instant::now();
            let answer = world.ask(&cluster.query()).await?;
            refused(&answer, &ErrorCode::AgentNotConnected)?;
            best = best.min(asked.elapsed());
        }
        assert!(best < Duration::from_millis(100), "{best:?}");
        Ok(())
    }

    async fn the_agents_own_errors_are_passed_on(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;
        let query = cluster.query();
        for code in [ErrorCode::Forbidden, ErrorCode::Expired, ErrorCode::Other("newer".to_owned())] {
            let asking = world.asking(query.clone(), PATIENCE);
            let request = agent.request().await?;
            agent.answer_error(&request, code.clone()).await?;
            assert_eq!(refused(&asking.await??, &code)?, "the agent says why");
        }
        // Neither a result nor an error.
        let asking = world.asking(query, PATIENCE);
        let request = agent.request().await?;
        agent.send(&json!({"type": "response", "request_id": request.request_id, "result": null})).await?;
        refused(&asking.await??, &ErrorCode::AgentError)?;
        Ok(())
    }

    async fn answers_that_nobody_waits_for_are_counted_and_ignored(database: TestDatabase) -> Result<()> {
        let world = start(&database).await?;
        let cluster = world.cluster(User::Ada, "a").await?;
        let mut agent = Agent::open(&world, &cluster).await?;

        let query = cluster.query();
        let asking = world.asking(query.clone(), PATIENCE);
        let request = agent.request().await?;
        agent.answer(&request, "1").await?;
        agent.answer(&request, "2").await?;
        agent.send_part(request.request_id, true, b"3").await?;
        let unasked = json!({"type": "response", "request_id": Uuid::new_v4(), "result": 4});
        agent.send(&unasked).await?;
        assert_eq!(asking.await??.result.context("a result")?.get(), "1");

        agent.answers(&world, &query).await?;
        eventually("three of them", async || {
            let unasked = world.metrics.value("agent_unasked_answers_total").ok()?;
            unasked.total_cmp(&3.0).is_eq().then_some(())
        })
        .await
    }
}
