//! The RabbitMQ and the PostgreSQL that the tests need: found, or brought up.

mod amqp;
mod connection;
mod postgres;
mod provision;

use std::{collections::BTreeMap, env};

use anyhow::{Context, bail};
use url::Url;

/// Variables for the tests, and the URLs that they hold.
pub(crate) type Urls = BTreeMap<&'static str, String>;

/// A kind of server: where it is looked for, and how it is brought up.
struct Server {
    name: &'static str,
    /// The variable by which a person, or this program, tells the tests where it is.
    variable: &'static str,
    /// Tried in this order when the variable is not set.
    usual: &'static [&'static str],
    /// Speaks the protocol up to the point where the server has let the user in.
    probe: fn(&Url) -> anyhow::Result<()>,
    compose: Compose,
    debian: Debian,
}

/// The server in `xtask/compose.yml`.
struct Compose {
    service: &'static str,
    url: &'static str,
}

/// The server as a package of Debian or Ubuntu.
struct Debian {
    package: &'static str,
    service: &'static str,
    /// Where a fresh package lets nobody in.
    own_user: Option<OwnUser>,
}

/// A user made for the tests.
struct OwnUser {
    /// Arguments of `runuser`; harmless when repeated.
    make: &'static [&'static str],
    url: &'static str,
}

const RABBITMQ: Server = Server {
    name: "RabbitMQ",
    variable: "TEST_AMQP_URL",
    usual: &["amqp://guest:guest@127.0.0.1:5672/%2f"],
    probe: amqp::probe,
    compose: Compose { service: "rabbitmq", url: "amqp://guest:guest@127.0.0.1:45672/%2f" },
    debian: Debian { package: "rabbitmq-server", service: "rabbitmq-server", own_user: None },
};

const POSTGRESQL: Server = Server {
    name: "PostgreSQL",
    variable: "TEST_DATABASE_URL",
    usual: &["postgres://postgres@127.0.0.1:5432/postgres", "postgres://test@127.0.0.1:5432/test"],
    probe: postgres::probe,
    compose: Compose { service: "postgres", url: "postgres://postgres@127.0.0.1:45432/postgres" },
    debian: Debian {
        package: "postgresql",
        service: "postgresql",
        own_user: Some(OwnUser {
            make: &["-u", "postgres", "--", "psql", "--command", MAKE_ROLE],
            url: "postgres://kubesage_test:kubesage_test@127.0.0.1:5432/postgres",
        }),
    },
};

/// A role that may make databases and nothing else; the server of a fresh package listens on localhost only.
const MAKE_ROLE: &str = "DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'kubesage_test') THEN
        CREATE ROLE kubesage_test LOGIN CREATEDB PASSWORD 'kubesage_test';
    END IF;
END $$";

/// Makes sure that both servers answer.
///
/// # Errors
/// Says which server is missing, what was tried and what can be done.
pub(crate) fn ensure() -> anyhow::Result<Urls> {
    [RABBITMQ, POSTGRESQL].iter().map(|server| Ok((server.variable, server.ensure()?))).collect()
}

impl Server {
    fn ensure(&self) -> anyhow::Result<String> {
        if let Ok(url) = env::var(self.variable) {
            self.answers(&url)
                .with_context(|| format!("{} names no {} that can be used", self.variable, self.name))?;
            println!("{}: as {} says", self.name, self.variable);
            return Ok(url);
        }
        let mut tried = match self.find() {
            Ok(url) => {
                println!("{}: {url}", self.name);
                return Ok(url);
            }
            Err(problems) => vec![problems],
        };
        for (place, bring_up) in provision::WAYS {
            match bring_up(self) {
                Ok(url) => {
                    println!("{}: {url}, by {place}", self.name);
                    return Ok(url);
                }
                Err(error) => tried.push(format!("  {place}: {error:#}")),
            }
        }
        bail!(
            "the tests need a {}, and there is none:\n{}\nSet {} to the URL of one, or start Docker.",
            self.name,
            tried.join("\n"),
            self.variable
        )
    }

    /// The first of the usual places at which it answers, else what is wrong with each.
    fn find(&self) -> Result<String, String> {
        let mut problems = Vec::new();
        for &url in self.usual {
            match self.answers(url) {
                Ok(()) => return Ok(url.to_owned()),
                Err(error) => problems.push(format!("  {url}: {error:#}")),
            }
        }
        Err(problems.join("\n"))
    }

    /// Whether it answers at this URL and lets the URL's user in.
    fn answers(&self, url: &str) -> anyhow::Result<()> {
        (self.probe)(&url.parse().context("not a URL")?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn where_nobody_listens_nothing_answers() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        for (server, scheme) in [(RABBITMQ, "amqp"), (POSTGRESQL, "postgres")] {
            let error = server.answers(&format!("{scheme}://user@127.0.0.1:{port}/")).unwrap_err();
            assert!(format!("{error:#}").contains("connect"), "{error:#}");
        }
    }

    #[test]
    fn every_url_in_the_tables_is_one() {
        for server in [RABBITMQ, POSTGRESQL] {
            let own = server.debian.own_user.map(|own| own.url);
            for url in server.usual.iter().copied().chain([server.compose.url]).chain(own) {
                let url: Url = url.parse().unwrap();
                assert_eq!(url.host_str(), Some("127.0.0.1"));
                assert!(url.port().is_some());
            }
        }
    }
}
