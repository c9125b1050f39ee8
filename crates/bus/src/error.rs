//! What can go wrong on the bus.

use contracts::ErrorCode;
use thiserror::Error;

/// The bus cannot be used as configured.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Neither RabbitMQ nor in-process.
    #[error("BUS_URL must begin with amqp://, amqps:// or memory:")]
    Scheme,
    /// Not a URL; the text holds no secret.
    #[error("BUS_URL is not a valid AMQP URL: {0}")]
    Url(String),
}

/// A message was not put on the broker.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// No connection, the connection was lost before the broker confirmed, or the broker refuses for now.
    #[error("the message broker cannot be reached")]
    Unavailable,
    /// No queue takes the message: nobody has ever served it.
    #[error("nobody serves {queue}")]
    Unroutable {
        /// Where it was sent.
        queue: String,
    },
}

/// A request got no reply.
#[derive(Debug, Error)]
pub enum RequestError {
    /// See [`PublishError`]; also when the connection died while waiting.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The deadline passed.
    #[error("no reply within the deadline")]
    Timeout,
    /// The replica that worked on it is gone.
    #[error("the replica that worked on the request is gone")]
    Lost,
    /// The other side could not work on it at all.
    #[error("the request was rejected: {0}")]
    Rejected(ErrorCode),
    /// Too many requests of this process are waiting already.
    #[error("too many requests are waiting for replies")]
    Overloaded,
    /// The reply is not what was expected.
    #[error("the reply cannot be understood: {0}")]
    Malformed(#[source] serde_json::Error),
    /// The request cannot be written as JSON.
    #[error("the request cannot be written: {0}")]
    Unwritable(#[source] serde_json::Error),
}
