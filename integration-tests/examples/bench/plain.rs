//! A server that only speaks HTTP, as a process of its own: the least that a request can cost.

use std::convert::Infallible;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The argument that starts this program as that server. The number of bytes per response follows it.
pub(crate) const ARGUMENT: &str = "--plain-server";

/// Prints its address, and responds to each request with `bytes` bytes until it is killed.
pub(crate) async fn serve(bytes: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
    println!("http://{}", listener.local_addr().context("reading its address")?);
    let body = Bytes::from(vec![b' '; bytes]);
    loop {
        let (stream, _) = listener.accept().await.context("accepting a connection")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        let body = body.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut response = Response::new(Full::new(body.clone()));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
            async move {
                // A body that ends too early ends the connection: the next request fails.
                let _ = request.into_body().collect().await;
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
