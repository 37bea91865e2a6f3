//! What is to be done about a pod: a pure function of the pod, its task and the time.
//!
//! ```text
//! deleted?  -- task lives --> its preStop hooks, Stop, wait for STOPPED, write the end, Delete
//! final?    -- task lives --> Stop; else nothing
//! no task   -- unsupported -> refuse; else Run
//! task      -- lives -------> status; a liveness failure or a deadline: Stop
//!            - ended --------> restart::next: finish, or back off, or the next attempt and Run
//! lost      -- as ended, its exit codes unknown
//! ```
//!
//! Unknown is not lost: if AWS has not responded, nothing changes.

use std::time::Duration;

use aws_sdk_ecs::types::{HealthStatus, Task};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};

use super::{
    events::Event,
    phase::Phase,
    pre_stop, recorded,
    restart::{self, Next, Policy},
    seen::Seen,
    shape::{Facts, Readiness},
    status, task,
    task_view::{Condemned, TaskView},
};
use crate::{
    nodes::Node,
    translate::{Unsupported, health, support},
};

/// What to do after the status is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextAction {
    /// Nothing until something changes, or for this long at most.
    Wait(Option<Duration>),
    /// Run the pod's attempt.
    Run {
        /// Which, from 0; the status already has it.
        attempt: u32,
    },
    /// Start the pod's `preStop` hooks if they have not begun; until they have ended, or for this long, nothing else follows.
    PreStop {
        /// The time left for them.
        left: Duration,
    },
    /// Stop the task.
    Stop {
        /// Its ARN.
        arn: String,
        /// The reason for ECS.
        reason: String,
    },
    /// Remove the pod object.
    Delete,
}

/// What is to be done: write the status if it differs, send the events, then the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The status that the pod should have; `None` leaves it unchanged.
    pub status: Option<PodStatus>,
    /// Events in addition to those of the change of status.
    pub events: Vec<Event>,
    /// What follows.
    pub then: NextAction,
}

impl Decision {
    fn wait(again: Option<Duration>) -> Self {
        Self { status: None, events: Vec::new(), then: NextAction::Wait(again) }
    }

    fn then(then: NextAction) -> Self {
        Self { status: None, events: Vec::new(), then }
    }

    fn with(mut self, status: PodStatus) -> Self {
        self.status = Some(status);
        self
    }
}

/// Everything that a decision is based on.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its task.
    pub view: &'a TaskView,
    /// The prober's verdicts, by container.
    pub readiness: &'a (dyn Fn(&str) -> Readiness + Sync),
    /// The container that the prober has given up in this attempt, if one.
    pub condemned: Option<&'a Condemned>,
    /// Whether all `httpGet` hooks of the pod have been answered.
    pub answered: bool,
    /// The pod's node.
    pub node: &'a Node,
    /// Whether an init container of the provider runs before the pod's.
    pub init: bool,
    /// What this process has seen of the pod so far, the present included.
    pub seen: Seen,
    /// The current instant.
    pub now: Timestamp,
}

impl std::fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("view", self.view).field("now", &self.now).finish_non_exhaustive()
    }
}

/// How long `ErrImagePull` is shown before `ImagePullBackOff`.
const NEXT_SYNC: Duration = Duration::from_secs(2);

/// How long a pod that is deleted waits for STOPPED once nothing of its task runs any more.
const RELEASE: Duration = Duration::from_secs(60);

/// What is to be done about the pod.
#[must_use]
pub fn decide(question: &Question<'_>) -> Decision {
    let &Question { pod, view, .. } = question;
    let Some(spec) = &pod.spec else { return Decision::wait(None) };
    if pod.metadata.deletion_timestamp.is_some() {
        return deleting(question, spec);
    }
    if Phase::of(pod).is_final() {
        return match view {
            TaskView::Task(task) if !task::is_stopping(task) => {
                let reason = format!("The pod is {}", Phase::of(pod).as_str());
                Decision::then(NextAction::Stop { arn: task::arn(task).to_owned(), reason })
            }
            _ => Decision::wait(None),
        };
    }
    match view {
        TaskView::Unknown => Decision::wait(None),
        TaskView::None => absent(question),
        TaskView::Task(task) if task::has_ended(task) => ended(question, spec, task),
        TaskView::Task(task) => living(question, spec, task),
        TaskView::Missing => lost(question, spec),
    }
}

