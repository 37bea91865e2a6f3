//! What is to be done for a task now: computed only from its state, before any I/O.
//!
//! The plan is level-triggered: each time it names everything that should be under way. So a restart of the process
//! needs no memory of what was begun, and the supervisor only has to leave out what is in flight.

use super::{ContainerStatus, Desired, Status, Task, depends};

/// One thing to do. Containers are named by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Claim a sandbox of the task's subnet. PROVISIONING.
    Claim,
    /// Create the shared parts and the log streams.
    Initialize,
    /// Resolve the container's image.
    Pull(usize),
    /// Create and start the container, or restart it.
    Start(usize),
    /// Publish STOPPING before the first signal is sent.
    AnnounceStop,
    /// Stop the container within its `stopTimeout`.
    Stop(usize),
    /// Look at the container: events of it may have been missed. Never planned: a supervisor decides when.
    Look(usize),
    /// Commit the last of the logs, then remove containers, sandbox and shared parts. DEPROVISIONING.
    Release,
}

impl Action {
    /// The container that it works on.
    pub fn container(self) -> Option<usize> {
        match self {
            Self::Pull(index) | Self::Start(index) | Self::Stop(index) | Self::Look(index) => Some(index),
            Self::Claim | Self::Initialize | Self::AnnounceStop | Self::Release => None,
        }
    }
}

/// All that should be under way for `task`.
pub fn plan(task: &Task) -> Vec<Action> {
    match task.desired_status {
        _ if task.is_stopped() => Vec::new(),
        Desired::Running => start(task),
        Desired::Stopped => stop(task),
    }
}

/// When the task must be checked again even if nothing happens to it.
pub fn deadline(task: &Task) -> Option<crate::clock::Timestamp> {
    (task.desired_status == Desired::Running).then(|| depends::next_deadline(task)).flatten()
}

/// Whether everything before the starts of containers is done, so that starts may be under way and not committed yet.
pub(super) fn may_be_starting(task: &Task) -> bool {
    task.attachment.sandbox_id.is_some() && preparations(task).is_empty()
}

fn preparations(task: &Task) -> Vec<Action> {
    let pulls =
        indices(task).filter(|index| task.containers[*index].image_digest.is_none()).map(Action::Pull);
    pulls.chain((!task.initialized).then_some(Action::Initialize)).collect()
}

fn start(task: &Task) -> Vec<Action> {
    if task.attachment.sandbox_id.is_none() {
        return vec![Action::Claim];
    }
    let preparations = preparations(task);
    if !preparations.is_empty() {
        return preparations;
    }
    // A container that was created before is restarted by its policy: dependencies count only for the first start.
    indices(task)
        .filter(|index| task.containers[*index].last_status == ContainerStatus::Pending)
        .filter(|index| task.containers[*index].container_id.is_some() || depends::satisfied(task, *index))
        .map(Action::Start)
        .collect()
}

fn stop(task: &Task) -> Vec<Action> {
    if task.last_status == Status::Deprovisioning {
        return vec![Action::Release];
    }
    if task.last_status < Status::Stopping {
        return vec![Action::AnnounceStop];
    }
    indices(task)
        .filter(|index| !task.containers[*index].is_stopped())
        // A container that was never created has no order to keep: in a cycle of dependencies, which an older release
        // accepted, each would wait for the other.
        .filter(|index| {
            task.containers[*index].container_id.is_none() || !depends::has_live_dependents(task, *index)
        })
        .map(Action::Stop)
        .collect()
}

fn indices(task: &Task) -> std::ops::Range<usize> {
    0..task.containers.len()
}
