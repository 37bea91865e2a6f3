//! Task to pod status: pure, one function per situation.
//!
//! | the task | the pod |
//! | --- | --- |
//! | on its way up | Pending (Running if it has run before), containers Waiting `ContainerCreating` |
//! | RUNNING | Running; Ready by probes, health and gates |
//! | on its way down | as before; Ready False, unless the pod is deleted; what has exited is Terminated |
//! | ended, not run again | Succeeded or Failed by its exit codes |
//! | ended, run again later | Running (Pending if nothing ever ran), Waiting `CrashLoopBackOff` or `ImagePullBackOff` |
//! | refused | Pending, Waiting `UnsupportedPod` |
//!
//! Times are the task's own, in whole seconds as Kubernetes stores them. The parts of the status that are not the provider's
//! (others' conditions, the QoS class that the API server sets) stay.

use aws_sdk_ecs::types::{HealthStatus, Task};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, Pod, PodStatus,
};

use super::{
    phase::Phase,
    recorded::{has_run, statuses, waiting_reason},
    shape::{ContainerView, Facts, Shape, each, time},
    task,
};
use crate::translate::health;

/// The reason of a container that the provider cannot run.
pub const UNSUPPORTED: &str = "UnsupportedPod";

/// Pending if nothing of the pod has ever run, else Running: the phase of a pod that is on its way up, again or not.
fn rising(pod: &Pod) -> Phase {
    if has_run(pod) { Phase::Running } else { Phase::Pending }
}

/// The pod cannot run as a Fargate task.
#[must_use]
pub fn unsupported(facts: &Facts<'_>, message: &str) -> PodStatus {
    let shown = each(facts, |_| ContainerView::waiting(UNSUPPORTED, Some(message.to_owned())));
    Shape::new(facts, Phase::Pending, shown).render(facts)
}

/// There is no task: AWS refused it, or has no room.
#[must_use]
pub fn without_task(facts: &Facts<'_>, reason: &str, message: &str) -> PodStatus {
    let shown = each(facts, |_| ContainerView::waiting(reason, Some(message.to_owned())));
    Shape::new(facts, rising(facts.pod), shown).render(facts)
}

/// The attempt `attempt` is about to be run; written before its RunTask.
#[must_use]
pub fn next_attempt(facts: &Facts<'_>, ended: Option<&Task>, attempt: u32) -> PodStatus {
    let shown = each(facts, |container| {
        let mut shown = ContainerView::waiting("ContainerCreating", None);
        shown.last = last_state(ended, container);
        shown
    });
    let phase =
        if shown.iter().any(|shown| shown.last.is_some()) { Phase::Running } else { rising(facts.pod) };
    let mut shape = Shape::new(facts, phase, shown);
    shape.attempt = attempt;
    shape.created = ended.and_then(task::created_at);
    shape.render(facts)
}

/// The task has not ended.
#[must_use]
pub fn living(facts: &Facts<'_>, task: &Task) -> PodStatus {
    let place = task::status(task);
    let phase = match place {
        task::Status::Starting => rising(facts.pod),
        task::Status::Running => Phase::Running,
        task::Status::Stopping | task::Status::Stopped if task::started_at(task).is_some() => Phase::Running,
        task::Status::Stopping | task::Status::Stopped => rising(facts.pod),
    };
    let shown = each(facts, |container| {
        let seen = task::container(task, &container.name);
        if let Some(terminated) = exit(task, container, false) {
            return ContainerView::terminated(terminated).of(seen);
        }
        match (place, seen, task::started_at(task)) {
            (task::Status::Starting, _, _) | (_, None, _) | (_, _, None) => {
                ContainerView::waiting("ContainerCreating", None).of(seen)
            }
            (_, Some(seen), Some(started)) => {
                let up = place == task::Status::Running && task.desired_status() != Some("STOPPED");
                let (started_ok, ready) = if up {
                    readiness(facts, container, seen, started)
                } else {
                    draining(facts.pod, container)
                };
                let running = ContainerStateRunning { started_at: Some(time(started)) };
                ContainerView {
                    state: ContainerState { running: Some(running), ..ContainerState::default() },
                    last: None,
                    ready,
                    started: started_ok,
                    container_id: task::container_id(task, seen),
                    image_id: task::image_id(seen),
                }
            }
        }
    });
    Shape::new(facts, phase, shown).on(task).render(facts)
}

