//! One active cluster a user.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::Value;
use store::{Backend, test_on_both};
use testkit::TestBus;
use tokio::task::JoinSet;

use super::{fields, nowhere, simulated};
use crate::world::{Setup, problem};

/// Clusters, and selections at once.
const CLUSTERS: usize = 8;
const SELECTIONS: usize = 64;

test_on_both! {
    async fn of_selections_at_once_one_is_left(database: TestDatabase) -> Result<()> {
        let cluster = simulated().await?;
        let bus = match database.backend() {
            Backend::Sqlite => TestBus::memory(),
            Backend::Postgres => TestBus::rabbitmq(),
        };
        let setup = Setup { database: Some(database.url().clone()), ..Setup::on(&bus) };
        let service = setup.service().await?;
        let mut ids = Vec::new();
        for number in 0..CLUSTERS {
            let given = fields(&format!("c{number}"), cluster.kubeconfig())?;
            ids.push(service.onboard(&service.carol, &given).await?);
        }
        let mut selecting = JoinSet::new();
        for number in 0..SELECTIONS {
            let path = format!("/select-cluster-and-get-namespaces/{}", ids[number % CLUSTERS]);
            selecting.spawn(service.call(&service.carol, Method::POST, &path).send());
        }
        while let Some(selected) = selecting.join_next().await {
            let selected = selected??;
            ensure!(selected.status() == 200, "{}", selected.text().await?);
        }
        let list = service.get_json(&service.carol, "/clusters").await?;
        let clusters = list["clusters"].as_array().context("clusters")?;
        let active: Vec<&Value> = clusters.iter().filter(|cluster| cluster["is_active"] == true).collect();
        ensure!(active.len() == 1, "{list}");

        // Each was told, the last one of the one that is left.
        let path = "?type=cluster_selected_and_namespaces_retrieved&limit=1000";
        let events = service.audit(&service.carol, path, SELECTIONS).await?;
        ensure!(events.len() == SELECTIONS);
        ensure!(events[0]["data"]["cluster_id"] == active[0]["id"], "{} {}", events[0], active[0]);
        Ok(())
    }
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_not_selected() -> Result<()> {
    let cluster = simulated().await?;
    let service = Setup::on(&TestBus::memory()).service().await?;
    let good = service.onboard(&service.bob, &fields("good", cluster.kubeconfig())?).await?;
    let away = service.onboard(&service.bob, &nowhere("away")).await?;
    let select = async |id: i64| {
        let path = format!("/select-cluster-and-get-namespaces/{id}");
        anyhow::Ok(service.call(&service.bob, Method::POST, &path).send().await?)
    };
    ensure!(select(good).await?.status() == 200);
    problem(select(away).await?, 502, "cluster_unreachable").await?;
    let active = async || {
        let list = service.get_json(&service.bob, "/clusters").await?;
        let clusters = list["clusters"].as_array().context("clusters")?;
        let active = clusters.iter().filter(|cluster| cluster["is_active"] == true);
        anyhow::Ok(active.filter_map(|cluster| cluster["id"].as_i64()).collect::<Vec<_>>())
    };
    ensure!(active().await? == [good]);
    let removed =
        service.call(&service.bob, Method::DELETE, &format!("/remove-cluster/{good}")).send().await?;
    ensure!(removed.status() == 200);
    ensure!(active().await?.is_empty());
    Ok(())
}
