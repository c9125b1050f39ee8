//! What the bus promises, on both brokers.

mod direct;
mod events;
mod failures;
mod parts;
mod replicas;
mod requests;
mod world;
