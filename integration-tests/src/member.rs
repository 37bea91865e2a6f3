//! A user who is in the group of the container engine's socket and has no other rights, as most developers on their
//! machines. Root can run programs as such a user without creating an account.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::process::{Orphaned, as_user, binary};
use crate::work::Work;

/// The user of the lowest rights, on every Linux.
const UNPRIVILEGED: u32 = 65534;

const SOCKET: &str = "unix:///var/run/docker.sock";

/// Such a user, and the `neargate` that it may run: a copy, if the build folder is in a home that the user cannot enter.
#[derive(Clone, Debug)]
pub struct Member {
    group: u32,
    neargate: PathBuf,
}

impl Member {
    /// A user who owns this folder of the run. Requires root.
    pub(crate) fn with(work: &Work, folder: &Path) -> anyhow::Result<Self> {
        let socket = std::env::var("DOCKER_HOST").unwrap_or_else(|_| SOCKET.to_owned());
        let socket = socket.strip_prefix("unix://").context("the engine's socket is on another machine")?;
        let group = std::fs::metadata(socket).with_context(|| format!("looking at {socket}"))?.gid();
        let enterable = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(work.path(), enterable).context("letting others enter the run's folder")?;
        let given = chown(folder, Some(UNPRIVILEGED), Some(group));
        given.with_context(|| format!("changing the owner of {}", folder.display()))?;
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
        as_user(UNPRIVILEGED, self.group, &self.neargate, orphaned)
    }
}

/// Whether every user may enter the folders above a file.
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
