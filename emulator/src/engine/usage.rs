//! What tasks are billed for: of those that are shown from memory, of those that are forgotten from the store.

use std::collections::HashSet;

use super::Engine;

use super::task::Task;
use super::work::record;
use crate::clock::Timestamp;
use crate::cost::Usage;
use crate::store::{self, tasks, usage};

/// The capacity provider of Fargate Spot.
const SPOT: &str = "FARGATE_SPOT";

impl Engine {
    /// What every task was billed for so far, since the last reset.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn usages(&self) -> Result<Vec<Usage>, store::Error> {
        let context = &self.0.context;
        // First what is shown: a task that is forgotten meanwhile is then in both, never in none.
        let shown = context.registry.all();
        let kept = usage::load_all(context.store.readers()).await?;
        let arns: HashSet<&str> = shown.iter().map(|task| task.arn.as_str()).collect();
        let kept = kept.iter().filter(|row| !arns.contains(row.task_arn.as_str())).map(read);
        kept.chain(shown.iter().filter_map(|task| of(task)).map(Ok)).collect()
    }
}

/// Keeps what the tasks that stopped before `time` are billed for, in the transaction that forgets them.
pub(super) async fn keep_stopped_before(
    connection: &mut store::SqliteConnection,
    time: Timestamp,
) -> Result<(), store::Error> {
    let mut kept = Vec::new();
    for row in tasks::stopped_before(&mut *connection, time).await? {
        kept.extend(of(&record::task(&row)?).map(|usage| written(&usage)));
    }
    usage::keep_many(connection, &kept).await
}

/// A task's part on the bill; `None`: its image pull never began, and Fargate bills from there.
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
        // Plain data with string keys: there is nothing in it that JSON could not say.
        body: serde_json::to_string(usage).unwrap_or_default(),
    }
}

fn read(row: &usage::Row) -> Result<Usage, store::Error> {
    serde_json::from_str(&row.body)
        .map_err(|source| store::Error::Corrupt { what: "a task's usage", source: Box::new(source) })
}
