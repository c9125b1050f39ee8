//! `/api/v1/agents/connect`: where agents open their sessions.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use contracts::{ErrorCode, Token, TokenKind};
use store::StoreError;
use utoipa_axum::router::OpenApiRouter;
use web::Problem;

use crate::{
    session::{Sessions, upgrade},
    store::{AgentIdentity, Database, Incident, Refusal, Vitals},
};

const AGENT_KEY_HEADER: &str = "x-api-key";
/// The second is what earlier agents send; some proxies drop it for its underscore.
const AGENT_ID_HEADERS: [&str; 2] = ["x-agent-id", "agent_id"];

/// After so long, too many agents may be fewer.
const FULL: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Connect {
    sessions: Arc<Sessions>,
    database: Database,
}

pub(super) fn routes(sessions: Arc<Sessions>, database: Database) -> OpenApiRouter {
    let state = Connect { sessions, database };
    // Not in the API document, which knows no WebSockets: the AsyncAPI document has it.
    OpenApiRouter::new().route("/api/v1/agents/connect", get(connect)).with_state(state)
}

/// Checks the key before the upgrade, so that a refused agent costs no session; and the handshake before the key, so that
/// only an agent makes use of one.
async fn connect(State(state): State<Connect>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let (key, agent_id) = credentials(&parts.headers)?;
    let upgrade = match upgrade(&mut parts) {
        Ok(upgrade) => upgrade,
        // RFC 6455, section 4.2.2: a refusal names the version that is spoken here.
        Err(problem) => return Ok(([(header::SEC_WEBSOCKET_VERSION, "13")], problem).into_response()),
    };
    let place = state.sessions.place().ok_or_else(|| {
        Problem::new(ErrorCode::Unavailable, "too many agents are connected here; try again")
            .retry_after(FULL)
    })?;
    let turn = state.sessions.turn().await.ok_or_else(|| {
        Problem::new(ErrorCode::Unavailable, "too many agents connect at once; try again").retry_after(FULL)
    })?;
    let identity = admit(&state, &key, &agent_id).await?;
    let (answer, socket) = upgrade.accept();
    let sessions = Arc::clone(&state.sessions);
    state.sessions.tasks.spawn(async move {
        match socket.await {
            // A task of its own, so that nothing of the upgrade is kept for as long as the session.
            Ok(socket) => drop(sessions.tasks.clone().spawn(sessions.run(socket, identity, place, turn))),
            Err(error) => tracing::debug!(%error, "an agent went away during the upgrade"),
        }
    });
    Ok(answer)
}

fn credentials(headers: &HeaderMap) -> Result<(Token, String), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let key = text(AGENT_KEY_HEADER)
        .ok_or_else(|| Problem::unauthenticated("send the agent's key in the header X-API-Key"))?;
    let key = Token::parse(TokenKind::AgentKey, key)
        .map_err(|error| Problem::unauthenticated(error.to_string()))?;
    let agent_id = AGENT_ID_HEADERS.iter().find_map(|name| text(name));
    let agent_id =
        agent_id.ok_or_else(|| Problem::bad_request("send the agent's id in the header X-Agent-Id"))?;
    Ok((key, agent_id.to_owned()))
}

async fn admit(state: &Connect, key: &Token, agent_id: &str) -> Result<AgentIdentity, Problem> {
    let now = state.database.now();
    state.database.admit(key, agent_id, now).await.map_err(|refusal| {
        metrics::counter!("agent_refused_total").increment(1);
        if let Some(cluster_id) = refusal.cluster_id() {
            let refused = Incident { at: now, why: refusal.to_string() };
            let learnt = Vitals { refused: Some(refused), ..Vitals::default() };
            state.sessions.recorder.learn(cluster_id, learnt);
        }
        match refusal {
            Refusal::Store(StoreError::Unavailable(cause)) => {
                Problem::unavailable(&cause, "the agent's key cannot be checked right now; try again")
            }
            Refusal::Store(other) => Problem::internal(&other),
            known => {
                tracing::info!(agent = agent_id, reason = %known, "agent refused");
                Problem::unauthenticated(known.to_string())
            }
        }
    })
}
