//! One process per data directory: an advisory lock on `DIR/lock`, which the kernel releases however the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::Error;

/// Held while the data directory is ours.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lasts as long as this file is open")] File);

impl Lock {
    /// Takes `dir`; an error names the process that has it.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it; [`Error::Directory`] if its lock can't be opened.
    pub fn acquire(dir: &Path) -> Result<Self, Error> {
        let attempted = Error::directory("lock", dir);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("lock"))
            .map_err(&attempted)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(&attempted)?;
                return Err(Error::Locked { dir: dir.to_path_buf(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(attempted(source)),
        }
        file.set_len(0).map_err(&attempted)?;
        file.rewind().map_err(&attempted)?;
        writeln!(file, "{}", std::process::id()).map_err(&attempted)?;
        Ok(Self(file))
    }
}
