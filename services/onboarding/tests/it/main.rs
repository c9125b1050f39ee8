//! Drives the service over its HTTP port, its queues and the WebSocket of agents that the tests play: on SQLite with the
//! in-process bus, and on PostgreSQL with RabbitMQ.

mod access;
mod admission;
mod agent;
mod alerts;
mod aws_role;
mod clusters;
mod costs;
mod deadlines;
mod events;
mod faults;
mod frames;
mod goodbyes;
mod install;
mod keys;
mod lifecycle;
mod neighbours;
mod paced;
mod parts;
mod properties;
mod queries;
mod replicas;
mod sessions;
mod sharing;
mod world;
