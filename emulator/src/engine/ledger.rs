//! Where tasks are committed: the only caller of the store's `tasks::put`, so that every change of a task passes here.
//!
//! A change is read, decided and written in one transaction, and published by [`super::changes`] after its commit. What
//! has to leave the emulator exactly once per change (an event for a bus) is to be a row of its own, written here, in the
//! same transaction. Nothing reads such rows yet, so none is written.

use super::record;
use super::task::Task;
use crate::store::{Error, SqliteConnection, SqliteExecutor, tasks};

/// A task as it is to be written. It is serialised when it is created, so that the store's only writer need not do it.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Entry(tasks::Row);

impl Entry {
    pub(in crate::engine) fn of(task: &Task) -> Self {
        Self(record::row(task))
    }
}

/// The last committed state of the task; `None` if there is no such task.
pub(in crate::engine) async fn get(
    executor: impl SqliteExecutor<'_>,
    arn: &str,
) -> Result<Option<Task>, Error> {
    tasks::get(executor, arn).await?.map(|row| record::task(&row)).transpose()
}

/// Replaces the stored state of a task.
pub(in crate::engine) async fn put(connection: &mut SqliteConnection, entry: &Entry) -> Result<(), Error> {
    tasks::put(connection, &entry.0).await
}

/// Writes new tasks.
pub(in crate::engine) async fn put_new(
    connection: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<(), Error> {
    let rows: Vec<tasks::Row> = entries.iter().map(|entry| entry.0.clone()).collect();
    tasks::put_many(connection, &rows).await
}

/// Reads the task, writes the result of `decide` and returns it, or the error of `decide`. `None` if there is no such task.
///
/// Allowed only for a task without a supervisor, which would overwrite the change with its state in memory.
pub(in crate::engine) async fn change<E>(
    connection: &mut SqliteConnection,
    arn: &str,
    decide: impl FnOnce(&Task) -> Result<Task, E>,
) -> Result<Option<Result<Task, E>>, Error> {
    let Some(before) = get(&mut *connection, arn).await? else { return Ok(None) };
    let after = match decide(&before) {
        Ok(after) => after,
        Err(refused) => return Ok(Some(Err(refused))),
    };
    if after != before {
        put(connection, &Entry::of(&after)).await?;
    }
    Ok(Some(Ok(after)))
}
