//! The observed state of a container on the runtime, as events of its task.

use rand::Rng;

use crate::engine::task::{Container, ContainerStatus, Event, Task};
use crate::runtime::{Exit, Observed, State};

/// The events that lead from `known` to the observed state of the container, if nothing else happened in between.
///
/// The observed state counts regardless of its timestamps, because the engine's clock may have been set. So no event is
/// dated before the one that it follows.
pub(in crate::engine) fn seen(
    container: usize,
    known: &Container,
    observed: Option<&Observed>,
) -> Vec<Event> {
    let after_last_exit = |at| known.stopped_at.map_or(at, |ended| ended.max(at));
    match observed.map(|observed| &observed.state) {
        None => vec![Event::Gone { container }],
        Some(State::Created) => Vec::new(),
        Some(State::Running { since, healthy }) => {
            let started = Event::Started { container, at: after_last_exit(*since) };
            let health = healthy.map(|healthy| Event::Health { container, healthy });
            std::iter::once(started).chain(health).collect()
        }
        Some(State::Exited { started_at, exit }) => {
            let runs = known.last_status == ContainerStatus::Running;
            let started_at = if runs { known.started_at } else { *started_at };
            let at = started_at.map_or(exit.at, |started| started.max(exit.at));
            let started = started_at.map(|at| Event::Started { container, at });
            started.into_iter().chain([Event::Exited { container, exit: Exit { at, ..*exit } }]).collect()
        }
    }
}

/// [`seen`] of a container that was stopped: one that never started will not start.
pub(in crate::engine) fn seen_stopped(
    container: usize,
    known: &Container,
    observed: Option<&Observed>,
) -> Vec<Event> {
    match observed.map(|observed| &observed.state) {
        Some(State::Created) => vec![Event::Gone { container }],
        _ => seen(container, known, observed),
    }
}

/// `<task id>-<10 digits>`, as in platform version 1.4.0.
pub(in crate::engine) fn runtime_id(task: &Task) -> String {
    format!("{}-{:010}", task.id, rand::rng().random_range(0..10_000_000_000u64))
}
