//! `GET /api/v3.0/cluster/health`, as earlier systems have it. Orchestrators ask `/livez` and `/readyz`.

use contracts::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::Json;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(health))
}

#[derive(Serialize, ToSchema)]
struct Health {
    status: &'static str,
    service: &'static str,
    timestamp: Timestamp,
    version: &'static str,
}

/// Whether the service runs
#[utoipa::path(get, path = "/api/v3.0/cluster/health", tag = "health", security(()),
    responses((status = 200, body = Health)))]
async fn health() -> Json<Health> {
    Json(Health {
        status: "healthy",
        service: "cluster_service",
        timestamp: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION"),
    })
}
