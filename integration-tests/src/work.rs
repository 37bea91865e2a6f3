//! The one folder of a run: data, certificates, kubeconfigs, logs. It is removed with the run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

/// A temporary folder and the logs in it.
#[derive(Debug)]
pub struct Work {
    folder: TempDir,
}

impl Work {
    /// A new folder under the system's temporary one.
    pub fn new(purpose: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("neargate-{purpose}-"))
            .tempdir()
            .context("making the run's folder")?;
        Ok(Self { folder })
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder in it, created if it does not exist.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.path().join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }

    /// The log of the process of that name: in the run's folder, or in the folder that `NEARGATE_KEEP_LOGS` names.
    pub fn log(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = match std::env::var_os("NEARGATE_KEEP_LOGS") {
            Some(kept) => PathBuf::from(kept).join(self.path().file_name().unwrap_or_default()),
            None => self.path().join("log"),
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder.join(format!("{name}.log")))
    }

    /// Removes the folder now, and reports if that fails.
    pub fn close(self) -> anyhow::Result<()> {
        self.folder.close().context("removing the run's folder")
    }
}

/// The last `lines` lines of a log, for a report; empty if there is none.
#[must_use]
pub fn tail(log: &Path, lines: usize) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
