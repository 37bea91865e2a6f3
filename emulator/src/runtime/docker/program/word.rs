//! A word to the program of a sandbox that an older release made: it passes netlink alone, and each word is an attach of its
//! own. Such a sandbox lives as long as its task.

use bollard::Docker;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::super::client::reason;
use super::super::netlink::Batch;
use super::TIMEOUT;
use super::line::{bytes, hex};

/// Has the kernel in the sandbox take each batch.
pub(super) async fn say(docker: &Docker, sandbox: &str, batches: &[Batch]) -> Result<(), String> {
    let done = tokio::time::timeout(TIMEOUT, converse(docker, sandbox, batches)).await;
    done.unwrap_or_else(|_| Err(format!("its program did not answer within {} s", TIMEOUT.as_secs())))
}

async fn converse(docker: &Docker, sandbox: &str, batches: &[Batch]) -> Result<(), String> {
    let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).build();
    let attached = docker.attach_container(sandbox, Some(options)).await;
    let mut attached = attached.map_err(|error| reason(&error))?;
    // Answers of a conversation that a process began and did not live to end are not ours.
    let id = Uuid::new_v4().simple().to_string();
    let mut said = String::from("\n");
    for batch in batches {
        said += &format!("{id} {} {}\n", batch.protocol, hex(&batch.bytes));
    }
    let write = async {
        attached.input.write_all(said.as_bytes()).await?;
        attached.input.flush().await
    };
    write.await.map_err(|error| error.to_string())?;
    let mut unanswered = batches.iter();
    let mut received = Vec::new();
    let mut next = unanswered.next();
    while let Some(batch) = next {
        // Several answers may come at once.
        let Some(end) = received.iter().position(|byte| *byte == b'\n') else {
            let output = attached.output.next().await.ok_or("it has ended")?;
            received.extend_from_slice(&output.map_err(|error| reason(&error))?.into_bytes());
            continue;
        };
        let line: Vec<u8> = received.drain(..=end).collect();
        if let Some(answer) = String::from_utf8_lossy(&line).strip_prefix(&id) {
            understand(answer, batch)?;
            next = unanswered.next();
        }
    }
    Ok(())
}

/// What the program answered: the kernel's messages in hexadecimal, or `! REASON`.
fn understand(answer: &str, batch: &Batch) -> Result<(), String> {
    let answer = answer.trim();
    if let Some(reason) = answer.strip_prefix('!') {
        return Err(reason.trim().to_owned());
    }
    let messages: Option<Vec<Vec<u8>>> = answer.split_whitespace().map(bytes).collect();
    batch.done(&messages.ok_or("its program's answer is garbled")?)
}
