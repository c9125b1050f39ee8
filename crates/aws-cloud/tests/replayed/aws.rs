//! A server that answers as AWS does, in the forms of its API references.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use aws_access::{Sessions, Sts, StsOptions};
use aws_cloud::{Account, AwsCloud, Clients, Settings, Timeouts};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use testkit::ReplayedSts;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) type Asked = HashMap<String, String>;

/// What is answered.
pub(crate) enum Answer {
    /// The elements within that of the answer.
    Told(&'static str),
    Json(String),
    /// Status, code and words, as EC2 writes them.
    Ec2(u16, &'static str, &'static str),
    /// The same, as EC2 Auto Scaling writes them.
    AutoScaling(u16, &'static str, &'static str),
    Nothing,
}

/// AWS, which ends when this is dropped.
pub(crate) struct Aws {
    pub(crate) cloud: Arc<AwsCloud>,
    pub(crate) clients: Clients,
    pub(crate) account: Account,
    pub(crate) sts: ReplayedSts,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Aws {
    /// `answer` is given the action and how often it was asked for before.
    pub(crate) async fn new(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Result<Self> {
        Self::for_role("Guarded", Timeouts::default().idle, answer).await
    }

    /// By this role, and with clients that are let go so long after they were last asked for.
    pub(crate) async fn for_role(
        role: &str,
        idle: Duration,
        answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let asked = Arc::new(Mutex::new(Vec::<Asked>::new()));
        let (answer, noted) = (Arc::new(answer), Arc::clone(&asked));
        let handler = move |headers: HeaderMap, body: String| async move {
            let form = asked_for(&headers, &body);
            let action = form.get("Action").cloned().unwrap_or_default();
            let before = {
                let mut noted = noted.lock().expect("nobody has panicked");
                noted.push(form);
                times(&noted, &action) - 1
            };
            respond(&action, answer(&action, before)).await
        };
        let router = Router::new().route("/", post(handler));
        let task = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });

        let sts = ReplayedSts::start().await?;
        let credentials = Some(("AKIAEXAMPLE".to_owned(), "planted".to_owned().into()));
        let options = StsOptions { endpoint_url: Some(sts.url().parse()?), credentials };
        let clients = Clients::new(Settings {
            sessions: Sessions::new(Sts::new(&options).await),
            endpoint_url: Some(url.parse()?),
            timeouts: Timeouts {
                call: Duration::from_secs(5),
                preparation: Duration::from_secs(3),
                idle,
                ..Timeouts::default()
            },
            advisor: None,
        });
        let account = Account {
            role_arn: format!("arn:aws:iam::123456789012:role/{role}").parse()?,
            external_id: "kubesage-1".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let cloud = clients.of(&account);
        Ok(Self { cloud, clients, account, sts, asked, task })
    }

    /// How often an action was asked for.
    pub(crate) fn times(&self, action: &str) -> usize {
        times(&self.asked.lock().expect("nobody has panicked"), action)
    }

    /// The last request for an action.
    pub(crate) fn last(&self, action: &str) -> Option<Asked> {
        let asked = self.asked.lock().expect("nobody has panicked");
        asked.iter().rfind(|form| form.get("Action").is_some_and(|name| name == action)).cloned()
    }
}

/// EC2 and Auto Scaling are asked by forms. The price list is asked by JSON, and the action is in a header.
fn asked_for(headers: &HeaderMap, body: &str) -> Asked {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    match target.and_then(|target| target.split_once('.')) {
        Some((_, action)) => [("Action", action), ("Body", body)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        None => serde_urlencoded::from_str(body).unwrap_or_default(),
    }
}

fn times(asked: &[Asked], action: &str) -> usize {
    asked.iter().filter(|form| form.get("Action").is_some_and(|name| name == action)).count()
}

async fn respond(action: &str, answer: Answer) -> Response {
    match answer {
        // Auto Scaling has one element more, which EC2's answers do not mind: they are looked through for what they have.
        Answer::Told(inner) if is_of_groups(action) => xml(
            200,
            &format!("<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"),
        ),
        Answer::Told(inner) => xml(200, &format!("<{action}Response>{inner}</{action}Response>")),
        Answer::Json(text) => ([(header::CONTENT_TYPE, "application/x-amz-json-1.1")], text).into_response(),
        Answer::Ec2(status, code, message) => {
            let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            xml(status, &format!("<Response><Errors>{error}</Errors><RequestID>r-1</RequestID></Response>"))
        }
        Answer::AutoScaling(status, code, message) => {
            let error = format!("<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>");
            let error = format!("<Error>{error}</Error><RequestId>r-1</RequestId>");
            xml(status, &format!("<ErrorResponse>{error}</ErrorResponse>"))
        }
        Answer::Nothing => std::future::pending().await,
    }
}

fn is_of_groups(action: &str) -> bool {
    action.contains("AutoScaling") || matches!(action, "AttachInstances" | "DetachInstances")
}

fn xml(status: u16, text: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "text/xml")], text.to_owned()).into_response()
}
