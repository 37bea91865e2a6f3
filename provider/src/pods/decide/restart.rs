//! Whether a pod whose task has ended is run again, and when.
//!
//! The kubelet's rules (`pkg/kubelet/container/helpers.go`, `ShouldContainerBeRestarted`; `pkg/kubelet/kubelet.go`,
//! `backOffPeriod` and `MaxContainerBackOff`; `client-go/util/flowcontrol/backoff.go`): the first restart follows at once, then
//! after 10 s, doubling to 5 min; a run of 10 min resets the wait. A start that failed waits from the first time on.

use std::time::Duration;

use aws_sdk_ecs::types::Task;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodSpec;

use super::task::{self, End};

/// The first wait.
const FIRST: Duration = Duration::from_secs(10);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);

/// Twice the longest wait: after a run of that length the waits start from the beginning.
const FORGIVEN: Duration = Duration::from_secs(600);

/// A pod's `restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Run again, however it ended.
    Always,
    /// Run again unless it completed.
    OnFailure,
    /// Run once.
    Never,
}

impl Policy {
    /// The pod's policy; `Always` if it has none.
    #[must_use]
    pub fn of(spec: &PodSpec) -> Self {
        match spec.restart_policy.as_deref() {
            Some("OnFailure") => Self::OnFailure,
            Some("Never") => Self::Never,
            _ => Self::Always,
        }
    }
}

/// What follows a task's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The pod is Succeeded.
    Succeeded,
    /// The pod is Failed.
    Failed,
    /// The pod is run again.
    Again,
}

/// What follows: the only place where a restart is decided, before any phase.
///
/// What Fargate takes back is Failed under every policy, as a pod is that a node's shutdown ends: its controller replaces it. A lost
/// task counts as failed: nothing else is known, and a kubelet restarts a container that it does not find.
#[must_use]
pub fn next(policy: Policy, end: End) -> Next {
    match (policy, end) {
        (_, End::Interrupted) => Next::Failed,
        (Policy::Always, _) | (Policy::OnFailure, End::Failed | End::NotStarted | End::Lost) => Next::Again,
        (Policy::OnFailure | Policy::Never, End::Completed) => Next::Succeeded,
        (Policy::Never, End::Failed | End::NotStarted | End::Lost) => Next::Failed,
    }
}

/// One run of a pod's containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When they started; `None` if they never did.
    pub started: Option<Timestamp>,
    /// When they had ended.
    pub ended: Timestamp,
}

impl Run {
    /// The run of a task that has ended, by its own times.
    #[must_use]
    pub fn of(task: &Task, now: Timestamp) -> Self {
        let ran = task::end(task) != End::NotStarted;
        Self { started: task::started_at(task).filter(|_| ran), ended: task::ended_at(task).unwrap_or(now) }
    }
}

/// Whether the run was long enough to reset the back-off.
#[must_use]
pub fn ran_long(run: &Run) -> bool {
    run.started.is_some_and(|started| {
        run.ended.duration_since(started).unsigned_abs() >= FORGIVEN && run.ended > started
    })
}

/// How long after an attempt's end the next one starts.
///
/// `restarts` counts the attempts since the last forgiven one, 0 for the first.
#[must_use]
pub fn delay(run: &Run, restarts: u32) -> Duration {
    let doubled = |times: u32| FIRST.saturating_mul(2u32.saturating_pow(times)).min(LONGEST);
    match (run.started, restarts) {
        (None, _) => doubled(restarts),
        (Some(_), 0) => Duration::ZERO,
        (Some(_), _) if ran_long(run) => Duration::ZERO,
        (Some(_), restarts) => doubled(restarts - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_meets_every_end_as_in_the_kubelet() {
        use End::{Completed, Failed, Interrupted, Lost, NotStarted};
        let table = [
            (Policy::Always, [Next::Again, Next::Again, Next::Again, Next::Failed, Next::Again]),
            (Policy::OnFailure, [Next::Succeeded, Next::Again, Next::Again, Next::Failed, Next::Again]),
            (Policy::Never, [Next::Succeeded, Next::Failed, Next::Failed, Next::Failed, Next::Failed]),
        ];
        for (policy, row) in table {
            let decided = [Completed, Failed, NotStarted, Interrupted, Lost].map(|end| next(policy, end));
            assert_eq!(decided, row, "{policy:?}");
        }
    }

    fn run(seconds: Option<i64>) -> Run {
        let ended = Timestamp::UNIX_EPOCH + Duration::from_secs(100_000);
        let started =
            seconds.map(|seconds| Timestamp::from_second(100_000 - seconds).expect("a time in 1970"));
        Run { started, ended }
    }

    #[test]
    fn crashes_wait_nothing_then_ten_seconds_doubling_to_five_minutes() {
        let waits: Vec<_> = (0..8).map(|restarts| delay(&run(Some(1)), restarts).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(delay(&run(Some(1)), u32::MAX), LONGEST);
    }

    #[test]
    fn starts_that_failed_wait_from_the_first_on() {
        let waits: Vec<_> = (0..7).map(|restarts| delay(&run(None), restarts).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_run_of_ten_minutes_is_forgiven() {
        assert_eq!(delay(&run(Some(600)), 6), Duration::ZERO);
        assert_eq!(delay(&run(Some(599)), 6), LONGEST);
        assert!(!ran_long(&run(None)));
        assert!(!ran_long(&run(Some(-700))), "a clock that went back forgives nothing");
    }
}
