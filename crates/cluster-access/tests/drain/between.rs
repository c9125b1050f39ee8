//! What stands between a drain and its cluster: on the way requests come late, and answers are lost or are another's.

use std::io;

use http::{Method, Request, Response};
use kube::{Client, client::Body};
use tower::{BoxError, service_fn};

pub(crate) type Answer = Result<Response<Body>, BoxError>;

/// A client whose requests go through `way`, which may send them on.
pub(crate) fn client<F>(to: Client, way: impl Fn(Request<Body>, Client) -> F + Send + 'static) -> Client
where
    F: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request: Request<Body>| way(request, to.clone()));
    Client::new(service, "default")
}

pub(crate) async fn send(request: Request<Body>, to: &Client) -> Answer {
    Ok(to.send(request).await?)
}

pub(crate) fn lost() -> Answer {
    Err(io::Error::new(io::ErrorKind::ConnectionReset, "the answer is lost").into())
}

/// Whatever a server or a proxy has said.
pub(crate) fn said(status: u16, text: &'static str) -> Answer {
    Ok(Response::builder().status(status).body(Body::from(text.as_bytes().to_vec()))?)
}

pub(crate) fn is_eviction(request: &Request<Body>) -> bool {
    request.method() == Method::POST && request.uri().path().ends_with("/eviction")
}

/// A change of a node, which is its cordon or the end of it.
pub(crate) fn is_change_of_node(request: &Request<Body>) -> bool {
    request.method() == Method::PATCH && request.uri().path().starts_with("/api/v1/nodes/")
}
