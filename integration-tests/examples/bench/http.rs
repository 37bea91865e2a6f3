//! A client that uses as little CPU as possible, because it shares the cores with what it measures: one HTTP/1.1 connection
//! per user.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::report;

/// A region in a credential scope; the signature itself is not verified.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/ecs/aws4_request, \
                             SignedHeaders=host, Signature=0";

/// The headers of a call, except the host's.
pub(crate) fn headers(target: &str) -> [(&'static str, &str); 3] {
    [
        ("content-type", "application/x-amz-json-1.1"),
        ("authorization", AUTHORIZATION),
        ("x-amz-target", target),
    ]
}

/// The target of an ECS operation.
pub(crate) fn ecs(operation: &str) -> String {
    format!("AmazonEC2ContainerServiceV20141113.{operation}")
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    host: String,
    send: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(endpoint: &str) -> anyhow::Result<Self> {
        let host = endpoint.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).await.with_context(|| format!("connecting to {host}"))?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await.context("beginning HTTP")?;
        tokio::spawn(connection);
        Ok(Self { host, send })
    }

    /// Calls an operation, such as `Logs_20140328.PutLogEvents`. Anything but 200 is an error.
    pub(crate) async fn call(&mut self, target: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let request = Request::post("/").header(header::HOST, &self.host);
        let request =
            headers(target).into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let request = request.body(Full::new(body)).context("making a request")?;
        self.send.ready().await.context("the connection ended")?;
        let response = self.send.send_request(request).await.with_context(|| format!("calling {target}"))?;
        let status = response.status();
        let body = response.into_body().collect().await.context("reading a response")?.to_bytes();
        ensure!(status.is_success(), "{target}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// An ECS operation with JSON in and out.
    pub(crate) async fn ecs(&mut self, operation: &str, input: &Value) -> anyhow::Result<Value> {
        let output = self.call(&ecs(operation), input.to_string().into()).await?;
        serde_json::from_slice(&output).with_context(|| format!("reading the response of {operation}"))
    }

    /// A CloudWatch Logs operation; its response is not parsed.
    pub(crate) async fn logs(&mut self, operation: &str, body: Bytes) -> anyhow::Result<Bytes> {
        self.call(&format!("Logs_20140328.{operation}"), body).await
    }
}

/// The result of a load.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) calls: f64,
    pub(crate) per_second: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Calls `target` repeatedly on every connection for `time`. `body` returns a call's body from the number of the connection
/// and the number of the call.
pub(crate) async fn load<F>(
    endpoint: &str,
    connections: usize,
    time: Duration,
    target: impl Into<String>,
    body: F,
) -> anyhow::Result<Load>
where
    F: Fn(usize, u64) -> Bytes + Clone + Send + 'static,
{
    let begin = Instant::now();
    let target = target.into();
    let users = (0..connections).map(|user| {
        let (endpoint, target, body) = (endpoint.to_owned(), target.clone(), body.clone());
        tokio::spawn(async move {
            let mut connection = Connection::open(&endpoint).await?;
            let mut latencies = Vec::new();
            let mut call = 0;
            while begin.elapsed() < time {
                let sent = Instant::now();
                connection.call(&target, body(user, call)).await?;
                latencies.push(sent.elapsed().as_secs_f64() * 1000.0);
                call += 1;
            }
            anyhow::Ok(latencies)
        })
    });
    let mut latencies = Vec::new();
    for user in users.collect::<Vec<_>>() {
        latencies.extend(user.await.context("a user of the load ended early")??);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
    let calls = latencies.len() as f64;
    let per_second = calls / begin.elapsed().as_secs_f64();
    let (p50, p99) = (report::percentile(&mut latencies, 0.5), report::percentile(&mut latencies, 0.99));
    Ok(Load { calls, per_second, p50, p99 })
}