/// Whether a container whose task stops has started and is ready in the status: a pod that is deleted continues to serve until
/// its containers exit. Its endpoints are not ready from its deletion on in any case, but serving as long as it is ready;
/// clients without another endpoint still send there. A task that stops for any other reason must get no more requests.
fn draining(pod: &Pod, container: &Container) -> (bool, bool) {
    let before = statuses(pod).iter().find(|status| status.name == container.name);
    match before.filter(|_| pod.metadata.deletion_timestamp.is_some()) {
        Some(before) => (before.started == Some(true), before.ready),
        None => (false, false),
    }
}

/// Whether the container has started in the sense of its startup probe, and whether it is ready.
fn readiness(
    facts: &Facts<'_>,
    container: &Container,
    seen: &aws_sdk_ecs::types::Container,
    started: Timestamp,
) -> (bool, bool) {
    let probed = (facts.readiness)(&container.name);
    let healthy = health::usage(container).readiness.is_none_or(|delay| {
        let waited = facts.now.duration_since(started).as_secs() >= i64::from(delay);
        waited && seen.health_status() == Some(&HealthStatus::Healthy)
    });
    (probed.started, probed.started && probed.ready && healthy)
}

/// The task has ended and the pod with it.
#[must_use]
pub fn finished(facts: &Facts<'_>, task: &Task, phase: Phase) -> PodStatus {
    let shown = each(facts, |container| {
        let seen = task::container(task, &container.name);
        match exit(task, container, true) {
            Some(terminated) => ContainerView::terminated(terminated).of(seen),
            None => {
                let (reason, message) = task::start_failure(task, seen);
                ContainerView::waiting(reason, Some(message)).of(seen)
            }
        }
    });
    let mut shape = Shape::new(facts, phase, shown).on(task);
    match task::end(task) {
        task::End::Interrupted => {
            shape.disrupted = Some("Fargate took the task back");
            shape.reason = Some("Terminated".to_owned());
            shape.message = task.stopped_reason().map(str::to_owned);
        }
        task::End::NotStarted => {
            shape.reason = task.stop_code().map(|code| code.as_str().to_owned());
            shape.message = task.stopped_reason().map(str::to_owned);
        }
        task::End::Completed | task::End::Failed | task::End::Lost => {}
    }
    shape.render(facts)
}

/// The pod was active for longer than it may; its task has ended.
#[must_use]
pub fn deadline_exceeded(facts: &Facts<'_>, task: &Task) -> PodStatus {
    let mut status = finished(facts, task, Phase::Failed);
    status.reason = Some("DeadlineExceeded".to_owned());
    status.message = Some("Pod was active on the node longer than the specified deadline".to_owned());
    status
}

/// The task has ended and is run again after `wait`; `settled` once its end is no longer news.
#[must_use]
pub fn backing_off(facts: &Facts<'_>, task: &Task, wait: std::time::Duration, settled: bool) -> PodStatus {
    let started = task::end(task) != task::End::NotStarted;
    let shown = each(facts, |container| {
        let seen = task::container(task, &container.name);
        let mut shown = if started {
            ContainerView::waiting("CrashLoopBackOff", Some(crash_message(facts.pod, container, wait)))
        } else {
            let (reason, message) = task::start_failure(task, seen);
            start_failure(facts.pod, container, reason, message, settled)
        };
        shown.last = last_state(Some(task), container);
        shown.container_id = seen.map(|seen| task::container_id(task, seen)).unwrap_or_default();
        shown.of(seen)
    });
    let phase = if started { Phase::Running } else { rising(facts.pod) };
    let mut shape = Shape::new(facts, phase, shown);
    shape.created = task::created_at(task);
    shape.render(facts)
}

