//! What tasks are billed for: from memory for tasks that are shown, from the store for tasks that are forgotten.

use std::collections::HashSet;

use tracing::warn;

use super::context::Context;
use super::task::Task;
use crate::cost::Usage;
use crate::store::{self, Body, usage};

/// The version of a stored body.
const VERSION: u32 = 1;

/// The capacity provider of Fargate Spot.
const SPOT: &str = "FARGATE_SPOT";

/// What every task was billed for so far, since the last reset. A row that cannot be read is left out.
pub(super) async fn all(context: &Context) -> Result<Vec<Usage>, store::Error> {
    // The shown tasks first: a task that is forgotten meanwhile is then in both, never in neither.
    let shown = context.registry.all();
    let kept = usage::load_all(context.store.readers()).await?;
    let arns: HashSet<&str> = shown.iter().map(|task| task.arn.as_str()).collect();
    let kept = kept.iter().filter(|row| !arns.contains(row.task_arn.as_str()));
    let kept = kept.filter_map(|row| match read(row) {
        Ok(usage) => Some(usage),
        Err(error) => {
            warn!(task = row.task_arn, %error, "could not read the usage of a task; the bill leaves it out");
            None
        }
    });
    Ok(kept.chain(shown.iter().filter_map(|task| of(task))).collect())
}

/// The row of what a task that has stopped was billed for; `None` if it was not.
pub(super) fn row_of(task: &Task) -> Option<usage::Row> {
    of(task).map(|usage| written(&usage))
}

/// A task's part of the bill; `None` if its image pull never began, because Fargate bills from then on.
fn of(task: &Task) -> Option<Usage> {
    Some(Usage {
        task_arn: task.arn.clone(),
        cluster_arn: task.cluster_arn.clone(),
        region: task.region.clone(),
        family: task.family.clone(),
        group: task.group.clone(),
        tags: task.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
        arm: task.cpu_architecture == "ARM64",
        spot: task.capacity_provider_name.as_deref() == Some(SPOT),
        cpu: task.cpu,
        memory: task.memory,
        ephemeral_storage: task.ephemeral_storage,
        from: task.pull_started_at?,
        until: task.stopped_at,
    })
}

fn written(usage: &Usage) -> usage::Row {
    usage::Row {
        task_arn: usage.task_arn.clone(),
        stopped_at: usage.until.unwrap_or(usage.from),
        body: Body::new(VERSION, usage),
    }
}

fn read(row: &usage::Row) -> Result<Usage, store::Error> {
    match row.body.version {
        VERSION => row.body.parse("a task's usage"),
        _ => Err(row.body.newer("a task's usage", VERSION)),
    }
}
