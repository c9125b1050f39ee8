//! What AWS's Security Token Service answers, for what moto does not model: trust policies and refusals. The forms are those of
//! the API reference (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use axum::{
    Form, Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// A server that answers `AssumeRole` by the name of the role:
///
/// - `Guarded`: granted with an external id that begins with `kubesage-`, denied with others and without;
/// - `Careless`: granted with any external id, denied without;
/// - `Unguarded`: granted always;
/// - `Short`: as `Guarded`, for five minutes and a second;
/// - `Throttled`, `Expired`, `Unknown`, `Denied`: refused so.
///
/// It ends when this is dropped.
pub struct ReplayedSts {
    address: SocketAddr,
    assumed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for ReplayedSts {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ReplayedSts {
    /// Serves on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let assumed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&assumed);
        let answer = move |Form(form): Form<HashMap<String, String>>| async move { answer(&form, &counted) };
        let router = Router::new().route("/", post(answer));
        let task = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, assumed, task })
    }

    /// Where it serves, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many sessions it has given.
    pub fn assumed(&self) -> usize {
        self.assumed.load(Ordering::Relaxed)
    }
}

fn answer(form: &HashMap<String, String>, assumed: &AtomicUsize) -> Response {
    let value = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if value("Action") == "GetCallerIdentity" {
        let result = "<Arn>arn:aws:iam::999999999999:user/kubesage</Arn><UserId>AIDA</UserId><Account>999999999999</Account>";
        return xml(
            StatusCode::OK,
            &format!(
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>{result}</GetCallerIdentityResult></GetCallerIdentityResponse>"
            ),
        );
    }
    let role = value("RoleArn").rsplit('/').next().unwrap_or_default();
    let (has_external_id, is_the_one) =
        (form.contains_key("ExternalId"), value("ExternalId").starts_with("kubesage-"));
    match role {
        "Guarded" | "Short" if !is_the_one => denied(value("RoleArn")),
        "Careless" if !has_external_id => denied(value("RoleArn")),
        "Guarded" | "Careless" | "Unguarded" => granted(role, Duration::from_hours(1), assumed),
        "Short" => granted(role, Duration::from_secs(301), assumed),
        "Throttled" => refused(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded"),
        "Expired" => {
            let message = "The security token included in the request is expired";
            refused(StatusCode::FORBIDDEN, "ExpiredToken", message)
        }
        "Unknown" => refused(StatusCode::NOT_FOUND, "NoSuchEntity", "The role cannot be found"),
        _ => denied(value("RoleArn")),
    }
}

fn granted(role: &str, lasts: Duration, assumed: &AtomicUsize) -> Response {
    let number = assumed.fetch_add(1, Ordering::Relaxed);
    let expiration = jiff::Timestamp::now() + lasts;
    let credentials = format!(
        "<AccessKeyId>ASIA{number:016}</AccessKeyId><SecretAccessKey>planted</SecretAccessKey>\
         <SessionToken>token</SessionToken><Expiration>{expiration:.0}</Expiration>"
    );
    let user = format!(
        "<Arn>arn:aws:sts::123456789012:assumed-role/{role}/SpotOptimizerMonitoring</Arn>\
         <AssumedRoleId>AROA:SpotOptimizerMonitoring</AssumedRoleId>"
    );
    xml(
        StatusCode::OK,
        &format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <Credentials>{credentials}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser></AssumeRoleResult>\
             </AssumeRoleResponse>"
        ),
    )
}

fn denied(role: &str) -> Response {
    let message = format!(
        "User: arn:aws:iam::999999999999:user/kubesage is not authorized to perform: sts:AssumeRole on resource: {role}"
    );
    refused(StatusCode::FORBIDDEN, "AccessDenied", &message)
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    xml(
        status,
        &format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
        ),
    )
}

fn xml(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], text.to_owned()).into_response()
}
