//! What expires: client tokens after their day, log events after their group's retention, stopped tasks after their hour.
//!
//! A full pass. Each part has its own writes, so that a failure of one does not stop the others.

use std::time::Duration;

use tracing::info;

use super::changes::Change;
use super::context::Context;
use super::record;
use super::usage;
use crate::clock::Timestamp;
use crate::store::{self, client_tokens, logs, tasks, usage as table};

/// How long a stopped task is still shown (ECS API reference, DescribeTasks: "at least one hour").
const STOPPED_SHOWN: Duration = Duration::from_hours(1);

/// Between two passes.
pub(super) const PERIOD: Duration = Duration::from_mins(1);

/// Forgets everything that has expired by now.
///
/// # Errors
/// The error of the first part that failed. All parts are attempted.
pub(super) async fn pass(context: &Context) -> Result<(), store::Error> {
    let now = context.clock.now();
    let tokens = context.store.write(move |connection| {
        Box::pin(async move { client_tokens::delete_expired(connection, now).await })
    });
    let tokens = tokens.await.map(drop);
    let events = log_events(context, now).await;
    let tasks = stopped_tasks(context, now.minus(STOPPED_SHOWN)).await;
    // Frees the space of the rows that were deleted above and through the API.
    context.store.purge();
    tokens.and(events).and(tasks)
}

async fn log_events(context: &Context, now: Timestamp) -> Result<(), store::Error> {
    loop {
        let events = context
            .store
            .write(move |connection| Box::pin(async move { logs::delete_expired(connection, now).await }));
        if !events.await? {
            return Ok(());
        }
    }
}

async fn stopped_tasks(context: &Context, before: Timestamp) -> Result<(), store::Error> {
    // A task that is changed meanwhile is not shown again after it is forgotten.
    let _turn = context.unsupervised.lock().await;
    let (arns, unreadable) = stopped(context, before).await?;
    for (arn, error) in unreadable {
        context.record_unreadable(&arn, &error);
    }
    if !arns.is_empty() {
        context.changes.publish(Change::Forgotten(arns.into()));
    }
    Ok(())
}

/// ARNs of tasks whose rows cannot be read, and the errors.
type Unreadable = Vec<(String, store::Error)>;

/// Moves the tasks that stopped before `time` onto the bill; returns their ARNs. A task that cannot be read stays where it
/// is.
async fn stopped(context: &Context, time: Timestamp) -> Result<(Vec<String>, Unreadable), store::Error> {
    context
        .store
        .write(move |connection| {
            Box::pin(async move {
                let (mut arns, mut used, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
                for row in tasks::stopped_before(&mut *connection, time).await? {
                    match record::task(&row) {
                        Ok(task) => {
                            used.extend(usage::row_of(&task));
                            arns.push(row.arn);
                        }
                        Err(error) => unreadable.push((row.arn, error)),
                    }
                }
                if arns.is_empty() {
                    return Ok((arns, unreadable));
                }
                table::keep_many(connection, &used).await?;
                let trimmed = table::trim(connection, table::MOST).await?;
                if trimmed > 0 {
                    info!(
                        tasks = trimmed,
                        kept = table::MOST,
                        "deleted the usage of the oldest tasks; the bill no longer has them"
                    );
                }
                tasks::delete_many(connection, &arns).await?;
                Ok((arns, unreadable))
            })
        })
        .await
}
