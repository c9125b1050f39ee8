//! The simulator as its users see it: over HTTP, with the real Kubernetes client, and through its store.

mod access;
mod annotations;
mod bodies;
mod bootstrap;
mod common;
mod contract;
mod escalation;
mod lists;
mod managers;
mod patches;
mod properties;
mod queries;
mod reviews;
mod rules;
mod seeds;
mod services;
mod simulator;
mod subresources;
mod tls;
mod tokens;
mod validation;
mod versions;
mod watches;
mod writes;
