//! The HTTP kit of every service: one way to answer, to refuse, to be watched, to be configured and to stop.
//!
//! A service hands its routes to an [`App`], which adds what all services share (health, metrics, API documents,
//! request ids, problems for every error), and gives the finished router to a [`Server`] that runs as a critical
//! task of a [`Shutdown`].

pub mod auth;
pub mod config;
pub mod health;
pub mod in_flight;
pub mod metrics;
pub mod process;
mod rate_limit;
pub mod telemetry;

mod app;
mod error_chain;
mod extract;
mod openapi;
mod panic;
mod problem;
mod request_id;
mod server;
mod shutdown;
mod tls;

pub use app::App;
pub use auth::Caller;
pub use error_chain::error_chain;
pub use extract::{Json, Path, Query};
pub use health::Readiness;
pub use openapi::{API_KEY_HEADER, API_KEY_SCHEME};
pub use problem::{FieldError, Problem, ProblemDocument};
pub use rate_limit::RateLimit;
pub use request_id::{Arrival, RequestId};
pub use server::{ServeError, Server, ServerConfig};
pub use shutdown::{Outcome, Shutdown};
pub use tls::{TlsError, TlsFiles};
