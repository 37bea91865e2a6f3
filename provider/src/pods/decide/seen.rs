//! When this process first saw certain facts about a pod: this bounds the waits that are measured from times that another clock
//! has written.
//!
//! Kept in memory only. A provider that has just started sees everything for the first time, and uses those other times, which are
//! in the past.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::{recorded, restart, task, task_view::TaskView};

/// What was seen, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// When the pod was to be deleted.
    pub deleted: Option<Timestamp>,
    /// When nothing of an attempt's task ran any more, and which attempt.
    ended: Option<(u32, Timestamp)>,
    /// When RunTask first reported that an attempt's task is gone, and which attempt.
    spent: Option<(u32, Timestamp)>,
    /// The last attempt that ran for long enough to reset the back-off; `None` before the first look.
    ///
    /// Not on the pod: every user who may write there could switch off the back-off.
    forgiven: Option<u32>,
}

impl Seen {
    /// Looks at the pod and its task, now.
    pub fn look(&mut self, pod: &Pod, view: &TaskView, now: Timestamp) {
        if pod.metadata.deletion_timestamp.is_some() {
            self.deleted.get_or_insert(now);
        }
        self.forgiven.get_or_insert_with(|| forgiven_before(pod));
        let attempt = recorded::attempt(pod);
        let ended = match view {
            TaskView::Task(task) => task::nothing_runs(task),
            TaskView::Missing => true,
            TaskView::None | TaskView::Unknown => false,
        };
        if ended && self.ended.is_none_or(|(of, _)| of != attempt) {
            self.ended = Some((attempt, now));
        }
        if let TaskView::Task(task) = view
            && task::has_ended(task)
            && restart::ran_long(&restart::Run::of(task, now))
        {
            self.forgiven = Some(attempt);
        }
    }

    /// RunTask reports that the attempt's task is gone; returns when it first did.
    pub fn spent(&mut self, attempt: u32, now: Timestamp) -> Timestamp {
        match self.spent {
            Some((of, since)) if of == attempt => since,
            _ => self.spent.insert((attempt, now)).1,
        }
    }

    /// When it was first seen that the attempt has ended; `now` if it has not been seen yet.
    #[must_use]
    pub fn ended(&self, attempt: u32, now: Timestamp) -> Timestamp {
        self.ended.filter(|(of, _)| *of == attempt).map_or(now, |(_, at)| at)
    }

    /// The attempt from which the back-off counts; 0 if it was never reset.
    #[must_use]
    pub fn forgiven(&self) -> u32 {
        self.forgiven.unwrap_or(0)
    }
}

/// The attempt that a provider which has just started takes as the last one that reset the back-off: the previous one, if the
/// status records that it ran long.
fn forgiven_before(pod: &Pod) -> u32 {
    let long = recorded::last_run(pod).is_some_and(|run| restart::ran_long(&run));
    if long { recorded::attempt(pod).saturating_sub(1) } else { 0 }
}
