//! The data directory is its user's alone: it holds the environment and the output of tasks.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::Error;

/// The database's file within the data directory.
pub(super) const DATABASE: &str = "neargate.db";

/// What a data directory holds.
const OURS: [&str; 4] = ["lock", DATABASE, "neargate.db-wal", "neargate.db-shm"];

/// Creates the directory for its user alone. An existing one that holds only a store's files is restricted too; any other
/// keeps its mode, because others may have to read what else is in it.
pub(super) fn directory(data_dir: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(Error::directory("make", data_dir))?;
    let attempted = Error::directory("look at", data_dir);
    let mut is_ours = true;
    for entry in std::fs::read_dir(data_dir).map_err(&attempted)? {
        let name = entry.map_err(&attempted)?.file_name();
        is_ours &= OURS.iter().any(|ours| name == *ours);
    }
    if is_ours {
        restrict(data_dir, 0o700);
    }
    Ok(())
}

/// Creates the database's file if it is missing, and restricts all files of the store to their user. SQLite gives the
/// files that it creates itself the mode of the database's.
pub(super) fn files(data_dir: &Path) -> Result<(), Error> {
    let attempted = Error::directory("write", data_dir);
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(data_dir.join(DATABASE))
        .map_err(attempted)?;
    for name in OURS {
        restrict(&data_dir.join(name), 0o600);
    }
    Ok(())
}

/// Sets the mode if the path exists. A file system without modes, or a file of another user, does not prevent the start.
fn restrict(path: &Path, mode: u32) {
    let restricted = path.metadata().and_then(|metadata| {
        if metadata.permissions().mode() & 0o777 == mode {
            return Ok(());
        }
        std::fs::set_permissions(path, Permissions::from_mode(mode))
    });
    if let Err(error) = restricted
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(
            path = %path.display(),
            %error,
            "could not restrict the mode of a file of the data directory; other users may be able to read it"
        );
    }
}
