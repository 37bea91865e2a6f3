//! What is seen of a container on the runtime, as events of its task.

use rand::Rng;

use crate::engine::task::{Event, Task};
use crate::runtime::{Observed, State};

/// The events that lead to what was observed.
pub(in crate::engine) fn seen(container: usize, observed: Option<&Observed>) -> Vec<Event> {
    match observed.map(|observed| &observed.state) {
        None => vec![Event::Gone { container }],
        Some(State::Created) => Vec::new(),
        Some(State::Running { since, healthy }) => {
            let health = healthy.map(|healthy| Event::Health { container, healthy });
            std::iter::once(Event::Started { container, at: *since }).chain(health).collect()
        }
        Some(State::Exited { started_at, exit }) => {
            let started = started_at.map(|at| Event::Started { container, at });
            started.into_iter().chain([Event::Exited { container, exit: *exit }]).collect()
        }
    }
}

/// `<task id>-<10 digits>`, as platform version 1.4.0 has it.
pub(in crate::engine) fn runtime_id(task: &Task) -> String {
    format!("{}-{:010}", task.id, rand::rng().random_range(0..10_000_000_000u64))
}