impl<'a> Question<'a> {
    fn facts(&self) -> Facts<'a> {
        Facts { pod: self.pod, node: self.node, now: self.now, readiness: self.readiness }
    }

    /// How long the pod may still be active; zero when that is over, `None` without a deadline.
    fn remaining(&self, spec: &PodSpec) -> Option<Duration> {
        let seconds = u64::try_from(spec.active_deadline_seconds?).ok()?;
        let started = self.pod.status.as_ref()?.start_time.as_ref()?.0;
        let active = Duration::try_from(self.now.duration_since(started)).unwrap_or_default();
        Some(Duration::from_secs(seconds).saturating_sub(active))
    }
}

fn deleting(question: &Question<'_>, spec: &PodSpec) -> Decision {
    let facts = question.facts();
    match question.view {
        TaskView::Unknown => Decision::wait(None),
        TaskView::None | TaskView::Missing => Decision::then(NextAction::Delete),
        TaskView::Task(task) if release(question, task) == Some(Duration::ZERO) => {
            let phase = match task::end(task) {
                task::End::Completed => Phase::Succeeded,
                _ => Phase::Failed,
            };
            let decision = Decision::then(NextAction::Delete);
            if Phase::of(question.pod).is_final() {
                decision
            } else {
                decision.with(status::finished(&facts, task, phase))
            }
        }
        TaskView::Task(task) if task::is_stopping(task) => {
            Decision::wait(release(question, task)).with(status::living(&facts, task))
        }
        TaskView::Task(task) => {
            let seen = question.seen.deleted.unwrap_or(question.now);
            let left = pre_stop::left(question.pod, spec, question.answered, seen, question.now);
            if let (task::Status::Running, Some(left)) = (task::status(task), left) {
                return Decision::then(NextAction::PreStop { left }).with(status::living(&facts, task));
            }
            let arn = task::arn(task).to_owned();
            let stop = NextAction::Stop { arn, reason: "Kubernetes deleted the pod".to_owned() };
            let mut decision = Decision::then(stop).with(status::living(&facts, task));
            decision.events = spec
                .containers
                .iter()
                .map(|container| {
                    Event::normal("Killing", "Stopping", format!("Stopping container {}", container.name))
                        .of(&container.name)
                })
                .collect();
            decision
        }
    }
}

/// How long a pod that is deleted still waits for its task to be STOPPED, if nothing runs there any more: the pod need not wait until
/// ECS has removed the task's interface. `None` while something runs.
fn release(question: &Question<'_>, task: &Task) -> Option<Duration> {
    if task::status(task) == task::Status::Stopped {
        return Some(Duration::ZERO);
    }
    let ended = question.seen.ended(recorded::attempt(question.pod), question.now);
    let waited = Duration::try_from(question.now.duration_since(ended)).unwrap_or_default();
    task::nothing_runs(task).then(|| RELEASE.saturating_sub(waited))
}

fn absent(question: &Question<'_>) -> Decision {
    let reasons = support::reasons(question.pod, question.init);
    if reasons.is_empty() {
        return Decision::then(NextAction::Run { attempt: recorded::attempt(question.pod) });
    }
    // It stays like that until the pod is changed.
    let unsupported = Unsupported { reasons }.to_string();
    Decision::wait(None).with(status::unsupported(&question.facts(), &unsupported))
}

fn living(question: &Question<'_>, spec: &PodSpec, task: &Task) -> Decision {
    let facts = question.facts();
    let status = status::living(&facts, task);
    if task::is_stopping(task) {
        return Decision::wait(None).with(status);
    }
    let arn = task::arn(task).to_owned();
    let remaining = question.remaining(spec);
    if remaining == Some(Duration::ZERO) {
        let reason = "The pod was active for longer than its activeDeadlineSeconds".to_owned();
        return Decision::then(NextAction::Stop { arn, reason }).with(status);
    }
    if let Some(Condemned { container, probe, message }) = question.condemned {
        let reason = format!("Container {container}: {message}");
        let mut decision = Decision::then(NextAction::Stop { arn, reason }).with(status);
        decision.events = vec![killing(container, probe)];
        return decision;
    }
    if let Some(container) = unhealthy(spec, task) {
        let message = "Liveness probe failed: the container's health check is UNHEALTHY".to_owned();
        let reason = format!("Container {container}: {message}");
        let mut decision = Decision::then(NextAction::Stop { arn, reason }).with(status);
        decision.events = vec![
            Event::warning("Unhealthy", "Probing", message).of(container),
            killing(container, "liveness"),
        ];
        return decision;
    }
    let again = [remaining, held_back(question, spec, task)].into_iter().flatten().min();
    Decision::wait(again).with(status)
}

