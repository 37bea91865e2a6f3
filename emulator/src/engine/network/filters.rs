//! The packet filters of all sandboxes, kept up to date with the VPC, its security groups and their members.
//!
//! ```text
//! join, leave, VPC ─▶ Wanted: draws the filters ─▶ sandboxes that have another one ─▶ runtime
//!                         ready ◀─ one attempt each for the task and its peers ◀┘
//! ```
//!
//! Each sandbox gets its filter independently of the others, and each attempt has a time limit. Failed attempts are
//! retried in a separate lane, so that they never delay first attempts.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info, warn};

use super::wanted::{Progress, Wanted};
use crate::clock::Clock;
use crate::engine::vpc::Vpc;
use crate::runtime::{self, Error, Filter, Runtime};

/// Attempts at the same time, in each of the two lanes.
const AT_ONCE: usize = 8;

/// Between two attempts at a filter that could not be set.
const RETRY: Duration = Duration::from_secs(5);

/// The time limit of an attempt. A working engine needs milliseconds, and reports its own time-out before this one.
const BOUND: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(in crate::engine) struct Filters {
    vpc: watch::Receiver<Arc<Vpc>>,
    runtime: Arc<dyn Runtime>,
    clock: Clock,
    wanted: Mutex<Wanted>,
    /// Counts the joins and leaves.
    changes: watch::Sender<u64>,
    /// Counts the drawings and attempts.
    progress: watch::Sender<u64>,
    /// First attempts, and attempts after one that failed.
    lanes: [Semaphore; 2],
}

impl Filters {
    pub(in crate::engine) fn new(
        vpc: watch::Receiver<Arc<Vpc>>,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
    ) -> Self {
        let (changes, progress) = (watch::Sender::new(0), watch::Sender::new(0));
        let lanes = [Semaphore::new(AT_ONCE), Semaphore::new(AT_ONCE)];
        Self { vpc, runtime, clock, wanted: Mutex::default(), changes, progress, lanes }
    }

    fn vpc(&self) -> Arc<Vpc> {
        Arc::clone(&self.vpc.borrow())
    }

    /// The filter to create a sandbox with, for a task that names these groups.
    pub(in crate::engine) fn at_first(&self, named: &[String]) -> Arc<Filter> {
        let vpc = self.vpc();
        self.wanted.lock().at_first(&vpc, &vpc.groups(named))
    }

    /// A sandbox was created with this filter.
    pub(in crate::engine) fn made(&self, sandbox_id: &str, filter: Arc<Filter>) {
        self.wanted.lock().made(sandbox_id, filter);
    }

    /// A sandbox that belonged to no task is removed.
    pub(in crate::engine) fn removed(&self, sandbox_id: &str) {
        self.wanted.lock().removed(sandbox_id);
    }

    /// The ARN of the task that has this sandbox, until it leaves.
    pub(in crate::engine) fn task(&self, sandbox_id: &str) -> Option<String> {
        self.wanted.lock().task(sandbox_id).map(str::to_owned)
    }

    /// A task has this sandbox now, with the groups that it names.
    pub(in crate::engine) fn join(
        &self,
        sandbox_id: &str,
        task_arn: &str,
        address: Ipv4Addr,
        named: &[String],
    ) {
        let groups = self.vpc().groups(named);
        self.wanted.lock().join(sandbox_id, task_arn, address, groups);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The task of this sandbox has ended, or has lost it: its address belongs to no member any longer.
    pub(in crate::engine) fn leave(&self, sandbox_id: &str) {
        self.wanted.lock().leave(sandbox_id);
        self.changes.send_modify(|changes| *changes += 1);
        self.progress.send_modify(|progress| *progress += 1);
    }

    /// Waits until the sandbox's filter is set and each of its peers' was attempted once (see [`super::wanted`]).
    ///
    /// # Errors
    /// Its own filter could not be set.
    pub(in crate::engine) async fn ready(&self, sandbox_id: &str) -> Result<(), Error> {
        let mut progress = self.progress.subscribe();
        loop {
            match self.wanted.lock().progress(sandbox_id) {
                Progress::Ready => return Ok(()),
                Progress::Failed(error) => return Err(error),
                Progress::Waiting => {}
            }
            // `self` holds the sender, so the channel does not close.
            let _ = progress.changed().await;
        }
    }

    /// Keeps the filters up to date for as long as it is polled.
    pub(in crate::engine) async fn run(&self) {
        let mut changes = self.changes.subscribe();
        let mut vpc = self.vpc.clone();
        let mut attempts = FuturesUnordered::new();
        loop {
            changes.borrow_and_update();
            let current = Arc::clone(&vpc.borrow_and_update());
            self.wanted.lock().draw(&current);
            self.progress.send_modify(|progress| *progress += 1);
            loop {
                let due = self.wanted.lock().due();
                attempts.extend(due.into_iter().map(|(sandbox_id, failed)| self.attempt(sandbox_id, failed)));
                tokio::select! {
                    _ = changes.changed() => break,
                    Ok(()) = vpc.changed() => break,
                    Some(()) = attempts.next(), if !attempts.is_empty() => {}
                }
            }
        }
    }

    /// One attempt to set the filter of a sandbox: the filter that is current once the lane is free.
    async fn attempt(&self, sandbox_id: String, failed: bool) {
        if failed {
            self.clock.sleep(RETRY).await;
        }
        // The semaphores are never closed, so a permit always comes.
        let _permit = self.lanes[usize::from(failed)].acquire().await;
        let Some(attempt) = self.wanted.lock().attempt(&sandbox_id) else { return };
        let attempted = || format!("set the filter of the sandbox {sandbox_id}");
        let set = self.runtime.set_filter(&sandbox_id, &attempt.filter);
        let result = runtime::within(&self.clock, BOUND, attempted, set).await;
        let error = result.as_ref().err().map(ToString::to_string);
        let news = self.wanted.lock().attempted(&sandbox_id, attempt, result);
        self.progress.send_modify(|progress| *progress += 1);
        match error {
            Some(error) if news => {
                warn!(%sandbox_id, error, "could not update the packet filter of a sandbox; retrying every {RETRY:?}");
            }
            Some(error) => debug!(%sandbox_id, error, "could not update the packet filter of a sandbox"),
            None if failed => info!(%sandbox_id, "updated the packet filter of a sandbox after a retry"),
            None => {}
        }
    }
}
