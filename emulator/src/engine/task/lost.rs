//! A task whose containers belong to another instance, or to none: STOPPED at once, with nothing to release.

use super::model::{AttachmentStatus, ContainerStatus, Desired, Status, StopCode, Task};
use crate::clock::Timestamp;

/// The task, STOPPED for `reason` without any action.
pub fn lost(task: &Task, reason: &str, now: Timestamp) -> Task {
    let mut task = task.clone();
    task.desired_status = Desired::Stopped;
    task.last_status = Status::Stopped;
    task.version += 1;
    task.stop_code.get_or_insert(StopCode::InfrastructureHealth);
    task.stopped_reason.get_or_insert_with(|| reason.to_owned());
    task.stopping_at.get_or_insert(now);
    task.execution_stopped_at.get_or_insert(now);
    task.stopped_at = Some(now);
    task.attachment.status = AttachmentStatus::Deleted;
    for container in task.containers.iter_mut().filter(|container| !container.is_stopped()) {
        container.last_status = ContainerStatus::Stopped;
        container.stopped_at = Some(now);
    }
    task
}
