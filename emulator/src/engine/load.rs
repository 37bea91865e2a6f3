//! The tasks of the data directory, as they are read at the start.

use std::sync::Arc;

use tracing::warn;

use super::context::Context;
use super::ledger::{self, Entry};
use super::record;
use super::task::{Task, lost, reason};
use crate::clock::Clock;
use crate::store::{self, Store, meta, tasks};

/// Every task that can be read, in the order of their creation. A task that cannot be read is reported and left. In a copy
/// of a data directory the tasks that are not stopped belong to the original: here they are lost.
///
/// # Errors
/// The store fails, or a newer release has written a task.
pub(super) async fn load(context: &Context) -> Result<Vec<Arc<Task>>, store::Error> {
    let Context { store, clock, .. } = context;
    let mut tasks = Vec::new();
    for row in tasks::load_all(store.readers()).await? {
        match record::task(&row) {
            Ok(task) => tasks.push(Arc::new(task)),
            Err(error) if error.is_corrupt() => {
                context.record_unreadable(&row.arn, &error);
                let arn = row.arn;
                store
                    .write(move |connection| {
                        Box::pin(async move { tasks::set_aside(connection, &arn).await })
                    })
                    .await?;
            }
            Err(error) => return Err(error),
        }
    }
    if meta::get(store.readers(), meta::COPIED).await?.is_some() {
        give_up(store, &mut tasks, clock).await?;
    }
    Ok(tasks)
}

async fn give_up(store: &Store, tasks: &mut [Arc<Task>], clock: &Clock) -> Result<(), store::Error> {
    let now = clock.now();
    let mut entries = Vec::new();
    for task in tasks.iter_mut().filter(|task| !task.is_stopped()) {
        warn!(
            task = task.arn,
            "a task belongs to the data directory that this one was copied from; it is STOPPED here"
        );
        *task = Arc::new(lost(task, reason::COPIED, now));
        entries.push(Entry::of(task));
    }
    store
        .write(move |connection| {
            Box::pin(async move {
                for entry in &entries {
                    ledger::put(connection, entry).await?;
                }
                meta::delete(connection, meta::COPIED).await
            })
        })
        .await
}
