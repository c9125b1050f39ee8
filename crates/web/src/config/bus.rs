use ::bus::{Bus, BusOptions, ConnectError, QueueType};
use clap::{Args, ValueEnum};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use super::{port, secret};

/// Everything but the unreserved characters of RFC 3986, 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the broker is: in parts, or as one URL.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Message broker")]
pub struct BusArgs {
    /// Host of RabbitMQ
    #[arg(long, env = "RABBITMQ_HOST", default_value = "localhost")]
    pub rabbitmq_host: String,

    /// Port of RabbitMQ
    #[arg(long, env = "RABBITMQ_PORT", default_value = "5672", value_parser = port)]
    pub rabbitmq_port: u16,

    /// User at RabbitMQ
    #[arg(long, env = "RABBITMQ_USER", default_value = "guest")]
    pub rabbitmq_user: String,

    /// Password at RabbitMQ
    #[arg(long, env = "RABBITMQ_PASSWORD", default_value = "guest", hide_env_values = true, value_parser = secret)]
    pub rabbitmq_password: SecretString,

    /// Virtual host at RabbitMQ
    #[arg(long, env = "RABBITMQ_VHOST", default_value = "/")]
    pub rabbitmq_vhost: String,

    /// The broker as one URL, instead of the parts: amqp://…, amqps://… or memory:
    #[arg(long, env = "BUS_URL", hide_env_values = true, value_parser = secret)]
    pub bus_url: Option<SecretString>,

    /// What kind of queue requests wait in: quorum in a cluster of RabbitMQ, where all processes must say the same and no client of the
    /// earlier system declares queues
    #[arg(long, env = "QUEUE_TYPE", value_enum, default_value_t)]
    pub queue_type: QueueKind,

    /// Put before the name of every queue and exchange, so that several systems can share a broker
    #[arg(long, env = "QUEUE_PREFIX", default_value = "")]
    pub queue_prefix: String,
}

/// The kinds of queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum QueueKind {
    /// On one node, as clients of the earlier system declare them.
    #[default]
    Classic,
    /// Copied to several nodes of a cluster.
    Quorum,
}

impl From<QueueKind> for QueueType {
    fn from(kind: QueueKind) -> Self {
        match kind {
            QueueKind::Classic => Self::Classic,
            QueueKind::Quorum => Self::Quorum,
        }
    }
}

impl BusArgs {
    /// `BUS_URL`, or an `amqp` URL made of the parts, with user, password and virtual host percent-encoded
    /// (<https://www.rabbitmq.com/docs/uri-spec>). No URL can carry the virtual hosts `.` and `..`.
    pub fn bus_url(&self) -> SecretString {
        if let Some(url) = &self.bus_url {
            return url.clone();
        }
        let encode = |text| utf8_percent_encode(text, RESERVED);
        let (host, port) = (&self.rabbitmq_host, self.rabbitmq_port);
        let (user, vhost) = (encode(&self.rabbitmq_user), encode(&self.rabbitmq_vhost));
        let password = encode(self.rabbitmq_password.expose_secret());
        SecretString::from(format!("amqp://{user}:{password}@{host}:{port}/{vhost}"))
    }

    /// Starts connecting to the broker as a process of this name.
    ///
    /// # Errors
    /// When `BUS_URL` cannot be understood.
    pub fn connect(&self, client_name: &str) -> Result<Bus, ConnectError> {
        let options = BusOptions {
            client_name: client_name.to_owned(),
            prefix: self.queue_prefix.clone(),
            queues: self.queue_type.into(),
            ..BusOptions::default()
        };
        Bus::connect(&self.bus_url(), options)
    }
}
