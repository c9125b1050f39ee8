//! Tests of the whole system: four processes, RabbitMQ, PostgreSQL, and a cluster.

mod audit;
mod deadlines;
mod departures;
mod earlier_clients;
mod faults;
mod main_job;
mod secrets;
