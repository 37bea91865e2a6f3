//! A task as the store keeps it.

use crate::engine::task::{Status, Task};
use crate::store::{self, tasks::Row};

/// The row of a task.
pub(in crate::engine) fn row(task: &Task) -> Row {
    Row {
        arn: task.arn.clone(),
        cluster_arn: task.cluster_arn.clone(),
        last_status: status(task.last_status).to_owned(),
        stopped_at: task.stopped_at,
        // Plain data with string keys: there is nothing in it that JSON could not say.
        body: serde_json::to_string(task).unwrap_or_default(),
    }
}

/// The task of a row. A row that cannot be read back is an error, never a task left out.
pub(in crate::engine) fn task(row: &Row) -> Result<Task, store::Error> {
    serde_json::from_str(&row.body)
        .map_err(|source| store::Error::Corrupt { what: "a task", source: Box::new(source) })
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Provisioning => "PROVISIONING",
        Status::Pending => "PENDING",
        Status::Activating => "ACTIVATING",
        Status::Running => "RUNNING",
        Status::Deactivating => "DEACTIVATING",
        Status::Stopping => "STOPPING",
        Status::Deprovisioning => "DEPROVISIONING",
        Status::Stopped => "STOPPED",
    }
}
