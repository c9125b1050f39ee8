//! A Kubernetes cluster in memory, which may be kept in a directory ([`Options::state_dir`]), for the demo and for tests: `docs/simulated-cluster.md`.
//!
//! It speaks the API of Kubernetes 1.36 over HTTPS, and controllers, a scheduler and kubelets keep its objects true. No
//! container runs, but in its place may a program of this process ([`Programs`]). Every answer says so in the header [`SIMULATED_HEADER`].

mod account;
mod admission;
mod annotations;
mod api;
mod auth;
mod clock;
pub mod cloud;
mod controllers;
mod conversion;
mod defaults;
mod faults;
mod http;
mod images;
mod journal;
mod json;
pub mod kinds;
mod kubeconfig;
mod logs;
mod managed;
mod names;
mod object;
mod patch;
mod programs;
mod protobuf;
mod rbac;
mod reviews;
mod schema;
mod seed;
pub mod selector;
mod serve;
mod server;
mod status;
mod store;
mod strategy;
mod table;
mod tls;
mod validation;
mod yaml;

pub use self::account::{Account, CloudOptions};
pub use self::api::{Api, DeleteOptions, Deleted, Preconditions, Propagation, WriteOptions};
pub use self::clock::Clock;
pub use self::controllers::Delays;
pub use self::faults::{Fault, FaultError, FaultPlan, RequestLine};
pub use self::journal::StateError;
pub use self::object::Object;
pub use self::programs::{Programs, Run};
pub use self::seed::{ParseSeedError, Seed};
pub use self::server::{Options, Sim, SimError};
pub use self::status::ApiError;
pub use self::store::{Change, ListQuery, Page, Snapshot};
pub use self::tls::{CertificateError, ClientCertificate};

/// The header, with the value `true`, of every answer that comes from the simulator.
pub const SIMULATED_HEADER: &str = "x-kubesage-simulated";
