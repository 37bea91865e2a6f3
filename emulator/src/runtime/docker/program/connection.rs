//! One connection of a task, between the link to its sandbox and the stream of the receiver of calls.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Semaphore, mpsc};

use super::line::{WINDOW, hex};

/// Bytes of one line.
const CHUNK: usize = 16 * 1024;

/// Data from the task. At most [`WINDOW`] bytes wait here.
#[derive(Debug)]
pub(super) enum Incoming {
    Data(Vec<u8>),
    End,
}

/// The lines to the sandbox's program.
#[derive(Clone, Debug)]
pub(super) struct Out {
    pub(super) lines: mpsc::UnboundedSender<String>,
    pub(super) session: Arc<str>,
}

impl Out {
    pub(super) fn send(&self, words: &str) {
        // Fails only after the session has ended, which also ends the sender.
        let _ = self.lines.send(format!("{} {words}\n", self.session));
    }
}

/// Copies in both directions until both have ended. `credit`: bytes that the program has room for.
pub(super) async fn carry(
    id: u32,
    stream: DuplexStream,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    credit: Arc<Semaphore>,
    out: Out,
) {
    out.send(&format!("credit {id} {WINDOW}"));
    let (read, write) = tokio::io::split(stream);
    let carried = tokio::try_join!(inward(id, write, incoming, &out), outward(id, read, &credit, &out));
    if carried.is_err() {
        out.send(&format!("reset {id}"));
    }
}

/// From the task. Gives credit for the bytes that the receiver has read.
async fn inward(
    id: u32,
    mut stream: WriteHalf<DuplexStream>,
    mut incoming: mpsc::UnboundedReceiver<Incoming>,
    out: &Out,
) -> std::io::Result<()> {
    while let Some(Incoming::Data(bytes)) = incoming.recv().await {
        stream.write_all(&bytes).await?;
        out.send(&format!("credit {id} {}", bytes.len()));
    }
    stream.shutdown().await
}

/// To the task.
async fn outward(
    id: u32,
    mut stream: ReadHalf<DuplexStream>,
    credit: &Semaphore,
    out: &Out,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            out.send(&format!("end {id}"));
            return Ok(());
        }
        let taken = credit.acquire_many(u32::try_from(length).unwrap_or(u32::MAX)).await;
        taken.map_err(std::io::Error::other)?.forget();
        out.send(&format!("data {id} {}", hex(&chunk[..length])));
    }
}
