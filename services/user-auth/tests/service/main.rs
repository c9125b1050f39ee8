//! Drives the service over its HTTP port and its queues: on SQLite with the in-process bus, and on PostgreSQL with
//! RabbitMQ.

mod bootstrap;
mod events;
mod faults;
mod harness;
mod keys;
mod users;
mod verification;
