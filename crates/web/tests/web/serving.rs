//! The server itself: ports, certificates, slow callers, upgrades, stopping.

use std::{convert::Infallible, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use axum::{Router, body::Body, extract::ConnectInfo, extract::Request, response::Response, routing::get};
use futures_util::stream;
use hyper_util::rt::TokioIo;
use testkit::{Metrics, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, split},
    net::TcpStream,
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use web::{App, ServeError, Server, ServerConfig, TlsFiles};

use crate::common::start;

fn local() -> ServerConfig {
    ServerConfig::new("127.0.0.1", 0)
}

fn app(routes: Router) -> Router {
    App::new("test", "1").routes(routes.into()).into_router()
}

/// Writes a certificate for `localhost` and its key; returns the certificate for the client to trust.
fn write_certificate(directory: &Path) -> Result<(TlsFiles, reqwest::Certificate)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let files = TlsFiles { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem())?;
    std::fs::write(&files.key, made.signing_key.serialize_pem())?;
    Ok((files, reqwest::Certificate::from_pem(made.cert.pem().as_bytes())?))
}

/// What it says about a server that cannot start.
async fn refusal(config: &ServerConfig) -> Result<String> {
    match Server::bind(config).await {
        Ok(server) => bail!("listens on {}", server.local_addr()),
        Err(error) => Ok(error.to_string()),
    }
}

#[tokio::test]
async fn serves_https() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (files, certificate) = write_certificate(directory.path())?;
    let server = Server::bind(&ServerConfig { tls: Some(files), ..local() }).await?;
    let port = server.local_addr().port();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(server.run(app(Router::new()), stop));

    crate::common::client()?;
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build()?;
    let response = client.get(format!("https://localhost:{port}/livez")).send().await?;
    assert_eq!(response.status(), 200);
    let plain = client.get(format!("http://localhost:{port}/livez")).send().await;
    ensure!(plain.is_err(), "plain HTTP on a TLS port");
    Ok(())
}

#[tokio::test]
async fn says_that_the_port_is_in_use() -> Result<()> {
    let first = Server::bind(&local()).await?;
    let port = first.local_addr().port();
    let message = refusal(&ServerConfig::new("127.0.0.1", port)).await?;
    assert_eq!(
        message,
        format!("port {port} on 127.0.0.1 is in use: stop what listens there or set PORT to another")
    );
    Ok(())
}

#[tokio::test]
async fn says_what_is_wrong_with_a_certificate() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (files, _) = write_certificate(directory.path())?;
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "not PEM")?;
    let other = tempfile::tempdir()?;
    let (others, _) = write_certificate(other.path())?;
    for (tls, expected) in [
        (
            TlsFiles { certificate: "/nowhere/cert.pem".into(), ..files.clone() },
            "SSL_CERTFILE /nowhere/cert.pem: cannot be read",
        ),
        (TlsFiles { certificate: empty.clone(), ..files.clone() }, "holds no PEM block"),
        (
            TlsFiles { key: "/nowhere/key.pem".into(), ..files.clone() },
            "SSL_KEYFILE /nowhere/key.pem: cannot be read",
        ),
        (TlsFiles { key: empty, ..files.clone() }, "holds no PEM block"),
        (TlsFiles { key: others.key, ..files }, "SSL_CERTFILE and SSL_KEYFILE cannot be used together"),
    ] {
        let message = refusal(&ServerConfig { tls: Some(tls), ..local() }).await?;
        ensure!(message.contains(expected) && !message.contains('\n'), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn handlers_learn_the_peer() -> Result<()> {
    let routes = Router::new()
        .route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()));
    assert_eq!(start(app(routes)).await?.get("/").await?.text().await?, "127.0.0.1");
    Ok(())
}

#[tokio::test]
async fn a_caller_that_sends_no_head_is_dropped() -> Result<()> {
    let server = Server::bind(&ServerConfig { head_timeout: Duration::from_millis(50), ..local() }).await?;
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(server.run(app(Router::new()), stop));
    for sent in ["", "GET /livez HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(sent.as_bytes()).await?;
        // Ends only when the server closes the connection; hyper alone would take 30 s.
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await??;
    }
    Ok(())
}

#[tokio::test]
async fn further_connections_wait_for_a_place() -> Result<()> {
    let metrics = Metrics::of_this_thread();
    let server = Server::bind(&ServerConfig { max_connections: 1, ..local() }).await?;
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(server.run(app(Router::new()), stop));
    let request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut first = TcpStream::connect(address).await?;
    first.write_all(request).await?;
    assert!(first.read_u8().await.is_ok());
    let mut second = TcpStream::connect(address).await?;
    second.write_all(request).await?;
    let waiting = tokio::time::timeout(Duration::from_millis(200), second.read_u8()).await;
    assert!(waiting.is_err(), "the first one has the only place");
    assert_eq!(metrics.value("http_connections")?, 1.0);
    drop(first);
    tokio::time::timeout(Duration::from_secs(10), second.read_u8()).await??;
    Ok(())
}

