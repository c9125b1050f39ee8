//! A way to one server for a program that looks names up and follows redirects by itself: a proxy on this machine that connects to
//! nothing else, and only to addresses that are allowed.

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
use url::Url;

use crate::{Credentials, Limits, lookup::Lookup};

/// Within this the program has to say where it wants to go.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// A request for a way is not longer, in bytes.
const MAX_HEAD: usize = 64 * 1024;
const USER: &str = "kubesage";

/// The only way to a cluster's server. Dropped, there is none any more.
pub struct Tunnel {
    /// The proxy that the program is to use, with a password.
    pub proxy: Url,
    _serving: AbortOnDropHandle<()>,
}

/// Where a tunnel leads, and for whom.
#[derive(Clone)]
struct Way {
    /// As it stands in the URL: with brackets, where it is an IPv6 address.
    host: String,
    port: u16,
    /// Where requests are not tunnelled, because they are plain HTTP.
    is_plain: bool,
    password: SecretString,
    connect: Duration,
    lookup: Lookup,
}

impl Tunnel {
    /// A tunnel to the server of these credentials, for as long as it is kept.
    ///
    /// # Errors
    /// When this machine gives no port.
    pub async fn to(credentials: &Credentials, limits: Limits) -> io::Result<Self> {
        Self::with(credentials, limits.connect, Lookup::by_system(limits.any_address)).await
    }

    async fn with(credentials: &Credentials, connect: Duration, lookup: Lookup) -> io::Result<Self> {
        let server = credentials.server.url();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let proxy = format!("http://{USER}:{password}@127.0.0.1:{}", listener.local_addr()?.port());
        let way = Way {
            host: server.host_str().unwrap_or_default().to_owned(),
            port: server.port_or_known_default().unwrap_or(443),
            is_plain: server.scheme() == "http",
            password: password.into(),
            connect,
            lookup,
        };
        Ok(Self {
            proxy: Url::parse(&proxy).map_err(io::Error::other)?,
            _serving: AbortOnDropHandle::new(tokio::spawn(way.serve(listener))),
        })
    }
}

impl Way {
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
        if let Err(error) = self.connect(&mut near).await {
            let line: String = error.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
            let refusal = format!("HTTP/1.1 502 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            // Who has gone away does not need it.
            let _ = near.write_all(refusal.as_bytes()).await;
        }
    }

    /// Carries a connection to its end, or says why there is none.
    async fn connect(&self, near: &mut TcpStream) -> io::Result<()> {
        let head = timeout(HEAD_WITHIN, read_head(near)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        self.check(&head)?;
        let connecting = async {
            let addresses = self.lookup.addresses(self.host.trim_matches(['[', ']']), self.port).await?;
            TcpStream::connect(addresses.as_slice()).await
        };
        let connected = timeout(self.connect, connecting).await;
        let mut far = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if self.is_plain {
            far.write_all(for_the_server(&head).as_bytes()).await?;
        } else {
            near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        }
        // However it ends, it has ended. All of it goes to the one server, whatever is said.
        let _ = copy_bidirectional(near, &mut far).await;
        Ok(())
    }

    /// What is asked for has to be the one server, by the one who knows the password.
    fn check(&self, head: &str) -> io::Result<()> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head.as_bytes()).map_err(io::Error::other)?;
        let path = request.path.unwrap_or_default();
        let to = format!("{}:{}", self.host, self.port);
        let is_it = if self.is_plain {
            let url = Url::parse(path).ok().filter(|url| url.scheme() == "http");
            url.is_some_and(|url| {
                url.host_str() == Some(&self.host) && url.port_or_known_default() == Some(self.port)
            })
        } else {
            request.method == Some("CONNECT") && path == to
        };
        let expected = format!("{USER}:{}", self.password.expose_secret());
        let expected = format!("Basic {}", BASE64_STANDARD.encode(expected));
        let is_ours = request.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case(AUTHORIZATION) && header.value == expected.as_bytes()
        });
        if is_it && is_ours { Ok(()) } else { Err(io::Error::other("this way does not lead there")) }
    }
}

const AUTHORIZATION: &str = "proxy-authorization";

/// The head of a request, with the empty line at its end.
async fn read_head(near: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(io::Error::other("the request is too long"));
        }
        // What comes after the head is the server's.
        head.push(near.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// The head without what was for the proxy alone. The connection ends with the answer, so that no other request comes on it, whose
/// head would not be seen here.
fn for_the_server(head: &str) -> String {
    let is_kept = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().trim();
        ![AUTHORIZATION, "proxy-connection", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    let kept: String = head.split_inclusive("\r\n").filter(is_kept).collect();
    kept.replacen("\r\n", "\r\nConnection: close\r\n", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Allowed, ServerUrl, Trust};

    async fn tunnel(server: &str, lookup: Lookup) -> Tunnel {
        let server = ServerUrl::parse(server, Allowed { http: true, any_address: true }).unwrap();
        let credentials =
            Credentials { server, server_name: None, token: None, identity: None, trust: Trust::Nobody };
        Tunnel::with(&credentials, Duration::from_secs(1), lookup).await.unwrap()
    }

    /// The first line of the answer.
    async fn answer(tunnel: &Tunnel, request: &str, password: Option<&str>) -> String {
        let proxy = &tunnel.proxy;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port().unwrap())).await.unwrap();
        let password = password.or(proxy.password()).unwrap_or_default();
        let authorization = BASE64_STANDARD.encode(format!("{USER}:{password}"));
        let head =
            format!("{request} HTTP/1.1\r\nHost: h\r\nProxy-Authorization: Basic {authorization}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn it_leads_to_its_server_alone_and_only_for_its_user() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1"] {
            let to = format!("{host}:{port}");
            let tunnel = tunnel(&format!("https://{to}"), Lookup::by_system(false)).await;
            assert_eq!(answer(&tunnel, &format!("CONNECT {to}"), None).await, "HTTP/1.1 200");
            for (request, password) in [
                (format!("CONNECT {to}"), Some("guessed")),
                ("CONNECT localhost:1".to_owned(), None),
                ("CONNECT 169.254.169.254:80".to_owned(), None),
                (format!("GET http://{to}/"), None),
            ] {
                assert_eq!(answer(&tunnel, &request, password).await, "HTTP/1.1 502", "{request}");
            }
        }
    }

    #[tokio::test]
    async fn plain_requests_go_to_their_server_without_the_password() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let tunnel = tunnel(&format!("http://{to}/path"), Lookup::by_system(false)).await;
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_head(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 \r\n\r\n").await.unwrap();
            head
        };
        let request = format!("GET http://{to}/path/version");
        let (head, answered) = tokio::join!(serving, answer(&tunnel, &request, None));
        assert_eq!(answered, "HTTP/1.1 204");
        assert!(head.starts_with(&request) && !head.to_lowercase().contains(AUTHORIZATION), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        for elsewhere in ["GET http://169.254.169.254/latest", "CONNECT 127.0.0.1:1", "GET /version"] {
            assert_eq!(answer(&tunnel, elsewhere, None).await, "HTTP/1.1 502", "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_refused_is_not_connected_to() {
        let refused = tunnel("https://169.254.169.254", Lookup::by_system(false)).await;
        assert_eq!(answer(&refused, "CONNECT 169.254.169.254:443", None).await, "HTTP/1.1 502");
        let refused = tunnel("https://cluster.example", Lookup::everything_is_metadata()).await;
        assert_eq!(answer(&refused, "CONNECT cluster.example:443", None).await, "HTTP/1.1 502");
    }
}
