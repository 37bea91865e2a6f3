//! What is known of a pod's task, and when ECS is asked for it again.

use std::{sync::Arc, time::Duration};

use aws_sdk_ecs::types::Task;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use super::{
    task::{self, Status},
    task_view::TaskView,
};

/// How often a task is polled that has just changed or is about to. Twice the rate that the quota sustains: the burst covers five
/// seconds, which is longer than a local start takes; then the bucket slows it down.
const FAST: Duration = Duration::from_millis(50);

/// How often one that has been on its way for longer than [`RECENT`].
const PATIENT: Duration = Duration::from_secs(1);

/// How often one that runs and has not changed for [`SETTLED`].
const SLOW: Duration = Duration::from_secs(2);

/// How long a transition counts as recent. A local start takes under a second, one on AWS half a minute.
const RECENT: Duration = Duration::from_secs(60);

/// How long a running task is polled often: most that crash do so at once.
const SETTLED: Duration = Duration::from_secs(5);

/// How long ECS may not know a task that it has just created (its API is eventually consistent).
const GRACE: Duration = Duration::from_secs(60);

/// How long ECS may omit a requested task from its responses: neither described nor MISSING.
const SILENCE: Duration = Duration::from_secs(300);

/// What ECS returned for the task.
#[derive(Debug, Clone)]
enum Found {
    /// Nothing yet: the ARN is the annotation's.
    NotYet,
    Task(Arc<Task>),
    Missing,
    /// It is another's, or not a task's ARN at all: the pod's annotation is ignored.
    Foreign,
}

/// The task of a pod, as it is polled.
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
    /// Whether DescribeTasks has returned it.
    described: bool,
    /// Since when DescribeTasks has returned an older version than the known one.
    older: Option<Instant>,
    /// Since when DescribeTasks has omitted it from its responses.
    silent: Option<Instant>,
}

impl Following {
    /// The task that the pod's annotation names.
    pub(in crate::pods) fn claimed(arn: &str, pod: ObjectRef<Pod>, now: Instant) -> Self {
        Self::new(arn, pod, None, Found::NotYet, now)
    }

    /// An annotation that can't name a task of ours.
    pub(in crate::pods) fn foreign(arn: &str, pod: ObjectRef<Pod>, now: Instant) -> Self {
        Self::new(arn, pod, None, Found::Foreign, now)
    }

    /// The pod's attempt had its task, and ECS has forgotten it.
    pub(in crate::pods) fn spent(attempt: u32, pod: ObjectRef<Pod>, now: Instant) -> Self {
        Self::new("", pod, Some(attempt), Found::Missing, now)
    }

    /// A task as RunTask, StopTask or a listing has returned it.
    pub(in crate::pods) fn of(task: Task, attempt: Option<u32>, pod: ObjectRef<Pod>, now: Instant) -> Self {
        let arn = task::arn(&task).to_owned();
        let attempt = attempt.or_else(|| task::attempt(&task));
        Self::new(&arn, pod, attempt, Found::Task(Arc::new(task)), now)
    }

