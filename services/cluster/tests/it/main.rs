//! Drives the service over its HTTP port, on both brokers, with an onboarding played on the bus.

mod access;
mod answers;
mod cut;
mod departures;
mod documents;
mod failures;
mod inputs;
mod onboarding;
mod stored;
mod world;
