//! What a pod's own status records: its attempt, and what ran before.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use super::restart;

/// The attempt that the status is about: its restart count, the same for all containers.
#[must_use]
pub fn attempt(pod: &Pod) -> u32 {
    statuses(pod)
        .iter()
        .map(|status| status.restart_count)
        .max()
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0)
}

/// The run that the status records as the last one.
#[must_use]
pub fn last_run(pod: &Pod) -> Option<restart::Run> {
    let last = statuses(pod).iter().filter_map(|status| status.last_state.as_ref()?.terminated.as_ref());
    last.filter_map(|last| {
        Some(restart::Run {
            started: last.started_at.as_ref().map(|at| at.0),
            ended: last.finished_at.as_ref()?.0,
        })
    })
    .max_by_key(|run| run.ended)
}

/// Whether a container of the pod has ever run.
#[must_use]
pub fn has_run(pod: &Pod) -> bool {
    statuses(pod).iter().any(|status| {
        let ran = |state: &Option<ContainerState>| {
            state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        };
        ran(&status.state) || ran(&status.last_state)
    })
}

/// Why the containers wait, if all do.
#[must_use]
pub fn waiting_reason(pod: &Pod) -> Option<&str> {
    statuses(pod).iter().find_map(|status| status.state.as_ref()?.waiting.as_ref()?.reason.as_deref())
}

pub(super) fn statuses(pod: &Pod) -> &[ContainerStatus] {
    pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default()
}
