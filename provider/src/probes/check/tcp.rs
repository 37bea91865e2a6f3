//! `tcpSocket`: an established connection is enough.

use std::time::Duration;

use tokio::time::Instant;

use super::{Outcome, dial};

pub(super) async fn run(host: &str, port: u16, timeout: Duration) -> Outcome {
    match dial(host, port, Instant::now() + timeout).await {
        Ok(_) => Outcome::Success,
        Err(message) => Outcome::Failure(message),
    }
}
