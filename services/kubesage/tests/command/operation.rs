//! The events of an operation, as they are told.

use anyhow::{Context, Result};
use reqwest::Response;
use serde_json::Value;

use crate::started::{Started, client};

/// The stream of an operation's events.
pub(crate) struct Events {
    response: Response,
    /// What has come and is no whole event yet.
    text: String,
}

impl Events {
    /// From the first on, or after the one of this number.
    pub(crate) async fn of(kubesage: &Started, operation: &str, after: Option<u64>) -> Result<Self> {
        let url = kubesage.url(&format!("/api/v1/operations/{operation}/events"));
        let mut request = client().get(url).header("X-API-Key", &kubesage.env["KUBESAGE_API_KEY"]);
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        Ok(Self { response: request.send().await?.error_for_status()?, text: String::new() })
    }

    /// The next one; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let told = match (field("data: "), field("id: "), field("event: ")) {
                    (Some(data), Some(id), Some(what)) => {
                        Some((data.to_owned(), id.to_owned(), what.to_owned()))
                    }
                    // A comment keeps the connection alive.
                    _ => None,
                };
                self.text = rest.to_owned();
                if let Some((data, id, what)) = told {
                    let event: Value = serde_json::from_str(&data)?;
                    anyhow::ensure!(
                        event["seq"].as_u64() == id.parse().ok() && event["what"] == *what,
                        "{id} {what} {data}"
                    );
                    return Ok(Some(event));
                }
            }
            let Some(bytes) = self.response.chunk().await? else { return Ok(None) };
            self.text.push_str(std::str::from_utf8(&bytes).context("an event is cut within a character")?);
        }
    }
}
