//! Writes to the cgroup hierarchies: from this process if it is allowed to, else through a helper. Any process can read
//! them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Access, access};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::attempted;
use super::helper::{self, Engine, Helper};

/// How long a change may take. It usually takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(25);

#[derive(Clone, Debug)]
pub(super) enum Writer {
    Here,
    Helper(Lines),
}

/// A helper that takes requests as lines, one at a time. Started at the first request, and again after it was lost.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    helper: Arc<Helper>,
    stream: Arc<Mutex<Option<BufReader<UnixStream>>>>,
}

impl Writer {
    /// The helper runs on `engine`, if there is one.
    pub(super) fn new(engine: Option<Engine>, hierarchies: &[PathBuf]) -> Self {
        let may = hierarchies.iter().all(|hierarchy| access(hierarchy, Access::WRITE_OK).is_ok());
        match engine {
            Some(engine) if !may => {
                let helper = Arc::new(Helper::of_cgroups(engine, hierarchies));
                Self::Helper(Lines { helper, stream: Arc::default() })
            }
            _ => Self::Here,
        }
    }

    pub(super) fn is_helper(&self) -> bool {
        matches!(self, Self::Helper(_))
    }

    /// Creates a cgroup, and those above it.
    pub(super) async fn make(&self, directory: &Path) -> io::Result<()> {
        let made = match self {
            Self::Here => std::fs::create_dir_all(directory),
            Self::Helper(lines) => lines.ask(&format!("make\t{}", directory.display())).await,
        };
        made.map_err(attempted(format!("cannot create {}", directory.display())))
    }

    pub(super) async fn write(&self, file: &Path, value: &str) -> io::Result<()> {
        let written = match self {
            Self::Here => std::fs::write(file, value),
            Self::Helper(lines) => lines.ask(&format!("write\t{}\t{value}", file.display())).await,
        };
        written.map_err(attempted(format!("cannot write {value} to {}", file.display())))
    }

    /// Removes a cgroup. Success if it does not exist.
    pub(super) async fn remove(&self, directory: &Path) -> io::Result<()> {
        let removed = match self {
            Self::Here => std::fs::remove_dir(directory),
            Self::Helper(lines) => lines.ask(&format!("remove\t{}", directory.display())).await,
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(attempted(format!("cannot remove {}", directory.display()))),
        }
    }
}

impl Lines {
    async fn ask(&self, line: &str) -> io::Result<()> {
        let mut kept = helper::turn(&self.stream).await?;
        loop {
            // Taken out, so that the next caller never reads a response that an earlier one did not wait for.
            let (mut stream, is_kept) = match kept.take() {
                Some(stream) => (stream, true),
                None => (BufReader::new(self.helper.start().await?), false),
            };
            let answered = tokio::time::timeout(TIMEOUT, converse(&mut stream, line)).await;
            match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(code) => {
                    *kept = Some(stream);
                    return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) };
                }
                // It may have been lost long ago: then once more through a new one. Each change may be repeated.
                Err(_) if is_kept => {}
                Err(error) => return Err(attempted("the helper container was lost")(error)),
            }
        }
    }
}

async fn converse(stream: &mut BufReader<UnixStream>, line: &str) -> io::Result<i32> {
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut response = String::new();
    stream.read_line(&mut response).await?;
    response.trim().parse().map_err(|_| io::Error::other(format!("its response is {response:?}")))
}
