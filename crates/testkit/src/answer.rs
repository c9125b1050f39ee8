//! What a service answers.

use anyhow::{Context, Result, ensure};
use reqwest::{RequestBuilder, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its JSON; null when there is none.
    pub body: Value,
}

/// Sends a request, and reads the answer: JSON, or a problem where it is no success.
///
/// # Errors
/// When there is none, or it is of another kind.
pub async fn send(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let status = response.status();
    let is_problem =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    ensure!(is_problem != status.is_success(), "{status} of another kind");
    let text = response.text().await?;
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? };
    Ok(Answer { status, body })
}

impl Answer {
    /// Checks the status; answers the body.
    ///
    /// # Errors
    /// When it is another.
    pub fn json(&self, status: u16) -> Result<&Value> {
        ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.body);
        Ok(&self.body)
    }

    /// Checks the status; answers a text of the body.
    ///
    /// # Errors
    /// When it is another.
    pub fn text(&self, status: u16, pointer: &str) -> Result<String> {
        let text = self.json(status)?.pointer(pointer).and_then(Value::as_str);
        Ok(text.with_context(|| format!("{pointer} in {}", self.body))?.to_owned())
    }

    /// Checks that it is a problem of this status and code; answers its detail.
    ///
    /// # Errors
    /// When it is another.
    pub fn problem(&self, status: u16, code: &str) -> Result<String> {
        ensure!(self.text(status, "/code")? == code, "not {code}: {}", self.body);
        self.text(status, "/detail")
    }

    /// Checks that exactly this value was not acceptable.
    ///
    /// # Errors
    /// When it is another.
    pub fn refuses_field(&self, field: &str) -> Result<()> {
        self.problem(422, "invalid")?;
        ensure!(self.body["errors"].as_array().is_some_and(|errors| errors.len() == 1), "{}", self.body);
        ensure!(self.text(422, "/errors/0/field")? == field, "not {field}: {}", self.body);
        Ok(())
    }
}
