//! Who writes to the cgroup hierarchies: this process where it may, else a helper. Everybody reads them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Access, access};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::attempted;
use super::helper::{Engine, Helper};

/// What a change may take, which takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(25);

#[derive(Clone, Debug)]
pub(super) enum Writer {
    Here,
    Helper(Lines),
}

/// A helper that is asked by lines, one at a time. Made at the first, and again where it was lost.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    helper: Arc<Helper>,
    stream: Arc<Mutex<Option<BufReader<UnixStream>>>>,
}

impl Writer {
    /// The helper is one of `engine`, where there is one.
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

    /// Makes a cgroup, and those above it.
    pub(super) async fn make(&self, directory: &Path) -> io::Result<()> {
        let made = match self {
            Self::Here => std::fs::create_dir_all(directory),
            Self::Helper(lines) => lines.ask(&format!("make\t{}", directory.display())).await,
        };
        made.map_err(attempted(format!("cannot make {}", directory.display())))
    }

    pub(super) async fn write(&self, file: &Path, value: &str) -> io::Result<()> {
        let written = match self {
            Self::Here => std::fs::write(file, value),
            Self::Helper(lines) => lines.ask(&format!("write\t{}\t{value}", file.display())).await,
        };
        written.map_err(attempted(format!("cannot write {value} to {}", file.display())))
    }

    /// Removes a cgroup; done where it is gone.
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
        let mut kept = self.stream.lock().await;
        loop {
            // Taken out: an answer that its caller has not waited for is not the next caller's.
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
                // It may have been lost long ago: then once more by a new one, for each change may be repeated.
                Err(_) if is_kept => {}
                Err(error) => return Err(attempted("the helper container was lost")(error)),
            }
        }
    }
}

async fn converse(stream: &mut BufReader<UnixStream>, line: &str) -> io::Result<i32> {
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    answer.trim().parse().map_err(|_| io::Error::other(format!("it answered {answer:?}")))
}
