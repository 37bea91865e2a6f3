//! What is known of a pod's task, and when ECS is asked for it again.

use std::{sync::Arc, time::Duration};

use aws_sdk_ecs::types::Task;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use super::{
    sight::Sight,
    task::{self, Status},
};

/// How often a task is asked for that has just changed or is about to. Twice the rate that the quota sustains: the burst
/// carries it for five seconds, which is longer than a local start takes; then the bucket slows it down.
const FAST: Duration = Duration::from_millis(50);

/// How often one that has been on its way for longer than [`RECENT`].
const PATIENT: Duration = Duration::from_secs(1);

/// How often one that runs and has not changed for [`SETTLED`].
const SLOW: Duration = Duration::from_secs(2);

/// How long a transition counts as recent. A local start takes under a second, one on AWS half a minute.
const RECENT: Duration = Duration::from_secs(60);

/// How long a task that runs is watched closely: most that crash do so at once.
const SETTLED: Duration = Duration::from_secs(5);

/// How long ECS may not know a task yet that it has just made (its API is eventually consistent).
const GRACE: Duration = Duration::from_secs(60);

/// What ECS says of the task.
#[derive(Debug, Clone)]
enum Found {
    /// Nothing yet: the ARN is the annotation's.
    NotYet,
    Task(Arc<Task>),
    Missing,
    /// It is another's: the pod's annotation is not believed.
    Foreign,
}

/// The task that a pod is followed by.
#[derive(Debug)]
pub(in crate::pods) struct Following {
    arn: String,
    pod: ObjectRef<Pod>,
    /// The pod's attempt that the task runs, if it is known: from RunTask, or from the task's tag.
    attempt: Option<u32>,
    found: Found,
    since: Instant,
    changed: Instant,
    asked: Option<Instant>,
    /// Whether DescribeTasks has known it.
    described: bool,
}

impl Following {
    /// The task that the pod's annotation names.
    pub(in crate::pods) fn claimed(arn: &str, pod: ObjectRef<Pod>, now: Instant) -> Self {
        Self::new(arn, pod, None, Found::NotYet, now)
    }

    /// A task as RunTask, StopTask or a listing has returned it.
    pub(in crate::pods) fn of(task: Task, attempt: Option<u32>, pod: ObjectRef<Pod>, now: Instant) -> Self {
        let arn = task::arn(&task).to_owned();
        let attempt = attempt.or_else(|| task::attempt(&task));
        Self::new(&arn, pod, attempt, Found::Task(Arc::new(task)), now)
    }

    fn new(arn: &str, pod: ObjectRef<Pod>, attempt: Option<u32>, found: Found, now: Instant) -> Self {
        let arn = arn.to_owned();
        Self { arn, pod, attempt, found, since: now, changed: now, asked: None, described: false }
    }

    /// The task's ARN.
    pub(in crate::pods) fn arn(&self) -> &str {
        &self.arn
    }

    /// The ARN that ECS is to be asked for; `None` once it turned out to be another's task.
    pub(in crate::pods) fn wanted(&self) -> Option<&str> {
        (!matches!(self.found, Found::Foreign)).then_some(self.arn.as_str())
    }

    /// The pod.
    pub(in crate::pods) fn pod(&self) -> &ObjectRef<Pod> {
        &self.pod
    }

    /// The pod's attempt that the task runs, if it is known.
    pub(in crate::pods) fn attempt(&self) -> Option<u32> {
        self.attempt
    }

    /// Whether the task may still run.
    pub(in crate::pods) fn may_run(&self) -> bool {
        match &self.found {
            Found::NotYet => true,
            Found::Missing | Found::Foreign => false,
            Found::Task(task) => !task::is_stopping(task),
        }
    }

    /// What is known of the task of the pod's attempt `wanted`.
    pub(in crate::pods) fn sight(&self, wanted: u32) -> Sight {
        let is_of_attempt = self.attempt.is_none_or(|attempt| attempt >= wanted);
        match &self.found {
            Found::NotYet => Sight::Unknown,
            Found::Foreign => Sight::None,
            // An attempt that the status has left behind: the next one is to be run.
            Found::Missing | Found::Task(_) if !is_of_attempt => Sight::None,
            Found::Missing => Sight::Missing,
            Found::Task(task) => Sight::Task(task.clone()),
        }
    }

    /// When ECS is to be asked for it; `None` for never.
    pub(in crate::pods) fn due(&self) -> Option<Instant> {
        let Some(asked) = self.asked else { return Some(self.since) };
        cadence(&self.found, asked.saturating_duration_since(self.changed)).map(|pause| asked + pause)
    }

    /// ECS was asked for it.
    pub(in crate::pods) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// Takes the task as RunTask, StopTask or a listing has returned it. Whether that is news.
    pub(in crate::pods) fn take(&mut self, task: Task, attempt: Option<u32>, now: Instant) -> bool {
        self.attempt = self.attempt.or(attempt).or_else(|| task::attempt(&task));
        self.refresh(task, now)
    }

    /// Takes the task as DescribeTasks has returned it; `ours`: it is this pod's, by who started it and by its tag. Whether that is
    /// news.
    pub(in crate::pods) fn describe(&mut self, task: &Task, ours: bool, now: Instant) -> bool {
        if !ours {
            tracing::warn!(task = self.arn, pod = %self.pod, "the pod's annotation names a task that is not its own; ignoring it");
            self.found = Found::Foreign;
            return true;
        }
        self.described = true;
        self.attempt = self.attempt.or_else(|| task::attempt(task));
        self.refresh(task.clone(), now)
    }

    /// ECS calls it MISSING. Whether that is news.
    pub(in crate::pods) fn missing(&mut self, now: Instant) -> bool {
        // A task may be too new for ECS to know it everywhere; only then is MISSING not believed.
        let too_new = !self.described && now.saturating_duration_since(self.since) < GRACE;
        if too_new || matches!(self.found, Found::Missing) {
            return false;
        }
        self.found = Found::Missing;
        self.changed = now;
        true
    }

    /// Keeps the newer of the two, by ECS's version.
    fn refresh(&mut self, task: Task, now: Instant) -> bool {
        if let Found::Task(known) = &self.found
            && (known.version() > task.version() || **known == task)
        {
            return false;
        }
        self.found = Found::Task(Arc::new(task));
        self.changed = now;
        true
    }
}

/// How long until a task is asked for again, by what it was and how long it has been that; `None` for never.
fn cadence(found: &Found, unchanged: Duration) -> Option<Duration> {
    let on_its_way = if unchanged < RECENT { FAST } else { PATIENT };
    match found {
        Found::NotYet => Some(PATIENT),
        Found::Missing | Found::Foreign => None,
        Found::Task(task) => match task::status(task) {
            Status::Stopped => None,
            Status::Running if !task::is_stopping(task) => {
                Some(if unchanged < SETTLED { FAST } else { SLOW })
            }
            Status::Starting | Status::Running | Status::Stopping => Some(on_its_way),
        },
    }
}