/// As the kubelet: `ErrImagePull` first, with the message; `ImagePullBackOff` from then on.
fn start_failure(
    pod: &Pod,
    container: &Container,
    reason: &str,
    message: String,
    settled: bool,
) -> ContainerView {
    let before = statuses(pod).iter().find(|status| status.name == container.name);
    let before = before.and_then(|before| before.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    if reason == "ErrImagePull"
        && (before == Some("ImagePullBackOff") || settled && before == Some("ErrImagePull"))
    {
        let image = container.image.as_deref().unwrap_or_default();
        let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {message}");
        return ContainerView::waiting("ImagePullBackOff", Some(message));
    }
    ContainerView::waiting(reason, Some(message))
}

fn crash_message(pod: &Pod, container: &Container, wait: std::time::Duration) -> String {
    use kube::ResourceExt;
    format!(
        "back-off {} restarting failed container={} pod={}_{}({})",
        go_duration(wait),
        container.name,
        pod.name_any(),
        pod.namespace().unwrap_or_default(),
        pod.uid().unwrap_or_default(),
    )
}

/// Whole seconds as Go prints a duration: `10s`, `1m20s`, `5m0s`.
fn go_duration(duration: std::time::Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// ECS no longer knows the task: how its containers ended is not known.
#[must_use]
pub fn lost(facts: &Facts<'_>) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some("The task was not found in ECS any more".to_owned()),
        finished_at: Some(time(facts.now)),
        ..ContainerStateTerminated::default()
    }
}

/// The task was lost and the pod is not run again.
#[must_use]
pub fn lost_for_good(facts: &Facts<'_>) -> PodStatus {
    let shown = each(facts, |_| ContainerView::terminated(lost(facts)));
    let mut shape = Shape::new(facts, Phase::Failed, shown);
    shape.reason = Some("NotFound".to_owned());
    let message = "The pod status was not found and may have been deleted from the provider";
    shape.message = Some(message.to_owned());
    shape.render(facts)
}

/// The task was lost and is run again after `wait`.
#[must_use]
pub fn lost_backing_off(facts: &Facts<'_>, wait: std::time::Duration) -> PodStatus {
    let waits = waiting_reason(facts.pod) == Some("CrashLoopBackOff");
    let shown = each(facts, |container| {
        let mut shown =
            ContainerView::waiting("CrashLoopBackOff", Some(crash_message(facts.pod, container, wait)));
        if !waits && has_run(facts.pod) {
            shown.last = Some(ContainerState { terminated: Some(lost(facts)), ..ContainerState::default() });
        }
        shown
    });
    Shape::new(facts, rising(facts.pod), shown).render(facts)
}

/// How the container of a task ended, as `lastState`; `None` if it never ran.
fn last_state(task: Option<&Task>, container: &Container) -> Option<ContainerState> {
    let terminated = exit(task?, container, true)?;
    Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() })
}

/// How the container ended; `None` if it has not, or never ran.
///
/// `over`: the whole task has ended, so that a container without an exit code has ended, too, in an unknown way.
fn exit(task: &Task, container: &Container, over: bool) -> Option<ContainerStateTerminated> {
    let seen = task::container(task, &container.name)?;
    let started = task::started_at(task);
    // ECS also gives an exit code to a container that waited in vain for another one and never ran.
    if started.is_none() && seen.runtime_id().is_none_or(str::is_empty) {
        return None;
    }
    let (exit_code, reason, message) = match seen.exit_code() {
        Some(code) if task::is_out_of_memory(task, seen) => (code, "OOMKilled", None),
        Some(0) => (0, "Completed", None),
        Some(code) => (code, "Error", seen.reason()),
        None if over && started.is_some() => {
            (137, "ContainerStatusUnknown", seen.reason().or_else(|| task.stopped_reason()))
        }
        None => return None,
    };
    Some(ContainerStateTerminated {
        container_id: Some(task::container_id(task, seen)).filter(|id| !id.is_empty()),
        exit_code,
        reason: Some(reason.to_owned()),
        message: message.filter(|message| !message.is_empty()).map(str::to_owned),
        signal: None,
        started_at: started.map(time),
        finished_at: task::ended_at(task).map(time),
    })
}