fn killing(container: &str, probe: &str) -> Event {
    let message = format!("Container {container} failed {probe} probe, will be restarted");
    Event::normal("Killing", "Stopping", message).of(container)
}

/// The container whose `exec` liveness probe, run by ECS, has failed.
fn unhealthy<'a>(spec: &'a PodSpec, task: &Task) -> Option<&'a str> {
    let unhealthy = spec.containers.iter().find(|container| {
        let seen = task::container(task, &container.name).and_then(|seen| seen.health_status());
        health::usage(container).liveness && seen == Some(&HealthStatus::Unhealthy)
    });
    unhealthy.map(|container| container.name.as_str())
}

/// How long until the next initial delay of an `exec` readiness probe is over.
fn held_back(question: &Question<'_>, spec: &PodSpec, task: &Task) -> Option<Duration> {
    let started = task::started_at(task)?;
    let active = Duration::try_from(question.now.duration_since(started)).unwrap_or_default();
    spec.containers
        .iter()
        .filter_map(|container| health::usage(container).readiness)
        .map(|delay| Duration::from_secs(u64::from(delay)))
        .filter_map(|delay| delay.checked_sub(active))
        .filter(|left| !left.is_zero())
        .min()
}

fn ended(question: &Question<'_>, spec: &PodSpec, task: &Task) -> Decision {
    let facts = question.facts();
    if question.remaining(spec) == Some(Duration::ZERO) {
        return Decision::wait(None).with(status::deadline_exceeded(&facts, task));
    }
    match restart::next(Policy::of(spec), task::end(task)) {
        Next::Succeeded => Decision::wait(None).with(status::finished(&facts, task, Phase::Succeeded)),
        Next::Failed => Decision::wait(None).with(status::finished(&facts, task, Phase::Failed)),
        Next::Again => {
            let run = restart::Run::of(task, question.now);
            let (wait, left) = backoff(question, &run);
            if left.is_zero() {
                return again(&facts, Some(task));
            }
            // The kubelet shows the error itself for a moment before it shows the back-off.
            let settled = wait.saturating_sub(left) >= NEXT_SYNC;
            let status = status::backing_off(&facts, task, wait, settled);
            let error_first = status.container_statuses.iter().flatten().any(|status| {
                let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
                waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("ErrImagePull"))
            });
            Decision::wait(Some(if error_first { left.min(NEXT_SYNC) } else { left })).with(status)
        }
    }
}

fn lost(question: &Question<'_>, spec: &PodSpec) -> Decision {
    let facts = question.facts();
    match restart::next(Policy::of(spec), task::End::Lost) {
        Next::Succeeded | Next::Failed => Decision::wait(None).with(status::lost_for_good(&facts)),
        Next::Again => {
            // The status has the time at which it was found to be lost, if it has ever run.
            let waits = recorded::waiting_reason(question.pod) == Some("CrashLoopBackOff");
            let ended =
                recorded::last_run(question.pod).filter(|_| waits).map_or(question.now, |run| run.ended);
            let run = restart::Run { started: Some(ended), ended };
            let (wait, left) = backoff(question, &run);
            let status = status::lost_backing_off(&facts, wait);
            if left.is_zero() {
                let mut pod = question.pod.clone();
                pod.status = Some(status);
                return again(&Facts { pod: &pod, ..facts }, None);
            }
            Decision::wait(Some(left)).with(status)
        }
    }
}

/// How long the attempt waits in all, and how much of that is left.
fn backoff(question: &Question<'_>, run: &restart::Run) -> (Duration, Duration) {
    let attempt = recorded::attempt(question.pod);
    let wait = restart::delay(run, attempt.saturating_sub(question.seen.forgiven()));
    // AWS's clock may be ahead: no end is later than when it was seen.
    let ended = run.ended.min(question.seen.ended(attempt, question.now));
    let waited = Duration::try_from(question.now.duration_since(ended)).unwrap_or_default();
    (wait, wait.saturating_sub(waited))
}

/// The next attempt: on the status first, then run.
fn again(facts: &Facts<'_>, ended: Option<&Task>) -> Decision {
    let attempt = recorded::attempt(facts.pod).saturating_add(1);
    Decision::then(NextAction::Run { attempt }).with(status::next_attempt(facts, ended, attempt))
}
