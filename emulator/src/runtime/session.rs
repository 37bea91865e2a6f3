//! Access to a running container: an additional process with its input and output, and the container's resource usage.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::{Error, Stream};
use crate::clock::Timestamp;

/// A process to run in a container, as the container's own user and in its working directory.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    pub command: Vec<String>,
    /// With a terminal both outputs are combined in [`Stream::Stdout`].
    pub terminal: bool,
}

/// A process that runs beside the container's own. Dropping this does not end the process: it only closes its input, as when a
/// terminal is closed.
pub struct Session {
    /// The output of the process, in pieces of any size; it ends when the process has ended.
    pub output: BoxStream<'static, Result<(Stream, Bytes), Error>>,
    pub input: Box<dyn Input>,
    /// The exit code of the process; wait for it after the end of `output`.
    pub exit_code: BoxFuture<'static, Result<i64, Error>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The input of a process.
#[async_trait::async_trait]
pub trait Input: Send {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// The size of its terminal has changed.
    async fn resize(&mut self, size: Size) -> Result<(), Error>;
}

/// Of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

/// The resource usage of a container. Counters begin with its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub at: Timestamp,
    /// Nanoseconds of CPU time, of all processors together.
    pub cpu_nanoseconds: u64,
    /// Bytes now, without what the kernel can reclaim at once.
    pub memory: u64,
    /// Bytes at most.
    pub memory_limit: u64,
    pub processes: u64,
    /// Bytes read from and written to block devices.
    pub read: u64,
    pub written: u64,
}
