//! An additional process in a container, and the container's resource usage.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{ContainerBlkioStatEntry, ContainerMemoryStats, ContainerStatsResponse, ExecConfig};
use bollard::query_parameters::{ResizeExecOptions, StatsOptionsBuilder};
use futures::{FutureExt, StreamExt, TryStreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::Inner;
use super::client::failed;
use super::state::time;
use crate::runtime::{Error, Exec, Input, Session, Size, Stream, Usage};

/// The engine reports the end of the output shortly before it knows the exit code.
const EXIT_PAUSE: Duration = Duration::from_millis(20);
const EXIT_TRIES: u32 = 250;

impl Inner {
    pub(super) async fn exec(self: &Arc<Self>, container_id: &str, exec: &Exec) -> Result<Session, Error> {
        let attempted = format!("run a process in the container {container_id}");
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(exec.terminal),
            cmd: Some(exec.command.clone()),
            ..ExecConfig::default()
        };
        let created = self.docker.create_exec(container_id, config).await;
        let exec_id = created.map_err(failed(&self.host, attempted.clone()))?.id;
        let options = StartExecOptions { detach: false, tty: exec.terminal, output_capacity: None };
        let started = self.docker.start_exec(&exec_id, Some(options)).await;
        let (output, input) = match started.map_err(failed(&self.host, attempted.clone()))? {
            StartExecResults::Attached { output, input } => (output, input),
            StartExecResults::Detached => {
                let reason = "the engine did not attach to it".to_owned();
                return Err(Error::Failed { attempted, reason });
            }
        };
        let host = self.host.clone();
        let piece = |output| match output {
            LogOutput::StdErr { message } => (Stream::Stderr, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (Stream::Stdout, message)
            }
        };
        let interrupted = move |error| failed(&host, attempted.clone())(error);
        Ok(Session {
            output: output.map_ok(piece).map_err(interrupted).boxed(),
            input: Box::new(Attached { inner: Arc::clone(self), exec_id: exec_id.clone(), writer: input }),
            exit_code: Arc::clone(self).exit_code(exec_id).boxed(),
        })
    }

    async fn exit_code(self: Arc<Self>, exec_id: String) -> Result<i64, Error> {
        let attempted = || format!("read the exit code of the process {exec_id}");
        for _ in 0..EXIT_TRIES {
            let inspected = self.docker.inspect_exec(&exec_id).await;
            let inspected = inspected.map_err(failed(&self.host, attempted()))?;
            if let (Some(false), Some(code)) = (inspected.running, inspected.exit_code) {
                return Ok(code);
            }
            self.clock.sleep(EXIT_PAUSE).await;
        }
        Err(Error::NoAnswer { attempted: attempted(), reason: "the process still runs".to_owned() })
    }

    pub(super) async fn stats(&self, container_id: &str) -> Result<Usage, Error> {
        let attempted = || format!("read the resource usage of the container {container_id}");
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut stats = Box::pin(self.docker.stats(container_id, Some(options)));
        match stats.try_next().await.map_err(failed(&self.host, attempted()))? {
            Some(stats) => Ok(usage(&stats)),
            None => Err(Error::Failed {
                attempted: attempted(),
                reason: "the engine returned no values".to_owned(),
            }),
        }
    }
}

/// The writing end of an attached process.
struct Attached {
    inner: Arc<Inner>,
    exec_id: String,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
}

#[async_trait]
impl Input for Attached {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::Failed {
            attempted: format!("write to the process {}", self.exec_id),
            reason: error.to_string(),
        };
        self.writer.write_all(bytes).await.map_err(failed)?;
        self.writer.flush().await.map_err(failed)
    }

    async fn resize(&mut self, size: Size) -> Result<(), Error> {
        let options = ResizeExecOptions { w: i32::from(size.columns), h: i32::from(size.rows) };
        let attempted = format!("resize the terminal of the process {}", self.exec_id);
        let Err(refused) = self.inner.docker.resize_exec(&self.exec_id, options).await else { return Ok(()) };
        // The error does not matter if the process has ended.
        let process = self.inner.docker.inspect_exec(&self.exec_id).await;
        if process.is_ok_and(|process| process.running == Some(false)) {
            return Ok(());
        }
        Err(failed(&self.inner.host, attempted)(refused))
    }
}

fn usage(stats: &ContainerStatsResponse) -> Usage {
    let cpu = stats.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage);
    let memory = stats.memory_stats.as_ref();
    let blocks = stats.blkio_stats.as_ref().and_then(|blocks| blocks.io_service_bytes_recursive.as_deref());
    let bytes = |operation: &str| {
        let of = |entry: &&ContainerBlkioStatEntry| {
            entry.op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(operation))
        };
        blocks.into_iter().flatten().filter(of).filter_map(|entry| entry.value).sum()
    };
    Usage {
        at: stats.read.as_deref().and_then(time).unwrap_or_default(),
        cpu_nanoseconds: cpu.unwrap_or_default(),
        memory: memory.map(in_use).unwrap_or_default(),
        memory_limit: memory.and_then(|memory| memory.limit).unwrap_or_default(),
        processes: stats.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or_default(),
        read: bytes("read"),
        written: bytes("write"),
    }
}

/// Memory without the inactive page cache, as in `docker stats` (docker/cli `calculateMemUsageUnixNoCache`). The first name is
/// that of cgroup v1, the second that of v2.
fn in_use(memory: &ContainerMemoryStats) -> u64 {
    let stats = memory.stats.as_ref();
    let cache = ["total_inactive_file", "inactive_file"].iter().find_map(|name| stats?.get(*name).copied());
    memory.usage.unwrap_or_default().saturating_sub(cache.unwrap_or_default())
}
