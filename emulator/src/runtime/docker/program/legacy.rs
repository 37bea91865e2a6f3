//! Requests to the program of a sandbox that an older release created: it only passes netlink messages, and each request needs
//! its own attach. Such a sandbox exists as long as its task.

use bollard::Docker;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::super::client::reason;
use super::super::netlink::Batch;
use super::TIMEOUT;
use super::line::{bytes, hex};

/// Sends each batch to the kernel in the sandbox.
pub(super) async fn send(docker: &Docker, sandbox: &str, batches: &[Batch]) -> Result<(), String> {
    let done = tokio::time::timeout(TIMEOUT, converse(docker, sandbox, batches)).await;
    done.unwrap_or_else(|_| Err(format!("its program did not respond within {} s", TIMEOUT.as_secs())))
}

async fn converse(docker: &Docker, sandbox: &str, batches: &[Batch]) -> Result<(), String> {
    let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).build();
    let attached = docker.attach_container(sandbox, Some(options)).await;
    let mut attached = attached.map_err(|error| reason(&error))?;
    // The id distinguishes these responses from those to an earlier process that was killed.
    let id = Uuid::new_v4().simple().to_string();
    let mut requests = String::from("\n");
    for batch in batches {
        requests += &format!("{id} {} {}\n", batch.protocol, hex(&batch.bytes));
    }
    let write = async {
        attached.input.write_all(requests.as_bytes()).await?;
        attached.input.flush().await
    };
    write.await.map_err(|error| error.to_string())?;
    let mut pending = batches.iter();
    let mut received = Vec::new();
    let mut next = pending.next();
    while let Some(batch) = next {
        // Several responses may arrive at once.
        let Some(end) = received.iter().position(|byte| *byte == b'\n') else {
            let output = attached.output.next().await.ok_or("its program has ended")?;
            received.extend_from_slice(&output.map_err(|error| reason(&error))?.into_bytes());
            continue;
        };
        let line: Vec<u8> = received.drain(..=end).collect();
        if let Some(response) = String::from_utf8_lossy(&line).strip_prefix(&id) {
            check(response, batch)?;
            next = pending.next();
        }
    }
    Ok(())
}

/// Checks a response of the program: the kernel's messages in hexadecimal, or `! REASON`.
fn check(response: &str, batch: &Batch) -> Result<(), String> {
    let response = response.trim();
    if let Some(reason) = response.strip_prefix('!') {
        return Err(reason.trim().to_owned());
    }
    let messages: Option<Vec<Vec<u8>>> = response.split_whitespace().map(bytes).collect();
    batch.done(&messages.ok_or("its program's response is malformed")?)
}