#[tokio::test]
async fn a_caller_that_reads_nothing_is_dropped() -> Result<()> {
    let metrics = Metrics::of_this_thread();
    let server = Server::bind(&ServerConfig { write_timeout: Duration::from_millis(50), ..local() }).await?;
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let endless =
        async || Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(vec![b'x'; 64 << 10])));
    tokio::spawn(server.run(app(Router::new().route("/endless", get(endless))), stop));
    let mut deaf = TcpStream::connect(address).await?;
    deaf.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    let open = async || metrics.value("http_connections").ok();
    eventually("it to be served", async || (open().await? == 1.0).then_some(())).await?;
    eventually("it to be dropped", async || (open().await? == 0.0).then_some(())).await
}

/// Takes over the connection and sends back whatever comes.
async fn echo(request: Request) -> Response {
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let (mut reader, mut writer) = split(TokioIo::new(upgraded));
            let _ = copy(&mut reader, &mut writer).await;
        }
    });
    let mut response = Response::default();
    *response.status_mut() = axum::http::StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert("connection", axum::http::HeaderValue::from_static("upgrade"));
    response.headers_mut().insert("upgrade", axum::http::HeaderValue::from_static("echo"));
    response
}

#[tokio::test]
async fn connections_can_be_upgraded() -> Result<()> {
    let server = start(app(Router::new().route("/echo", get(echo)))).await?;
    let address = server.url.strip_prefix("http://").context("an address")?;
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
        .await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"hello").await?;
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await?;
    assert_eq!(&echoed, b"hello");
    Ok(())
}

/// A route that reports that a request has come and holds it until it is released.
fn held() -> (Router, mpsc::Receiver<()>, CancellationToken) {
    let (arrived, arrivals) = mpsc::channel(1);
    let release = CancellationToken::new();
    let released = release.clone();
    let handler = async move || {
        let _ = arrived.send(()).await;
        released.cancelled().await;
        "done"
    };
    (app(Router::new().route("/", get(handler))), arrivals, release)
}

#[tokio::test]
async fn stopping_lets_requests_under_way_end() -> Result<()> {
    let (router, mut arrivals, release) = held();
    let server = Server::bind(&local()).await?;
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(router, stop.clone()));
    let request = tokio::spawn(crate::common::client()?.get(format!("http://{address}/")).send());
    arrivals.recv().await.context("the request")?;

    stop.cancel();
    // The listener is gone as soon as the server has seen the token.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    ensure!(!running.is_finished(), "a request is under way");
    release.cancel();
    assert_eq!(request.await??.text().await?, "done");
    running.await??;
    Ok(())
}

#[tokio::test]
async fn a_request_on_an_open_connection_is_answered_while_the_server_stops_and_is_the_last() -> Result<()> {
    let server = Server::bind(&local()).await?;
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(app(Router::new()), stop.clone()));
    let request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut kept_alive = TcpStream::connect(address).await?;
    kept_alive.write_all(request).await?;
    ensure!(kept_alive.read(&mut [0; 1024]).await? > 0, "an answer");
    stop.cancel();
    kept_alive.write_all(request).await?;
    let mut last = String::new();
    kept_alive.read_to_string(&mut last).await?;
    ensure!(last.starts_with("HTTP/1.1 200") && last.contains("connection: close"), "{last}");
    running.await??;
    Ok(())
}

#[tokio::test]
async fn stopping_is_bounded() -> Result<()> {
    let (router, mut arrivals, _never) = held();
    let server = Server::bind(&ServerConfig { grace: Duration::from_millis(50), ..local() }).await?;
    let url = format!("http://{}/", server.local_addr());
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(router, stop.clone()));
    let request = tokio::spawn(crate::common::client()?.get(url).send());
    arrivals.recv().await.context("the request")?;
    stop.cancel();
    ensure!(matches!(running.await?, Err(ServeError::Cut(1))));
    ensure!(request.await?.is_err(), "the connection was cut");
    Ok(())
}

#[tokio::test]
async fn stopping_does_not_wait_for_idle_connections() -> Result<()> {
    let minute = Duration::from_secs(60);
    let server = Server::bind(&ServerConfig { head_timeout: minute, grace: minute, ..local() }).await?;
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(app(Router::new()), stop.clone()));
    let mut kept_alive = TcpStream::connect(address).await?;
    kept_alive.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    ensure!(kept_alive.read(&mut [0; 1024]).await? > 0, "an answer");
    stop.cancel();
    tokio::time::timeout(minute / 4, running).await???;
    Ok(())
}
