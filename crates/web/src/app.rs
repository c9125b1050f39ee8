//! A service's routes, completed by what all services share.

use std::any::Any;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn,
    response::{IntoResponse, Response},
};
use contracts::ErrorCode;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{Problem, Readiness, health, metrics, openapi, panic, request_id};

/// The largest body that is read unless a service says otherwise, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// Builds the router of a service.
///
/// Adds `/livez`, `/readyz`, `/metrics`, `/openapi.json` and `/docs`; request ids, traces and metrics; problems for
/// unknown paths, wrong methods and panics; and the limit of a body's size.
pub struct App {
    title: String,
    version: String,
    routes: OpenApiRouter,
    readiness: Readiness,
    body_limit: usize,
}

impl App {
    /// An application without routes of its own; title and version stand in its API document.
    pub fn new(title: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            version: version.into(),
            routes: OpenApiRouter::new(),
            readiness: Readiness::new(),
            body_limit: BODY_LIMIT,
        }
    }

    /// Adds routes; may be called for each resource.
    #[must_use]
    pub fn routes(mut self, routes: OpenApiRouter) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// What `/readyz` checks.
    #[must_use]
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// The largest body that is read, in bytes; more is refused with 413. Without this call 1 MiB.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// The API document, as `/openapi.json` serves it.
    pub fn openapi(&self) -> OpenApi {
        openapi::complete(self.routes.get_openapi().clone(), &self.title, &self.version)
    }

    /// The finished router. Installs the process's metrics recorder.
    pub fn into_router(self) -> Router {
        metrics::install();
        let document = self.openapi();
        // The first is the outermost: what answers in place of a handler stands inside what names and counts the answer. They
        // are one layer to axum, because each of its layers is cloned with all that is inside it for every request.
        let shared = (
            from_fn(request_id::identify),
            CatchPanicLayer::custom(panicked),
            DefaultBodyLimit::max(self.body_limit),
        );
        Router::from(self.routes)
            .merge(health::routes(self.readiness))
            .merge(metrics::routes())
            .merge(openapi::routes(document))
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .layer(shared)
    }
}

async fn unknown_path() -> Problem {
    Problem::not_found("there is nothing at this path")
}

async fn wrong_method() -> Problem {
    Problem::new(ErrorCode::MethodNotAllowed, "this path does not take that method; see the Allow header")
}

/// Logs the panic's message and tells the caller nothing of it.
#[expect(clippy::needless_pass_by_value, reason = "the signature that tower-http calls")]
fn panicked(payload: Box<dyn Any + Send>) -> Response {
    tracing::error!(panic = panic::message(payload.as_ref()), "request handler panicked");
    Problem::concealed().into_response()
}