    fn new(arn: &str, pod: ObjectRef<Pod>, attempt: Option<u32>, found: Found, now: Instant) -> Self {
        let arn = arn.to_owned();
        Self {
            arn,
            pod,
            attempt,
            found,
            since: now,
            changed: now,
            asked: None,
            described: false,
            older: None,
            silent: None,
        }
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
    pub(in crate::pods) fn view(&self, wanted: u32) -> TaskView {
        let is_of_attempt = self.attempt.is_none_or(|attempt| attempt >= wanted);
        match &self.found {
            Found::NotYet => TaskView::Unknown,
            Found::Foreign => TaskView::None,
            // An attempt before the one in the status: the next one is to be run.
            Found::Missing | Found::Task(_) if !is_of_attempt => TaskView::None,
            Found::Missing => TaskView::Missing,
            Found::Task(task) => TaskView::Task(task.clone()),
        }
    }

    /// When ECS is to be asked for it; `None` for never.
    pub(in crate::pods) fn due(&self) -> Option<Instant> {
        let asked = self.asked.unwrap_or(self.since);
        let pause = cadence(&self.found, asked.saturating_duration_since(self.changed))?;
        Some(self.asked.map_or(self.since, |asked| asked + pause))
    }

    /// Notes that ECS was asked for it.
    pub(in crate::pods) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// Takes in the task as RunTask, StopTask or a listing has returned it. Returns whether that changed anything.
    pub(in crate::pods) fn take(&mut self, task: Task, attempt: Option<u32>, now: Instant) -> bool {
        self.attempt = self.attempt.or(attempt).or_else(|| task::attempt(&task));
        self.refresh(task, now)
    }

    /// Takes in the task as DescribeTasks has returned it; `ours`: it is this pod's, by its `startedBy` and its tag. Returns whether
    /// that changed anything.
    pub(in crate::pods) fn describe(&mut self, task: &Task, ours: bool, now: Instant) -> bool {
        if !ours {
            tracing::warn!(task = self.arn, pod = %self.pod, "the pod's annotation names a task that is not its own; ignoring it");
            self.found = Found::Foreign;
            return true;
        }
        self.described = true;
        self.silent = None;
        self.attempt = self.attempt.or_else(|| task::attempt(task));
        self.refresh(task.clone(), now)
    }

    /// ECS calls it MISSING. Returns whether that changed anything.
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

    /// ECS refuses requests for it. Returns whether that changed anything: an id that only the annotation names is no longer
    /// trusted; one that ECS itself has named is asked for again.
    pub(in crate::pods) fn refused(&mut self) -> bool {
        let claimed = matches!(self.found, Found::NotYet);
        if claimed {
            self.found = Found::Foreign;
        }
        claimed
    }

    /// ECS has omitted it from its response. Returns whether that changed anything: the wait is bounded, so that no pod waits for
    /// ever.
    pub(in crate::pods) fn silent(&mut self, now: Instant) -> bool {
        let since = *self.silent.get_or_insert(now);
        if now.saturating_duration_since(since) < SILENCE || matches!(self.found, Found::Missing) {
            return false;
        }
        tracing::warn!(
            task = self.arn,
            pod = %self.pod,
            "ECS has not described a task for 5 min, nor called it MISSING; treating it as lost"
        );
        self.found = if matches!(self.found, Found::NotYet) { Found::Foreign } else { Found::Missing };
        self.changed = now;
        true
    }

    /// Keeps the newer of the two, by ECS's version. ECS is eventually consistent, so an older one is ignored, but not for longer
    /// than that can last: an ECS that was restored from a backup counts from where it was.
    fn refresh(&mut self, task: Task, now: Instant) -> bool {
        if let Found::Task(known) = &self.found {
            if **known == task {
                self.older = None;
                return false;
            }
            let older = known.version() > task.version();
            if older && now.saturating_duration_since(*self.older.get_or_insert(now)) < GRACE {
                return false;
            }
        }
        self.older = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef";

    fn task(version: i64, desired: &str) -> Task {
        Task::builder().task_arn(ARN).version(version).last_status("RUNNING").desired_status(desired).build()
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn stops(following: &Following) -> bool {
        let TaskView::Task(task) = following.view(0) else { panic!("{following:?}") };
        task::is_stopping(&task)
    }

    #[test]
    fn an_older_version_is_ignored_for_a_minute_and_then_accepted() {
        let start = Instant::now();
        let mut following = Following::of(task(7, "STOPPED"), Some(0), ObjectRef::new("web"), start);
        assert!(!following.describe(&task(3, "RUNNING"), true, start));
        assert!(!following.describe(&task(3, "RUNNING"), true, after(start, 59)));
        assert!(stops(&following));
        assert!(following.describe(&task(3, "RUNNING"), true, after(start, 60)));
        assert!(!stops(&following), "so that StopTask is called again");
        assert!(following.describe(&task(4, "STOPPED"), true, after(start, 61)));
        assert!(!following.describe(&task(3, "RUNNING"), true, after(start, 62)), "the minute starts again");
        assert!(stops(&following));
    }

    #[test]
    fn a_task_that_ecs_does_not_mention_is_given_up_after_five_minutes() {
        let start = Instant::now();
        let mut claimed = Following::claimed(ARN, ObjectRef::new("web"), start);
        assert!(!claimed.silent(start) && !claimed.silent(after(start, 299)));
        assert_eq!(claimed.view(0), TaskView::Unknown);
        assert!(claimed.silent(after(start, 300)));
        assert_eq!(
            (claimed.view(0), claimed.wanted()),
            (TaskView::None, None),
            "an annotation is not trusted"
        );

        let mut known = Following::of(task(1, "RUNNING"), Some(0), ObjectRef::new("web"), start);
        assert!(!known.silent(start));
        known.describe(&task(1, "RUNNING"), true, after(start, 200));
        assert!(!known.silent(after(start, 300)), "it was described in between");
        assert!(known.silent(after(start, 600)));
        assert_eq!(known.view(0), TaskView::Missing);
    }

    #[test]
    fn ecs_is_not_asked_for_what_is_gone_or_anothers() {
        let start = Instant::now();
        let pod = || ObjectRef::new("web");
        assert_eq!(Following::claimed(ARN, pod(), start).due(), Some(start));
        assert_eq!(Following::of(task(1, "RUNNING"), None, pod(), start).due(), Some(start));
        assert_eq!(Following::spent(0, pod(), start).due(), None);
        assert_eq!(Following::foreign("nonsense", pod(), start).due(), None);
    }

    #[test]
    fn only_an_id_that_ecs_never_named_is_anothers_for_being_refused() {
        let start = Instant::now();
        let mut known = Following::of(task(1, "RUNNING"), Some(0), ObjectRef::new("web"), start);
        assert!(!known.refused());
        assert!(matches!(known.view(0), TaskView::Task(_)));
        let mut claimed = Following::claimed("nonsense", ObjectRef::new("web"), start);
        assert!(claimed.refused());
        assert_eq!((claimed.view(0), claimed.wanted()), (TaskView::None, None));
    }
}
