//! `dependsOn`: when a container may start, and when it never will.
//!
//! Source: amazon-ecs-agent `agent/engine/dependencygraph/graph.go`; ContainerDependency and startTimeout in the ECS API
//! reference.

use std::time::Duration;

use super::model::Health;
use super::{Condition, Container, ContainerSpec, Dependency, Task, reason};
use crate::clock::Timestamp;

/// Whether all dependencies of the container at `index` are satisfied.
pub(super) fn satisfied(task: &Task, index: usize) -> bool {
    task.spec.containers[index].depends_on.iter().all(|dependency| {
        target(task, dependency).is_some_and(|(container, _)| resolves(container, dependency.condition))
    })
}

fn resolves(container: &Container, condition: Condition) -> bool {
    match condition {
        Condition::Start => container.has_started(),
        Condition::Complete => container.is_stopped(),
        Condition::Success => container.is_stopped() && container.exit_code == Some(0),
        Condition::Healthy => container.health == Health::Healthy,
    }
}

/// The first container that waits in vain, and why.
pub(super) fn hopeless(task: &Task, now: Timestamp) -> Option<(usize, String)> {
    waiting(task).find_map(|(index, dependency, container, spec)| {
        let because = if dependency.condition == Condition::Success
            && container.is_stopped()
            && container.exit_code != Some(0)
        {
            "as dependency did not exit successfully."
        } else if container.is_stopped() && container.started_at.is_none() {
            "because dependency will never start"
        } else if dependency.condition == Condition::Healthy && container.is_stopped() {
            "as dependency stopped before it was healthy."
        } else if deadline(dependency, container, spec).is_some_and(|deadline| now >= deadline) {
            "has timed out."
        } else {
            return None;
        };
        Some((index, reason::dependency_failed(&container.name, &task.containers[index].name, because)))
    })
}

/// When, at the earliest, waiting will have been too long.
pub(super) fn next_deadline(task: &Task) -> Option<Timestamp> {
    waiting(task).filter_map(|(_, dependency, container, spec)| deadline(dependency, container, spec)).min()
}

/// `startTimeout` belongs to the container that is depended upon and counts from its start.
fn deadline(dependency: &Dependency, container: &Container, spec: &ContainerSpec) -> Option<Timestamp> {
    if dependency.condition == Condition::Start {
        return None;
    }
    let timeout = spec.start_timeout?;
    Some(container.started_at?.plus(Duration::from_secs(u64::from(timeout))))
}

/// Every unsatisfied dependency of a container that has not been created yet.
fn waiting(task: &Task) -> impl Iterator<Item = (usize, &Dependency, &Container, &ContainerSpec)> {
    task.containers
        .iter()
        .enumerate()
        .filter(|(_, container)| !container.has_started() && container.container_id.is_none())
        .flat_map(|(index, _)| {
            task.spec.containers[index].depends_on.iter().map(move |dependency| (index, dependency))
        })
        .filter_map(|(index, dependency)| {
            target(task, dependency).map(|(container, spec)| (index, dependency, container, spec))
        })
        .filter(|(_, dependency, container, _)| !resolves(container, dependency.condition))
}

fn target<'a>(task: &'a Task, dependency: &Dependency) -> Option<(&'a Container, &'a ContainerSpec)> {
    let index = task.container(&dependency.container)?;
    Some((&task.containers[index], &task.spec.containers[index]))
}

/// Whether a container that depends on the one at `index` is still there: it stops first.
pub(super) fn has_live_dependents(task: &Task, index: usize) -> bool {
    let name = &task.containers[index].name;
    task.containers.iter().zip(&task.spec.containers).any(|(container, spec)| {
        !container.is_stopped() && spec.depends_on.iter().any(|dependency| dependency.container == *name)
    })
}
