//! When a request is to be answered by, whatever hangs.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use contracts::ErrorCode;
use tokio::time::{Instant, timeout_at};
use utoipa_axum::router::OpenApiRouter;
use web::{Arrival, Problem};

/// What knows better why there is no answer is given so much longer to say it.
const MARGIN: Duration = Duration::from_millis(50);

/// When the caller stops waiting: a request extension.
#[derive(Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

/// Answers each request of these routes within `patience` of its arrival, if need be with this error.
pub(super) fn within(routes: OpenApiRouter, patience: Duration, otherwise: ErrorCode) -> OpenApiRouter {
    routes.layer(from_fn_with_state((patience, otherwise), enforce))
}

async fn enforce(
    State((patience, otherwise)): State<(Duration, ErrorCode)>,
    mut request: Request,
    next: Next,
) -> Response {
    let arrived = request.extensions().get::<Arrival>().map_or_else(Instant::now, |arrival| arrival.0);
    let deadline = arrived + patience;
    request.extensions_mut().insert(Deadline(deadline));
    timeout_at(deadline + MARGIN, next.run(request)).await.unwrap_or_else(|_| {
        Problem::new(otherwise, "the request could not be answered in time").into_response()
    })
}
