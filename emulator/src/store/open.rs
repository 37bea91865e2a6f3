//! The handle: opens a data directory, hands writes to the one writer and gives out the readers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};
use tokio::sync::oneshot;

use super::lock::Lock;
use super::writer::{self, Writer};
use super::{Error, meta};

/// Reads that run at once; more wait. Each is a thread and a page cache of its own.
const READERS: u32 = 4;

/// For how long a connection waits for another's lock. Only a checkpoint or a migration ever holds one against us.
const BUSY: Duration = Duration::from_secs(10);

/// Rows that a reader fetches before they are asked for. Few: a row may be a block of log events.
const READ_AHEAD: usize = 8;

/// Page caches in KiB, negative as `cache_size` wants them.
const WRITER_CACHE: &str = "-8192";
const READER_CACHE: &str = "-2048";

/// The write-ahead log is cut back to this many bytes after a checkpoint that found it longer.
const WAL_KEPT: &str = "67108864";

/// A data directory, open. Cheap to clone; all clones are the same store.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    instance_id: String,
    readers: SqlitePool,
    writer: writer::Handle,
}

impl Store {
    /// Opens `data_dir`, made where it is missing: takes its lock, brings `neargate.db` to this version's schema and
    /// starts the writer. However the last process ended, what it acknowledged is there.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Locked`] where another process has it; [`Error::Directory`] where it can't be made or written.
    pub async fn open(data_dir: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(data_dir).map_err(Error::directory("make", data_dir))?;
        let lock = Lock::acquire(data_dir)?;
        let database = data_dir.join("neargate.db");

        let writing = SqliteConnectOptions::new()
            .filename(&database)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .statement_cache_capacity(256)
            .pragma("cache_size", WRITER_CACHE)
            .pragma("journal_size_limit", WAL_KEPT)
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let mut connection =
            SqliteConnection::connect_with(&writing).await.map_err(Error::attempting("open the database"))?;
        sqlx::migrate!("src/store/migrations")
            .run(&mut connection)
            .await
            .map_err(|source| Error::Migrate { database: database.clone(), source })?;
        let instance_id = meta::instance_id(&mut connection).await?;

        let reading = SqliteConnectOptions::new()
            .filename(&database)
            .read_only(true)
            .busy_timeout(BUSY)
            .row_buffer_size(READ_AHEAD)
            .pragma("cache_size", READER_CACHE)
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_lazy_with(reading);

        let writer = Writer::start(connection, lock);
        Ok(Self(Arc::new(Inner { instance_id, readers, writer })))
    }

    /// Names this data directory: 32 hexadecimal digits, made once and kept for as long as the directory is.
    pub fn instance_id(&self) -> &str {
        &self.0.instance_id
    }

    /// Runs `work` in a transaction of the one writer and answers once that is committed.
    ///
    /// Writes that wait at the same time share a transaction. Each has its own savepoint: where `work` fails, all that
    /// it did is undone, and nothing of its neighbours. It begins no transaction of its own. A caller that stops
    /// waiting does not undo it.
    ///
    /// # Errors
    /// What `work` answered, or why its transaction could not be committed.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.0.writer.send(writer::request(work, reply)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Connections that only read, and see what is committed.
    pub fn readers(&self) -> &SqlitePool {
        &self.0.readers
    }

    /// Finishes the writes that wait, folds the write-ahead log into the database and gives the directory back. Later
    /// writes, through any clone, answer [`Error::Closed`].
    pub async fn close(&self) {
        // Readers first: a checkpoint can't pass one that still reads.
        self.0.readers.close().await;
        self.0.writer.close().await;
    }
}
