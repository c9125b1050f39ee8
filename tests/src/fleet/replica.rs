//! A replica of onboarding, with what is between it and the others.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Process, Proxy};

use crate::Client;

/// A replica of onboarding.
pub struct Replica {
    /// The process.
    pub process: Process,
    /// Where it serves.
    pub address: SocketAddr,
    /// Between it and the broker.
    pub broker: Proxy,
    /// Between it and the database.
    pub database: Proxy,
}

impl Replica {
    /// The address by which the other replicas reach it now, as it has logged it.
    ///
    /// # Errors
    /// When it has none yet.
    pub fn bus_address(&self) -> Result<String> {
        let log = self.process.log();
        let said = log.lines().rev().find(|line| line.contains("the other replicas know of this one"));
        let line: Value = serde_json::from_str(said.context("it has no address")?)?;
        line["address"].as_str().map(str::to_owned).context("no address")
    }

    /// The value of a series in its `/metrics`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metric(&self, client: &Client, series: &str) -> Result<f64> {
        testkit::series_value(&client.text(&format!("http://{}/metrics", self.address)).await?, series)
    }

    /// Whether it says that it is ready.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn is_ready(&self, client: &Client) -> Result<bool> {
        Ok(client.get(&format!("http://{}/readyz", self.address)).await?.status == 200)
    }
}
