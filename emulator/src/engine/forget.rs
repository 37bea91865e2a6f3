//! What expires: client tokens after their day, log events after their group's retention, stopped tasks after their hour.
//!
//! A full pass, each part in writes of its own, so that what goes wrong with one stops no other.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::changes::Change;
use super::context::Context;
use super::usage;
use super::work::record;
use crate::clock::Timestamp;
use crate::store::{self, client_tokens, logs, tasks, usage as table};

/// How long a stopped task is still shown (ECS API reference, DescribeTasks: "at least one hour").
const STOPPED_SHOWN: Duration = Duration::from_hours(1);

/// Forgets everything that has expired by now.
pub(super) async fn pass(context: &Context) {
    let now = context.clock.now();
    let failed = |what: &str, error: &store::Error| {
        warn!(error = error as &dyn std::error::Error, "could not forget {what}; retrying in a minute");
    };
    let tokens = context.store.write(move |connection| {
        Box::pin(async move { client_tokens::delete_expired(connection, now).await })
    });
    if let Err(error) = tokens.await {
        failed("client tokens", &error);
    }
    loop {
        let events = context
            .store
            .write(move |connection| Box::pin(async move { logs::delete_expired(connection, now).await }));
        match events.await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                failed("log events", &error);
                break;
            }
        }
    }
    {
        let _order = context.stopped_tasks.lock().await;
        match stopped(context, now.minus(STOPPED_SHOWN)).await {
            Ok(arns) => context.changes.publish(Change::Forgotten(arns.into())),
            Err(error) => failed("stopped tasks", &error),
        }
    }
    // Frees what the rows above and what was deleted through the API have left.
    context.store.purge();
}

/// Moves the tasks that stopped before `time` onto the bill; returns their ARNs. A task that cannot be read stays where it
/// is.
async fn stopped(context: &Context, time: Timestamp) -> Result<Vec<String>, store::Error> {
    context
        .store
        .write(move |connection| {
            Box::pin(async move {
                let (mut arns, mut used) = (Vec::new(), Vec::new());
                for row in tasks::stopped_before(&mut *connection, time).await? {
                    match record::task(&row) {
                        Ok(task) => {
                            used.extend(usage::row_of(&task));
                            arns.push(row.arn);
                        }
                        // Reported at the start.
                        Err(error) => {
                            debug!(task = row.arn, %error, "left a stopped task that cannot be read")
                        }
                    }
                }
                if arns.is_empty() {
                    return Ok(arns);
                }
                table::keep_many(connection, &used).await?;
                let trimmed = table::trim(connection, table::MOST).await?;
                if trimmed > 0 {
                    info!(
                        tasks = trimmed,
                        kept = table::MOST,
                        "forgot what the oldest tasks were billed for"
                    );
                }
                tasks::delete_many(connection, &arns).await?;
                Ok(arns)
            })
        })
        .await
}
