//! Where a data directory is, to detect a copy of it: a copy would hand out the same sandboxes and end the original's
//! tasks, because what runs on the engine carries the directory's id.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use super::{Error, meta};

/// The key of the home in `meta`.
pub(super) const HOME: &str = "home";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Home {
    /// Canonical.
    path: String,
    device: u64,
    inode: u64,
    /// `None` if the machine has no id.
    machine: Option<String>,
}

impl Home {
    fn of(data_dir: &Path) -> Result<Self, Error> {
        let attempted = Error::directory("look at", data_dir);
        let path = data_dir.canonicalize().map_err(&attempted)?;
        let metadata = path.metadata().map_err(&attempted)?;
        let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
            .iter()
            .find_map(|file| std::fs::read_to_string(file).ok())
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty());
        let path = path.to_string_lossy().into_owned();
        Ok(Self { path, device: metadata.dev(), inode: metadata.ino(), machine })
    }

    /// Whether this directory is not the one that was at `kept`.
    ///
    /// One that was moved keeps its inode on its device; one that stayed keeps its path, and its device may have another
    /// number after each boot of the machine.
    fn is_copy_of(&self, kept: &Self) -> bool {
        let elsewhere = self.machine.is_some() && kept.machine.is_some() && self.machine != kept.machine;
        elsewhere || self.inode != kept.inode || (self.path != kept.path && self.device != kept.device)
    }
}

/// Remembers where the directory is. If it is a copy, it gets an id of its own, and forgets what the original has on the
/// engine; [`meta::COPIED`] then records that its tasks are the original's. With `adopt` a copy continues as the
/// original.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    data_dir: &Path,
    adopt: bool,
) -> Result<(), Error> {
    let here = Home::of(data_dir)?;
    let kept = meta::get(&mut *connection, HOME).await?;
    let kept: Option<Home> = kept.and_then(|json| serde_json::from_str(&json).ok());
    if kept.as_ref() == Some(&here) {
        return Ok(());
    }
    let is_copy = !adopt && kept.as_ref().is_some_and(|kept| here.is_copy_of(kept));
    execute(connection, "BEGIN IMMEDIATE").await?;
    if is_copy {
        meta::put(connection, meta::COPIED, "true").await?;
        meta::delete(connection, meta::INSTANCE_ID).await?;
        for statement in ["DELETE FROM sandboxes", "DELETE FROM log_cursors"] {
            execute(connection, statement).await?;
        }
    }
    let json = serde_json::to_string(&here).map_err(Error::corrupt("the data directory's home"))?;
    meta::put(connection, HOME, &json).await?;
    execute(connection, "COMMIT").await?;
    if is_copy {
        tracing::warn!(
            data_dir = %data_dir.display(),
            original = kept.map(|kept| kept.path),
            "this data directory is a copy: it gets an id of its own, and its tasks are shown as stopped; --adopt takes over the original's tasks instead"
        );
    }
    Ok(())
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), Error> {
    sqlx::query(statement)
        .execute(connection)
        .await
        .map(drop)
        .map_err(Error::attempting("write where the data directory is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_distinguished_from_a_directory_that_stayed_or_moved() {
        let home = |path: &str, device, inode, machine: Option<&str>| Home {
            path: path.to_owned(),
            device,
            inode,
            machine: machine.map(str::to_owned),
        };
        let kept = home("/a", 1, 10, Some("m"));
        for (what, here, is_copy) in [
            ("stayed", home("/a", 1, 10, Some("m")), false),
            ("moved", home("/b", 1, 10, Some("m")), false),
            ("the device has another number", home("/a", 2, 10, Some("m")), false),
            ("the machine no longer has an id", home("/a", 1, 10, None), false),
            ("copied beside it", home("/b", 1, 11, Some("m")), true),
            ("copied to another device", home("/b", 2, 10, Some("m")), true),
            ("restored in its place", home("/a", 1, 11, Some("m")), true),
            ("a clone of the machine", home("/a", 1, 10, Some("n")), true),
        ] {
            assert_eq!(here.is_copy_of(&kept), is_copy, "{what}");
        }
    }
}
