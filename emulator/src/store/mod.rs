//! SQLite through sqlx. All SQL is here.

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the data directory {dir} is in use by another neargate (pid {pid})")]
    Locked { dir: String, pid: String },
    #[error("{attempted}")]
    Sqlite {
        attempted: &'static str,
        #[source]
        source: sqlx::Error,
    },
}
