//! What an inventory shows of one task, and the events that must have happened to the task. Pure.
//!
//! An inventory is out of date as soon as it is taken: a container that was created since is missing, and one that was
//! restarted is shown as it was before. So it counts only for what has not changed since before it was taken.

use std::collections::{HashMap, HashSet};

use super::seen::{runtime_id, seen};
use crate::engine::task::{Container, ContainerStatus, Event, Health, Task};
use crate::runtime::{Inventory, Observed, State};

/// One task in an inventory.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Observation {
    observed: Vec<Observed>,
    /// The task's containers before the inventory was taken, in their order.
    before: Vec<Before>,
    /// The sandbox that the task had before, if that does not run.
    lost_sandbox: Option<String>,
}

/// Which run of a container was the last one, and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Before {
    container_id: Option<String>,
    restart_count: u32,
    last_status: ContainerStatus,
}

/// An inventory, by task.
#[derive(Debug)]
pub(in crate::engine) struct ByTask<'i> {
    containers: HashMap<&'i str, Vec<&'i Observed>>,
    sandboxes: HashSet<&'i str>,
}

impl<'i> ByTask<'i> {
    pub(in crate::engine) fn new(inventory: &'i Inventory) -> Self {
        let mut containers: HashMap<&str, Vec<&Observed>> = HashMap::new();
        for container in &inventory.containers {
            containers.entry(container.task_id.as_str()).or_default().push(container);
        }
        let running = inventory.sandboxes.iter().filter(|sandbox| sandbox.running);
        Self { containers, sandboxes: running.map(|sandbox| sandbox.sandbox_id.as_str()).collect() }
    }

    /// What it shows of `task`, which must have been read before the inventory was taken.
    pub(in crate::engine) fn of(&self, task: &Task) -> Observation {
        let observed = self.containers.get(task.id.as_str()).into_iter().flatten();
        let lost = |sandbox_id: &&String| !self.sandboxes.contains(sandbox_id.as_str());
        Observation {
            observed: observed.map(|observed| Observed::clone(observed)).collect(),
            before: task.containers.iter().map(Before::of).collect(),
            lost_sandbox: task.attachment.sandbox_id.as_ref().filter(lost).cloned(),
        }
    }
}

impl Before {
    fn of(container: &Container) -> Self {
        let Container { container_id, restart_count, last_status, .. } = container;
        Self { container_id: container_id.clone(), restart_count: *restart_count, last_status: *last_status }
    }
}

impl Observation {
    /// The events that must have happened to `task`, compared with its current state. Containers that are `busy`, by
    /// their index, are skipped: an action works on them and reports its own events.
    pub(in crate::engine) fn events(&self, task: &Task, busy: impl Fn(usize) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        for (index, (container, before)) in task.containers.iter().zip(&self.before).enumerate() {
            if !container.is_stopped() && *before == Before::of(container) && !busy(index) {
                self.of_container(task, index, &mut events);
            }
        }
        if let Some(sandbox_id) = self.lost_sandbox.clone()
            && task.attachment.sandbox_id.as_ref() == Some(&sandbox_id)
        {
            events.push(Event::SandboxLost { sandbox_id });
        }
        events
    }

    fn of_container(&self, task: &Task, index: usize, events: &mut Vec<Event>) {
        let container = &task.containers[index];
        // A container in a sandbox that the task has lost no longer belongs to the task.
        let sandbox_id = task.attachment.sandbox_id.as_ref();
        let is_own =
            |observed: &&Observed| is(observed, container) && sandbox_id == Some(&observed.sandbox_id);
        let observed = self.observed.iter().find(is_own);
        match (observed, &container.container_id) {
            // It was created, and the process died before that was committed.
            (Some(observed), None) => {
                let container_id = observed.container_id.clone();
                let runtime_id = runtime_id(task);
                events.push(Event::Created { container: index, container_id, runtime_id });
                events.extend(seen(index, container, Some(observed)));
            }
            (Some(observed), Some(_)) if is_news(observed, container) => {
                events.extend(seen(index, container, Some(observed)));
            }
            (None, Some(_)) => events.extend(seen(index, container, None)),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

fn is(observed: &Observed, container: &Container) -> bool {
    observed.name == container.name
        && container.container_id.as_ref().is_none_or(|container_id| *container_id == observed.container_id)
}

/// Whether something is observed that the task has not seen before.
fn is_news(observed: &Observed, container: &Container) -> bool {
    // A container that waits for its restart is still observed as it ended.
    let later = |started_at: Option<_>| container.stopped_at.is_none_or(|ended| started_at > Some(ended));
    match (&observed.state, container.last_status) {
        (State::Created, _) => false,
        (State::Running { healthy, .. }, ContainerStatus::Running) => match healthy {
            Some(true) => container.health != Health::Healthy,
            Some(false) => container.health != Health::Unhealthy,
            None => false,
        },
        (State::Running { since, .. }, _) => later(Some(*since)),
        (State::Exited { .. }, ContainerStatus::Running) => true,
        (State::Exited { started_at, .. }, _) => later(*started_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::runtime::Exit;

    fn container(last_status: ContainerStatus, health: Health) -> Container {
        Container {
            name: "app".into(),
            arn: "arn".into(),
            runtime_id: None,
            container_id: Some("id".into()),
            image_digest: None,
            last_status,
            started_at: Some(Timestamp(10)),
            stopped_at: (last_status == ContainerStatus::Pending).then_some(Timestamp(20)),
            exit_code: None,
            reason: None,
            health,
            restart_count: 1,
        }
    }

    fn observed(state: State) -> Observed {
        Observed {
            container_id: "id".into(),
            task_id: "task".into(),
            sandbox_id: "sandbox".into(),
            name: "app".into(),
            state,
        }
    }

    #[test]
    fn what_the_task_knows_already_is_no_news() {
        use ContainerStatus::{Pending, Running};
        let runs = |healthy| State::Running { since: Timestamp(10), healthy };
        let exited = |started| State::Exited {
            started_at: Some(Timestamp(started)),
            exit: Exit { code: 1, oom_killed: false, at: Timestamp(20) },
        };
        for (state, status, health, news) in [
            (State::Created, Pending, Health::Unknown, false),
            (runs(None), Running, Health::Unknown, false),
            (runs(Some(true)), Running, Health::Healthy, false),
            (runs(Some(true)), Running, Health::Unknown, true),
            (runs(Some(false)), Running, Health::Unknown, true),
            (runs(Some(false)), Running, Health::Unhealthy, false),
            (exited(10), Running, Health::Unknown, true),
            // Its own last exit, seen while it waits for its restart; and the end of a start that was missed.
            (exited(10), Pending, Health::Unknown, false),
            (exited(21), Pending, Health::Unknown, true),
        ] {
            let seen = observed(state.clone());
            assert_eq!(is_news(&seen, &container(status, health)), news, "{state:?}, {status:?}, {health:?}");
        }
    }
}
