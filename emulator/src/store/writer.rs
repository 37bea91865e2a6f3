//! The one writer: takes the waiting writes, commits them together and only then replies to them.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::Error;
use super::lock::Lock;

/// Writes that share a transaction at most. More would only make the first of them wait longer.
const GROUP: usize = 256;

/// Writes that wait at most; further callers are held back.
const QUEUE: usize = 4 * GROUP;

pub(super) enum Message {
    Write(Box<dyn Work>),
    Close(oneshot::Sender<()>),
}

/// A write on its way: what to do, and the caller that waits for it.
pub(super) trait Work: Send {
    /// Does it. The caller gets the result only from [`Done::settle`].
    fn run<'c>(self: Box<Self>, connection: &'c mut SqliteConnection) -> BoxFuture<'c, Box<dyn Done>>;
    /// Reports that it was not tried.
    fn refuse(self: Box<Self>, error: Error);
}

/// A write that was tried, in a transaction that is not committed yet.
pub(super) trait Done: Send {
    /// Whether to keep what it wrote.
    fn keep(&self) -> bool;
    /// Reports to the caller, now that it is known whether the transaction was committed.
    fn settle(self: Box<Self>, fate: Result<(), Error>);
}

struct Request<T, F> {
    work: F,
    reply: oneshot::Sender<Result<T, Error>>,
}

struct Tried<T> {
    result: Result<T, Error>,
    reply: oneshot::Sender<Result<T, Error>>,
}

/// Wraps `work` and its caller for the queue.
pub(super) fn request<T, F>(work: F, reply: oneshot::Sender<Result<T, Error>>) -> Message
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
{
    Message::Write(Box::new(Request { work, reply }))
}

impl<T, F> Work for Request<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
{
    fn run<'c>(self: Box<Self>, connection: &'c mut SqliteConnection) -> BoxFuture<'c, Box<dyn Done>> {
        let Self { work, reply } = *self;
        Box::pin(async move {
            // The savepoint undoes what a panicking work has written, so nothing half-done is seen again.
            let tried = AssertUnwindSafe(async { work(connection).await }).catch_unwind().await;
            let done: Box<dyn Done> =
                Box::new(Tried { result: tried.unwrap_or(Err(Error::Panicked)), reply });
            done
        })
    }

    fn refuse(self: Box<Self>, error: Error) {
        // A caller that no longer waits needs no reply, here and in `settle`.
        let _ = self.reply.send(Err(error));
    }
}

impl<T: Send> Done for Tried<T> {
    fn keep(&self) -> bool {
        self.result.is_ok()
    }

    fn settle(self: Box<Self>, fate: Result<(), Error>) {
        let _ = self.reply.send(self.result.and_then(|answer| fate.map(|()| answer)));
    }
}

/// The handle of the writer.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    sender: mpsc::Sender<Message>,
    /// Messages that are not settled.
    pending: Arc<AtomicUsize>,
}

impl Handle {
    pub(super) async fn send(&self, message: Message) -> Result<(), Error> {
        let place = self.sender.reserve().await.map_err(|_| Error::Closed)?;
        self.pending.fetch_add(1, Ordering::Relaxed);
        place.send(message);
        Ok(())
    }

    /// Whether nothing waits for the writer.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        self.pending.load(Ordering::Relaxed) == 0
    }

    /// Returns once the writer has ended; at once if it has already.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.send(Message::Close(done)).await.is_ok() {
            // An error means that the writer has ended because of another close, as intended.
            let _ = closed.await;
        }
    }
}

/// Owns the only connection that writes.
pub(super) struct Writer {
    connection: SqliteConnection,
    lock: Lock,
    queue: mpsc::Receiver<Message>,
    pending: Arc<AtomicUsize>,
}

impl Writer {
    /// Starts the writer; it ends when it is closed or when its last handle is dropped, and then releases `lock`.
    pub(super) fn start(connection: SqliteConnection, lock: Lock) -> Handle {
        let (sender, queue) = mpsc::channel(QUEUE);
        let pending = Arc::new(AtomicUsize::new(0));
        tokio::spawn(Self { connection, lock, queue, pending: Arc::clone(&pending) }.run());
        Handle { sender, pending }
    }

    async fn run(self) {
        let Self { mut connection, lock, mut queue, pending } = self;
        let mut messages = Vec::with_capacity(GROUP);
        let mut closers = Vec::new();
        while queue.recv_many(&mut messages, GROUP).await > 0 {
            let mut group = VecDeque::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Write(work) => group.push_back(work),
                    Message::Close(done) => {
                        closers.push(done);
                        queue.close();
                    }
                }
            }
            let count = group.len();
            while !group.is_empty() {
                commit(&mut connection, &mut group).await;
            }
            pending.fetch_sub(count, Ordering::Relaxed);
        }
        if let Err(error) = execute(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)").await {
            tracing::warn!(
                %error,
                "could not merge the write-ahead log into the database; the next start does it"
            );
        }
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
        drop(lock);
        pending.fetch_sub(closers.len(), Ordering::Relaxed);
        for done in closers {
            let _ = done.send(());
        }
    }
}

/// Carries out as many of `group` as one transaction takes, and replies to them. If the transaction is lost, so are
/// those that were in it; the rest stay in `group` for another.
async fn commit(connection: &mut SqliteConnection, group: &mut VecDeque<Box<dyn Work>>) {
    let mut tried = Vec::with_capacity(group.len());
    let Err(source) = transact(connection, group, &mut tried).await else {
        for done in tried {
            done.settle(Ok(()));
        }
        return;
    };
    // SQLite itself rolls back for some errors (a full disk); then there is nothing left to roll back.
    let _ = execute(connection, "ROLLBACK").await;
    let source = Arc::new(Error::attempting("write to the database")(source));
    tracing::warn!(error = %source, writes = tried.len(), "a transaction was lost; none of its writes is kept");
    let lost = || Error::NotCommitted { source: Arc::clone(&source) };
    if tried.is_empty() {
        // Not even the first could begin, so no other will.
        for work in group.drain(..) {
            work.refuse(lost());
        }
    }
    for done in tried {
        done.settle(Err(lost()));
    }
}

/// `group` is not empty. `Ok` means committed: every write of it has been moved to `tried`. `Err` means that none of
/// `tried` is kept.
async fn transact(
    connection: &mut SqliteConnection,
    group: &mut VecDeque<Box<dyn Work>>,
    tried: &mut Vec<Box<dyn Done>>,
) -> Result<(), sqlx::Error> {
    // Two statements per trip: each trip to SQLite's thread and back costs more than either statement.
    execute(connection, "BEGIN IMMEDIATE; SAVEPOINT work").await?;
    while let Some(work) = group.pop_front() {
        let done = work.run(connection).await;
        let keep = done.keep();
        tried.push(done);
        if !keep {
            execute(connection, "ROLLBACK TO work").await?;
        }
        // RELEASE fails if SQLite has rolled the transaction back under the work, even if the work ignored that.
        let next = if group.is_empty() { "RELEASE work; COMMIT" } else { "RELEASE work; SAVEPOINT work" };
        execute(connection, next).await?;
    }
    Ok(())
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(connection).await.map(|_| ())
}
