//! A word with the sandbox's program: lines to its standard input and from its standard output, through the engine's
//! attach. So it works on a remote engine, needs no mount, and a new process just attaches anew.

use std::time::Duration;

use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::Inner;
use super::client::reason;
use super::netlink::Batch;
use crate::runtime::Error;

/// What takes some milliseconds; longer than a busy engine needs.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Inner {
    /// Has the kernel in the sandbox take each batch. `attempted` is what they are for.
    pub(super) async fn instruct(
        &self,
        sandbox: &str,
        attempted: &str,
        batches: &[Batch],
    ) -> Result<(), Error> {
        let done = tokio::time::timeout(TIMEOUT, self.converse(sandbox, batches)).await;
        done.unwrap_or_else(|_| Err("its program did not answer in time".to_owned())).map_err(|reason| {
            Error::Failed { attempted: format!("{attempted} of the sandbox {sandbox}"), reason }
        })
    }

    async fn converse(&self, sandbox: &str, batches: &[Batch]) -> Result<(), String> {
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).build();
        let attached = self.docker.attach_container(sandbox, Some(options)).await;
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
        let mut heard = Vec::new();
        let mut next = unanswered.next();
        while let Some(batch) = next {
            // Several answers may come at once.
            let Some(end) = heard.iter().position(|byte| *byte == b'\n') else {
                let output = attached.output.next().await.ok_or("it has ended")?;
                heard.extend_from_slice(&output.map_err(|error| reason(&error))?.into_bytes());
                continue;
            };
            let line: Vec<u8> = heard.drain(..=end).collect();
            if let Some(answer) = String::from_utf8_lossy(&line).strip_prefix(&id) {
                understand(answer, batch)?;
                next = unanswered.next();
            }
        }
        Ok(())
    }
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
