//! Where tasks are committed: the only caller of the store's `tasks::put`, so that every change of a task passes here.
//!
//! A change is read, decided and written in one transaction, and published by [`super::changes`] after its commit. What
//! has to leave the emulator exactly once per change (an event for a bus) is to be a row of its own, written here, in the
//! same transaction. Nothing reads such rows yet, so none is written.

use super::task::Task;
use super::work::record;
use crate::store::{Error, SqliteConnection, tasks};

/// A task as it is to be written. It is serialised where it is made, and so not by the one writer of the store.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Entry(tasks::Row);

impl Entry {
    pub(in crate::engine) fn of(task: &Task) -> Self {
        Self(record::row(task))
    }
}

/// Writes the state of a task over the one before.
pub(in crate::engine) async fn put(connection: &mut SqliteConnection, entry: &Entry) -> Result<(), Error> {
    tasks::put(connection, &entry.0).await
}

/// Writes tasks that were not there before.
pub(in crate::engine) async fn put_new(
    connection: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<(), Error> {
    let rows: Vec<tasks::Row> = entries.iter().map(|entry| entry.0.clone()).collect();
    tasks::put_many(connection, &rows).await
}
