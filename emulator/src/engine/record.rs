//! A task as the store keeps it.

use super::task::{Status, Task};
use crate::store::{self, Body, tasks::Row};

/// The version of a stored body.
const VERSION: u32 = 1;

/// The row of a task.
pub(super) fn row(task: &Task) -> Row {
    Row {
        arn: task.arn.clone(),
        cluster_arn: task.cluster_arn.clone(),
        task_definition_arn: task.task_definition_arn.clone(),
        last_status: status(task.last_status).to_owned(),
        stopped_at: task.stopped_at,
        body: Body::new(VERSION, task),
    }
}

/// The task of a row. A row that cannot be read back is an error: no task is left out silently.
pub(super) fn task(row: &Row) -> Result<Task, store::Error> {
    match row.body.version {
        VERSION => row.body.parse("a task"),
        _ => Err(row.body.newer("a task", VERSION)),
    }
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
