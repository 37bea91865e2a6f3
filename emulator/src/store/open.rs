//! The handle: opens a data directory, passes writes to the one writer and provides the readers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::lock::Lock;
use super::writer::{self, Writer};
use super::{Error, home, meta, private, purge};

/// Batches of log events that are held for writing at once: 64 MiB.
const INCOMING: usize = 256;

/// Requests that read ahead in many log streams at once: 64 MiB.
const OUTGOING: usize = 4;

/// Pages, of 4 KiB each, of a database that is rewritten at the start to become one that can shrink: about a second.
const REWRITTEN: u32 = 65_536;

/// Reads that run at once; more wait. Each is a thread and a page cache of its own.
const READERS: u32 = 4;

/// For how long a connection waits for another's lock. Only a checkpoint or a migration ever holds one against us.
const BUSY: Duration = Duration::from_secs(10);

/// Rows that a reader fetches in advance. Few: a row may be a block of log events.
const READ_AHEAD: usize = 8;

/// Page caches in KiB, negative as `cache_size` wants them.
const WRITER_CACHE: &str = "-8192";
const READER_CACHE: &str = "-2048";

/// The write-ahead log is truncated to this many bytes after a checkpoint that found it longer.
const WAL_KEPT: &str = "67108864";

/// A data directory, open. Cheap to clone; all clones are the same store.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    instance_id: String,
    readers: SqlitePool,
    writer: writer::Handle,
    incoming: Semaphore,
    outgoing: Semaphore,
    /// There is something to purge.
    discarded: Arc<Notify>,
    _purge: AbortOnDropHandle<()>,
}

impl Store {
    /// Opens `data_dir`, created if it is missing: takes its lock, brings `neargate.db` to this version's schema and
    /// starts the writer. However the last process ended, what it acknowledged is kept.
    ///
    /// A directory that was copied since gets an id of its own ([`meta::COPIED`]).
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it; [`Error::Directory`] if it can't be created or written;
    /// [`Error::Newer`] if a newer release has written it.
    pub async fn open(data_dir: &Path) -> Result<Self, Error> {
        Self::open_as(data_dir, false).await
    }

    /// [`Store::open`]; with `adopt` a copy continues under the id of its original, which must no longer run.
    pub async fn open_as(data_dir: &Path, adopt: bool) -> Result<Self, Error> {
        private::directory(data_dir)?;
        let lock = Lock::acquire(data_dir)?;
        let database = data_dir.join(private::DATABASE);
        private::files(data_dir)?;

        let writing = SqliteConnectOptions::new()
            .filename(&database)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .statement_cache_capacity(256)
            .pragma("cache_size", WRITER_CACHE)
            .pragma("journal_size_limit", WAL_KEPT)
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let mut connection =
            SqliteConnection::connect_with(&writing).await.map_err(Error::attempting("open the database"))?;
        sqlx::migrate!("src/store/migrations").run(&mut connection).await.map_err(|source| match source {
            // The database was migrated by a release that has more migrations than this one.
            sqlx::migrate::MigrateError::VersionMissing(_) => Error::Newer { dir: data_dir.to_path_buf() },
            source => Error::Migrate { database: database.clone(), source },
        })?;
        shrinkable(&mut connection).await;
        home::settle(&mut connection, data_dir, adopt).await?;
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
        let discarded = Arc::new(Notify::new());
        let _purge = purge::start(writer.clone(), Arc::clone(&discarded));
        Ok(Self(Arc::new(Inner {
            instance_id,
            readers,
            writer,
            incoming: Semaphore::new(INCOMING),
            outgoing: Semaphore::new(OUTGOING),
            discarded,
            _purge,
        })))
    }

    /// Identifies this data directory: 32 hexadecimal digits, created once and kept as long as the directory exists.
    pub fn instance_id(&self) -> &str {
        &self.0.instance_id
    }

    /// Runs `work` in a transaction of the one writer and returns once that is committed.
    ///
    /// Writes that wait at the same time share a transaction. Each has its own savepoint: if `work` fails, all that it
    /// did is undone, and nothing that others did. It must not begin a transaction. A caller that stops waiting does
    /// not undo it.
    ///
    /// # Errors
    /// The error of `work`, or why its transaction could not be committed.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.0.writer.send(writer::request(work, reply)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Begins to delete what was discarded (log streams, a reset), piece by piece, and returns at once.
    pub fn purge(&self) {
        self.0.discarded.notify_one();
    }

    /// A permit to hold one batch of log events (256 KiB, or one event) until it is committed. It bounds all batches
    /// together.
    pub async fn logs_in(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.0.incoming.acquire().await.ok()
    }

    /// A permit to read ahead in many log streams (16 MiB). It bounds all that is read ahead together.
    pub async fn logs_out(&self) -> Option<SemaphorePermit<'_>> {
        self.0.outgoing.acquire().await.ok()
    }

    /// Connections that only read, and see what is committed.
    pub fn readers(&self) -> &SqlitePool {
        &self.0.readers
    }

    /// Whether nothing is being read or written: for a test that moves its clock only then.
    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        let readers = &self.0.readers;
        // A closed pool still counts the connections that it closes as idle.
        let idle = if readers.is_closed() { 0 } else { readers.num_idle() };
        self.0.writer.is_at_rest() && usize::try_from(readers.size()).is_ok_and(|size| size == idle)
    }

    /// Finishes the waiting writes, merges the write-ahead log into the database and releases the directory. Later
    /// writes, through any clone, return [`Error::Closed`].
    pub async fn close(&self) {
        // Readers first: a checkpoint can't pass one that still reads.
        self.0.readers.close().await;
        self.0.writer.close().await;
    }
}

/// Converts a database of a release whose files could not shrink into one that can. A large one stays as it is: its
/// free pages are reused, and not returned to the file system.
async fn shrinkable(connection: &mut SqliteConnection) {
    let converted = async {
        if purge::pragma(connection, "PRAGMA auto_vacuum").await? == 0
            && purge::pragma(connection, "PRAGMA page_count").await? <= REWRITTEN
        {
            let attempted = Error::attempting("rewrite the database");
            let statement = "PRAGMA auto_vacuum = INCREMENTAL; VACUUM";
            sqlx::raw_sql(statement).execute(connection).await.map_err(attempted)?;
        }
        Ok::<(), Error>(())
    };
    if let Err(error) = converted.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "could not rewrite the database; its file will not shrink until a later start rewrites it"
        );
    }
}
