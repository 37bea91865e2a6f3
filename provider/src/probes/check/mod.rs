//! One check of a container, and its outcome in the kubelet's words.

mod grpc;
mod http;
mod tcp;
mod tls;

use std::{fmt, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{net::TcpStream, time::Instant};

use super::spec::Check;

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It succeeded.
    Success,
    /// It succeeded, with a warning.
    Warning(String),
    /// It failed, and how.
    Failure(String),
    /// The check could not be made; that means nothing about the container.
    Errored(String),
}

/// Makes checks.
#[async_trait]
pub(super) trait Ask: fmt::Debug + Send + Sync {
    /// Checks once; returns after `timeout` at the latest.
    async fn ask(&self, check: &Check, timeout: Duration) -> Outcome;
}

/// Makes checks over the network.
#[derive(Debug)]
pub(super) struct Checker {
    tls: Arc<rustls::ClientConfig>,
}

impl Checker {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Ok(Self { tls: Arc::new(tls::config()?) })
    }
}

#[async_trait]
impl Ask for Checker {
    async fn ask(&self, check: &Check, timeout: Duration) -> Outcome {
        match check {
            Check::Http(get) => http::run(get, &self.tls, timeout).await,
            Check::Tcp { host, port } => tcp::run(host, *port, timeout).await,
            Check::Grpc { host, port, service } => grpc::run(host, *port, service, timeout).await,
            Check::Hook(get) => http::answered(get, &self.tls, timeout).await,
            Check::Impossible(why) => Outcome::Errored(why.clone()),
        }
    }
}

/// A connection, or the error in the words of Go's dialer, which users of a kubelet know.
async fn dial(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, String> {
    let address = authority(host, port);
    match tokio::time::timeout_at(deadline, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {address}: {}", words(&error))),
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

/// `host:port`, an IPv6 address in brackets.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::ConnectionReset => "connect: connection reset by peer".to_owned(),
        io::ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
