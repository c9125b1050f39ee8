//! A way to one server for a program that looks names up by itself: a proxy on this machine that connects to nothing else, and only
//! to addresses that are allowed.

use std::{io, net::Ipv4Addr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use rand::distr::{Alphanumeric, SampleString};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use crate::{Credentials, Limits, lookup::Lookup};

/// Within this the program has to say where it wants to go.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// A request for a tunnel is not longer, in bytes.
const MAX_HEAD: usize = 8 * 1024;
const USER: &str = "kubesage";

/// What a program is to be told, so that it reaches a cluster. Dropped, it reaches it no more.
pub struct Route {
    /// The URL of the server.
    pub server: Url,
    /// The proxy by which it is reached, with a password; `None`: it is reached directly.
    pub proxy: Option<Url>,
    _tunnel: Option<AbortOnDropHandle<()>>,
}

/// Where a tunnel leads, and for whom.
#[derive(Clone)]
struct Tunnel {
    host: String,
    port: u16,
    password: SecretString,
    limits: Limits,
}

impl Route {
    /// Finds the way to the server of these credentials. Addresses were checked when the URL was read; a name is looked up for each
    /// connection, by the tunnel, and without TLS once, because such requests are not tunnelled.
    ///
    /// # Errors
    /// When no tunnel can be made, or the server's name cannot be looked up.
    pub async fn to(credentials: &Credentials, limits: Limits) -> io::Result<Self> {
        let mut server = credentials.server.url().clone();
        let Some(Host::Domain(host)) = server.host().map(|host| host.to_owned()) else {
            return Ok(Self { server, proxy: None, _tunnel: None });
        };
        let port = server.port_or_known_default().unwrap_or(443);
        let lookup = Lookup { any_address: limits.any_address };
        if server.scheme() == "http" {
            let addresses = lookup.addresses(&host, port).await?;
            let first = addresses.first().ok_or(io::ErrorKind::NotFound)?;
            server.set_ip_host(first.ip()).map_err(|()| io::ErrorKind::InvalidInput)?;
            return Ok(Self { server, proxy: None, _tunnel: None });
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let proxy = format!("http://{USER}:{password}@127.0.0.1:{}", listener.local_addr()?.port());
        let proxy = Url::parse(&proxy).map_err(io::Error::other)?;
        let tunnel = Tunnel { host, port, password: password.into(), limits };
        let serving = AbortOnDropHandle::new(tokio::spawn(tunnel.serve(listener)));
        Ok(Self { server, proxy: Some(proxy), _tunnel: Some(serving) })
    }
}

impl Tunnel {
    async fn serve(self, listener: TcpListener) {
        // They end with this task.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(self.clone().carry(stream))),
                    Err(error) => {
                        tracing::warn!(%error, "a tunnel to a cluster cannot be accepted");
                        return;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn carry(self, mut near: TcpStream) {
        let refusal = match self.connect(&mut near).await {
            Ok(mut far) => {
                if near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                    // However it ends, it has ended.
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }
                return;
            }
            Err(error) => error.to_string(),
        };
        let line: String = refusal.chars().filter(|c| !c.is_control()).take(200).collect();
        let _ = near.write_all(format!("HTTP/1.1 502 {line}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
    }

    async fn connect(&self, near: &mut TcpStream) -> io::Result<TcpStream> {
        timeout(HEAD_WITHIN, self.asked(near)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let lookup = Lookup { any_address: self.limits.any_address };
        let addresses = lookup.addresses(&self.host, self.port).await?;
        let connected = timeout(self.limits.connect, TcpStream::connect(addresses.as_slice())).await;
        connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Reads what is asked for, which has to be the one server, by the one who knows the password.
    async fn asked(&self, near: &mut TcpStream) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MAX_HEAD {
                return Err(io::Error::other("the request is too long"));
            }
            // What comes after the head is the server's.
            head.push(near.read_u8().await?);
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let read = request.parse(&head).map_err(io::Error::other)?;
        let to = format!("{}:{}", self.host, self.port);
        let is_it = read.is_complete() && request.method == Some("CONNECT") && request.path == Some(&to);
        let expected = format!("{USER}:{}", self.password.expose_secret());
        let expected = format!("Basic {}", BASE64_STANDARD.encode(expected));
        let is_ours = request.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("proxy-authorization") && header.value == expected.as_bytes()
        });
        if is_it && is_ours { Ok(()) } else { Err(io::Error::other("this tunnel does not lead there")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allowed, ServerUrl, Trust};

    fn limits(any_address: bool) -> Limits {
        let second = Duration::from_secs(1);
        Limits { connect: second, answer: second, at_once: 1, any_address }
    }

    fn credentials(server: &str) -> Credentials {
        let server = ServerUrl::parse(server, Allowed { http: true, any_address: true }).unwrap();
        Credentials { server, server_name: None, token: None, identity: None, trust: Trust::Nobody }
    }

    async fn answer(route: &Route, to: &str, password: &str) -> String {
        let port = route.proxy.as_ref().unwrap().port().unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let authorization = BASE64_STANDARD.encode(format!("{USER}:{password}"));
        let head = format!(
            "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {authorization}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_tunnel_leads_to_its_server_alone_and_only_for_its_user() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = format!("localhost:{}", server.local_addr().unwrap().port());
        let route = Route::to(&credentials(&format!("https://{to}")), limits(false)).await.unwrap();
        let password = route.proxy.as_ref().unwrap().password().unwrap().to_owned();
        assert_eq!(answer(&route, &to, &password).await, "HTTP/1.1 200");
        assert_eq!(answer(&route, &to, "guessed").await, "HTTP/1.1 502");
        assert_eq!(answer(&route, "localhost:1", &password).await, "HTTP/1.1 502");
        assert_eq!(answer(&route, "169.254.169.254:80", &password).await, "HTTP/1.1 502");
    }

    #[tokio::test]
    async fn an_address_needs_no_tunnel_and_a_name_without_tls_becomes_one() {
        let route = Route::to(&credentials("https://127.0.0.1:6443"), limits(false)).await.unwrap();
        assert!(route.proxy.is_none());
        let route = Route::to(&credentials("http://localhost:8080/path"), limits(false)).await.unwrap();
        assert!(route.proxy.is_none());
        assert!(matches!(route.server.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))), "{}", route.server);
    }
}
