//! Dialling home: TCP, TLS, the WebSocket's handshake, `hello` and its answer.

use std::time::Duration;

use contracts::{
    agent::{Hello, PROTOCOL, RefusalCode, Refused, ServerFrame, Welcome},
    query::Command,
};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;
use tokio_tungstenite::{
    Connector, client_async_tls_with_config,
    tungstenite::{self, Message, client::IntoClientRequest, handshake::client},
};

use super::{
    End, Relay,
    socket::{self, Socket},
};

/// What a server says about a refused connection is logged, so it is cut.
const MAX_REASON_CHARS: usize = 300;
/// How long `hello` waits for what the API server says of itself.
const VERSION_PATIENCE: Duration = Duration::from_secs(3);

/// A session that was just opened.
pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) welcome: Welcome,
}

/// Opens a session; `moving` when it takes over from one that is still open.
pub(super) async fn open(relay: &Relay, moving: bool) -> Result<Opened, End> {
    let timing = &relay.config.timing;
    // Before dialling: an API server that is slow to answer must not let the relay wait for `hello`.
    let hello = hello(relay, moving).await;
    let dialling = timeout(timing.connect, dial(relay)).await;
    let mut socket = dialling.map_err(|_| lost("the relay did not answer in time"))??;
    let greeting = timeout(timing.welcome, greet(&mut socket, &hello)).await;
    let welcome = greeting.map_err(|_| lost("the relay did not answer hello in time"))??;
    relay.process.opened(welcome.epoch);
    Ok(Opened { socket, welcome })
}

async fn dial(relay: &Relay) -> Result<Socket, End> {
    let request = request(relay).map_err(|error| End::Lost(error.to_string()))?;
    let connector = relay.tls.clone().map_or(Connector::Plain, Connector::Rustls);
    let config = &relay.config;
    let connecting = config.proxy.connect(&config.endpoint).await;
    let stream = connecting.map_err(|error| End::Lost(format!("cannot connect: {error}")))?;
    match client_async_tls_with_config(request, stream, Some(socket::limits()), Some(connector)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(turned_away(&response)),
        Err(error) => Err(End::Lost(error.to_string())),
    }
}

fn request(relay: &Relay) -> Result<client::Request, tungstenite::Error> {
    let config = &relay.config;
    let mut request = config.endpoint.as_str().into_client_request()?;
    let agent_id = HeaderValue::from_str(&config.agent_id)?;
    let headers = request.headers_mut();
    headers.insert("x-api-key", config.key_header());
    headers.insert("x-agent-id", agent_id.clone());
    // What servers of the earlier system read.
    headers.insert("agent_id", agent_id);
    headers.insert(
        http::header::USER_AGENT,
        HeaderValue::from_static(concat!("kubesage-agent/", env!("CARGO_PKG_VERSION"))),
    );
    Ok(request)
}

/// An HTTP answer in place of a WebSocket.
fn turned_away(response: &client::Response) -> End {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let body = response.body().as_deref().unwrap_or_default();
    let detail = serde_json::from_slice::<Problem>(body).map(|problem| problem.detail).unwrap_or_default();
    let status = response.status();
    let reason = cut(&format!("the relay answered {status} {detail}"));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => End::Rejected(reason),
        _ => End::Lost(reason),
    }
}

async fn hello(relay: &Relay, moving: bool) -> Hello {
    // With each session, because the cluster may have been upgraded since. An API server that does not answer is
    // no reason to stay silent.
    let asked = timeout(VERSION_PATIENCE, relay.cluster.server().refresh_identity()).await;
    let identity = asked.ok().and_then(Result::ok);
    let simulated = identity.as_ref().is_some_and(|identity| identity.simulated);
    let commands = Command::ALL.iter().map(Command::as_str);
    Hello {
        protocol: PROTOCOL,
        agent_id: relay.config.agent_id.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        kubernetes_version: identity.and_then(|identity| identity.version),
        cluster_name: relay.config.cluster_name.clone(),
        capabilities: commands.map(str::to_owned).collect(),
        simulated,
        instance: Some(relay.process.instance),
        last_epoch: relay.process.last_epoch(),
        moving,
    }
}

async fn greet(socket: &mut Socket, hello: &Hello) -> Result<Welcome, End> {
    let hello = socket::text(hello).map_err(|error| End::Lost(error.to_string()))?;
    socket.send(hello).await.map_err(|error| End::Lost(error.to_string()))?;
    loop {
        let message = socket.next().await.ok_or_else(|| lost("the relay closed before its welcome"))?;
        let text = match message.map_err(|error| End::Lost(error.to_string()))? {
            Message::Text(text) => text,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return Err(lost("the relay closed before its welcome")),
            Message::Binary(_) | Message::Frame(_) => return Err(lost("the relay did not answer hello")),
        };
        return match ServerFrame::parse(&text) {
            Ok(ServerFrame::Welcome(welcome)) => Ok(welcome),
            Ok(ServerFrame::Refused(refused)) => Err(refusal(&refused)),
            Ok(_) => Err(lost("the relay did not answer hello")),
            Err(error) => Err(End::Lost(error.to_string())),
        };
    }
}

/// What a `refused` frame means for the next attempt.
pub(super) fn refusal(refused: &Refused) -> End {
    let reason = cut(&format!("refused ({:?}): {}", refused.code, refused.detail));
    match refused.code {
        // Whatever the server says of trying again: two copies of an agent would replace each other for ever.
        RefusalCode::Replaced => End::Replaced(reason),
        _ if refused.retry => End::Lost(reason),
        _ => End::Rejected(reason),
    }
}

fn lost(reason: &str) -> End {
    End::Lost(reason.to_owned())
}

fn cut(reason: &str) -> String {
    reason.chars().take(MAX_REASON_CHARS).collect()
}
