//! Tests of the whole system: four processes, RabbitMQ, PostgreSQL, and a simulated cluster.

mod earlier_clients;
mod faults;
mod main_job;
mod secrets;
