//! Why an operation of the store failed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// SQLite's `SQLITE_FULL`: no room in the file system.
const FULL: &str = "13";

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the data directory {dir} is in use by another neargate (pid {pid})")]
    Locked { dir: PathBuf, pid: String },
    #[error("cannot {attempted} the data directory {dir}")]
    Directory {
        attempted: &'static str,
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot bring the database {database} to this version's schema")]
    Migrate {
        database: PathBuf,
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// The disk has no room. Nothing of the write is kept; it may be retried.
    #[error("cannot {attempted}: the disk is full")]
    Full { attempted: &'static str },
    #[error("cannot {attempted}")]
    Sqlite {
        attempted: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// A column's content cannot be read back.
    #[error("cannot read {what}")]
    Corrupt {
        what: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "the data directory {dir} was written by a newer release of neargate: run that release, or choose another --data-dir"
    )]
    Newer { dir: PathBuf },
    #[error(
        "{what} was written by a newer release of neargate (format {version}; this release reads up to {known}): run that release, or choose another --data-dir"
    )]
    NewerBody { what: &'static str, version: u32, known: u32 },
    /// The transaction that carried this write was lost, so none of it is kept.
    #[error("cannot commit")]
    NotCommitted {
        #[source]
        source: Arc<Error>,
    },
    /// The work of a write panicked. Nothing of it is kept.
    #[error("a write panicked")]
    Panicked,
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// For `map_err`: adds what was attempted when SQLite failed.
    pub(super) fn attempting(attempted: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| match &source {
            sqlx::Error::Database(database) if database.code().as_deref() == Some(FULL) => {
                Self::Full { attempted }
            }
            _ => Self::Sqlite { attempted, source },
        }
    }

    /// For `map_err`: adds what was attempted on the data directory.
    pub(super) fn directory(attempted: &'static str, dir: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Directory { attempted, dir: dir.to_path_buf(), source }
    }

    /// For `map_err`: adds which column could not be read back.
    pub(super) fn corrupt<E>(what: &'static str) -> impl Fn(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Corrupt { what, source: source.into() }
    }

    /// Whether the row itself is damaged: others may be fine.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }

    /// Whether the disk was full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::NotCommitted { source } => source.is_full(),
            _ => false,
        }
    }
}
