//! When a container may start, and when it never will: `dependsOn`, and what follows from `volumesFrom` and
//! `pidMode: task`.
//!
//! ```text
//! dependsOn X          ─▶ X has reached the condition
//! volumesFrom X        ─▶ X is created: its volumes are mounted by its name
//! pidMode: task        ─▶ the container that holds the PID namespace is started: the others join it
//! ```
//!
//! Source: amazon-ecs-agent `agent/engine/dependencygraph/graph.go`, which adds `volumesFrom` as well; ContainerDependency
//! and startTimeout in the ECS API reference.

use std::collections::BTreeSet;
use std::time::Duration;

use super::model::Health;
use super::{Condition, Container, ContainerSpec, Dependency, Spec, Task, reason};
use crate::clock::Timestamp;

/// Whether the container at `index` may start: all its dependencies are satisfied.
pub(super) fn satisfied(task: &Task, index: usize) -> bool {
    let spec = &task.spec.containers[index];
    let explicit = spec.depends_on.iter().all(|dependency| {
        target(task, dependency).is_some_and(|(container, _)| resolves(container, dependency.condition))
    });
    explicit && implied(task, index)
}

/// A name that no container has is left to the runtime, whose error names it. So is a cycle, which only a task
/// definition of an earlier release can have.
fn implied(task: &Task, index: usize) -> bool {
    let sources = &task.spec.containers[index].process.volumes_from;
    if sources.is_empty() && !task.spec.shared_pid || order(edges(&task.spec)).is_none() {
        return true;
    }
    let exists = |name: &String| {
        task.container(name)
            .map(|source| &task.containers[source])
            .is_none_or(|source| source.container_id.is_some() || source.is_stopped())
    };
    sources.iter().all(|(name, _)| exists(name))
        && pid_holder(&task.spec, index).is_none_or(|holder| task.containers[holder].has_started())
}

/// The containers of a task in an order in which each comes after all that it waits for, as their indices; `None` if
/// some wait for each other. The input is the name of each container, in order, and the names of those that it waits for.
/// Unknown names are ignored.
pub fn order<'a>(containers: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> Option<Vec<usize>> {
    let containers: Vec<_> = containers.into_iter().collect();
    let known: BTreeSet<&str> = containers.iter().map(|(name, _)| *name).collect();
    let mut begun: BTreeSet<&str> = BTreeSet::new();
    let mut order = Vec::new();
    while order.len() < containers.len() {
        let next = containers.iter().enumerate().find(|(index, (_, waits_for))| {
            !order.contains(index)
                && waits_for.iter().all(|name| begun.contains(name) || !known.contains(name))
        });
        let (index, (name, _)) = next?;
        begun.insert(name);
        order.push(index);
    }
    Some(order)
}

/// `dependsOn` and `volumesFrom`. The edges of `pidMode` close no cycle: see [`pid_holder`].
fn edges(spec: &Spec) -> impl Iterator<Item = (&str, Vec<&str>)> {
    spec.containers.iter().map(|container| {
        let depends_on = container.depends_on.iter().map(|dependency| dependency.container.as_str());
        let volumes_from = container.process.volumes_from.iter().map(|(name, _)| name.as_str());
        (container.name.as_str(), depends_on.chain(volumes_from).collect())
    })
}

/// The container whose PID namespace the one at `index` joins; `None` if it has its own.
///
/// The first container in the order of starts holds it, except those whose end another container waits for. The
/// containers that the holder itself waits for start before it, and keep their own namespaces. On Fargate a container
/// outside the task holds it; here that could only be the sandbox's program, which must not be visible to a task.
pub(in crate::engine) fn pid_holder(spec: &Spec, index: usize) -> Option<usize> {
    if !spec.shared_pid {
        return None;
    }
    let is_to_end = |name: &str| {
        spec.containers.iter().flat_map(|container| &container.depends_on).any(|dependency| {
            dependency.container == name
                && matches!(dependency.condition, Condition::Complete | Condition::Success)
        })
    };
    let order = order(edges(spec))?;
    let holder = order.into_iter().find(|index| !is_to_end(&spec.containers[*index].name))?;
    (index != holder && !waits_for(spec, holder, index)).then_some(holder)
}

/// Whether the container at `from` waits for the one at `to`, directly or through others. The spec must have no cycle.
fn waits_for(spec: &Spec, from: usize, to: usize) -> bool {
    let edges: Vec<_> = edges(spec).collect();
    let mut reached = BTreeSet::from([edges[from].0]);
    loop {
        let before = reached.len();
        for (name, waits_for) in &edges {
            if reached.contains(name) {
                reached.extend(waits_for);
            }
        }
        if reached.len() == before {
            return reached.contains(edges[to].0);
        }
    }
}

fn resolves(container: &Container, condition: Condition) -> bool {
    match condition {
        Condition::Start => container.has_started(),
        Condition::Complete => container.is_stopped(),
        Condition::Success => container.is_stopped() && container.exit_code == Some(0),
        Condition::Healthy => container.health == Health::Healthy,
    }
}

/// The first container whose dependency can never be satisfied, and why.
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

/// The earliest time at which a wait times out.
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

/// Whether a container that depends on the one at `index` has not stopped yet: it stops first. When the holder of a PID
/// namespace ends, the kernel kills all containers that joined it.
pub(super) fn has_live_dependents(task: &Task, index: usize) -> bool {
    let name = &task.containers[index].name;
    task.containers.iter().zip(&task.spec.containers).enumerate().any(|(other, (container, spec))| {
        !container.is_stopped()
            && (spec.depends_on.iter().any(|dependency| dependency.container == *name)
                || pid_holder(&task.spec, other) == Some(index))
    })
}
