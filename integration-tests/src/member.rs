//! A user who is in the group of the container engine's socket and is otherwise nobody, as most developers are on their
//! machines. Root can be one without an account being made.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::process::{Orphaned, as_user, binary};
use crate::work::Work;

/// `nobody`, on every Linux.
const NOBODY: u32 = 65534;

const SOCKET: &str = "unix:///var/run/docker.sock";

/// Such a user, and the `neargate` that it may run: a copy, if what is built lies in a home that is closed to it.
#[derive(Clone, Debug)]
pub struct Member {
    group: u32,
    neargate: PathBuf,
}

impl Member {
    /// One who has this folder of the run. It takes root.
    pub(crate) fn with(work: &Work, folder: &Path) -> anyhow::Result<Self> {
        let socket = std::env::var("DOCKER_HOST").unwrap_or_else(|_| SOCKET.to_owned());
        let socket = socket.strip_prefix("unix://").context("the engine's socket is on another machine")?;
        let group = std::fs::metadata(socket).with_context(|| format!("looking at {socket}"))?.gid();
        let passable = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(work.path(), passable).context("letting others pass the run's folder")?;
        let given = chown(folder, Some(NOBODY), Some(group));
        given.with_context(|| format!("giving {} to a user", folder.display()))?;
        let mut neargate = binary("neargate")?;
        if !is_open(&neargate)? {
            let copy = folder.with_extension("neargate");
            std::fs::copy(&neargate, &copy).context("copying neargate for a user")?;
            neargate = copy;
        }
        Ok(Self { group, neargate })
    }

    /// `neargate` as this user.
    pub(crate) fn neargate(&self, orphaned: Orphaned) -> Command {
        as_user(NOBODY, self.group, &self.neargate, orphaned)
    }
}

/// Whether everybody may pass the folders above a file.
fn is_open(file: &Path) -> anyhow::Result<bool> {
    for folder in file.ancestors().skip(1) {
        let mode =
            std::fs::metadata(folder).with_context(|| format!("looking at {}", folder.display()))?.mode();
        if mode & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
