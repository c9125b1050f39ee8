//! The calls over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use cloud::{
    CloudChanges, CloudError, CloudReads, EksCluster, Group, GroupName, Instance, InstanceId, Launch, Offer,
    Zone,
};
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::session::Session;

/// Nobody waits for an answer for longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where a simulated account is, and how it is entered.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `https://…` of the simulator.
    pub url: String,
    /// The certificate of its authority, PEM.
    pub ca_pem: String,
    /// The role to assume.
    pub role_arn: String,
    /// The external id that the role asks for.
    pub external_id: String,
    /// How long to wait for an answer; ten seconds when absent.
    pub timeout: Option<Duration>,
}

/// There can be no client.
#[derive(Debug, Error)]
#[error("the simulated cloud cannot be asked")]
pub struct SetupError(#[from] reqwest::Error);

/// The account, for whoever may assume the role. It assumes it when that is needed.
pub struct Simulated {
    http: reqwest::Client,
    settings: Settings,
    session: Mutex<Option<Session>>,
}

impl Simulated {
    /// A client that has not asked anything yet.
    ///
    /// # Errors
    /// [`SetupError`] when the certificate is none.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        // The first one to need it chooses it for the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(settings.ca_pem.as_bytes())?;
        let http = reqwest::Client::builder()
            .tls_certs_only([authority])
            .timeout(settings.timeout.unwrap_or(TIMEOUT))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { http, settings, session: Mutex::default() })
    }

    /// What the session signs with, for tokens of EKS.
    ///
    /// # Errors
    /// [`CloudError`] when the role cannot be assumed.
    pub async fn credentials(&self) -> Result<Credentials, CloudError> {
        Ok(self.session().await?.credentials())
    }

    /// The session, or a new one when there is none or it ends soon.
    async fn session(&self) -> Result<Session, CloudError> {
        let mut session = self.session.lock().await;
        if let Some(good) = session.as_ref().filter(|session| session.is_good()) {
            return Ok(good.clone());
        }
        let role = json!({ "role_arn": self.settings.role_arn, "external_id": self.settings.external_id });
        let granted: Session = match self.post("assume-role", &role, None).await? {
            Answer::Told(granted) => granted,
            Answer::NotKnown => return Err(not_let_in()),
        };
        Ok(session.insert(granted).clone())
    }

    /// Forgets a session that the account does not know, unless there is another already.
    async fn forget(&self, unknown: &Session) {
        let mut session = self.session.lock().await;
        let is_same = |present: &Session| {
            present.session_token.expose_secret() == unknown.session_token.expose_secret()
        };
        if session.as_ref().is_some_and(is_same) {
            *session = None;
        }
    }

    /// One call. Who is not known has done nothing, and comes again with a new session.
    async fn call<T: DeserializeOwned>(&self, call: &str, body: &impl Serialize) -> Result<T, CloudError> {
        for _ in 0..2 {
            let session = self.session().await?;
            match self.post(call, body, Some(&session)).await? {
                Answer::Told(told) => return Ok(told),
                Answer::NotKnown => self.forget(&session).await,
            }
        }
        Err(not_let_in())
    }

    async fn post<T: DeserializeOwned>(
        &self,
        call: &str,
        body: &impl Serialize,
        session: Option<&Session>,
    ) -> Result<Answer<T>, CloudError> {
        let url = format!("{}/simulator/v1/cloud/{call}", self.settings.url.trim_end_matches('/'));
        let mut request = self.http.post(url).json(body);
        if let Some(session) = session {
            request = request.bearer_auth(session.session_token.expose_secret());
        }
        let answer = request.send().await.map_err(|error| no_answer(&error))?;
        let status = answer.status();
        if status == StatusCode::UNAUTHORIZED {
            return Ok(Answer::NotKnown);
        }
        let body = answer.bytes().await.map_err(|error| no_answer(&error))?;
        let strange =
            |_| CloudError::Unknown { message: format!("an answer that nobody understands ({status})") };
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map(Answer::Told).map_err(strange);
        }
        Err(serde_json::from_slice::<CloudError>(&body).unwrap_or_else(strange))
    }
}

/// What came back.
enum Answer<T> {
    Told(T),
    /// The account does not know who asks.
    NotKnown,
}

fn no_answer(error: &reqwest::Error) -> CloudError {
    let message = if error.is_timeout() {
        "no answer came in time"
    } else if error.is_connect() {
        "it cannot be reached"
    } else {
        "the connection was lost"
    };
    CloudError::Unknown { message: message.to_owned() }
}

fn not_let_in() -> CloudError {
    CloudError::Denied { message: "it does not know the session that it has given".to_owned() }
}

#[async_trait]
impl CloudReads for Simulated {
    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, CloudError> {
        self.call("instance", &json!({ "id": id })).await
    }

    async fn instances_tagged(&self, tag: &str) -> Result<Vec<Instance>, CloudError> {
        self.call("instances_tagged", &json!({ "tag": tag })).await
    }

    async fn group(&self, name: &GroupName) -> Result<Option<Group>, CloudError> {
        self.call("group", &json!({ "name": name })).await
    }

    async fn offers(&self, zone: &Zone) -> Result<Vec<Offer>, CloudError> {
        self.call("offers", &json!({ "zone": zone })).await
    }

    async fn eks_cluster(&self, name: &str) -> Result<Option<EksCluster>, CloudError> {
        self.call("eks_cluster", &json!({ "name": name })).await
    }
}

#[async_trait]
impl CloudChanges for Simulated {
    async fn launch(&self, launch: &Launch) -> Result<InstanceId, CloudError> {
        self.call("launch", launch).await
    }

    async fn attach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.call("attach", &json!({ "group": group, "id": id })).await
    }

    async fn detach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.call("detach", &json!({ "group": group, "id": id })).await
    }

    async fn terminate_in_group(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.call("terminate_in_group", &json!({ "id": id })).await
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.call("terminate", &json!({ "id": id })).await
    }
}
