//! The removal of sandboxes: retried until the runtime has done it, because only then the address is free.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tracing::warn;

use super::leaving::Leaving;
use super::pool::Pool;
use super::subnet::Ledger;
use crate::runtime::{self, Error};
use crate::store::sandboxes;

/// Removals at the same time.
pub(super) const AT_ONCE: usize = 8;

/// Between two attempts at removals that failed.
const RETRY: Duration = Duration::from_secs(5);

/// The time limit of an attempt. A working engine reports its own time-out before this one.
const BOUND: Duration = Duration::from_secs(180);

impl Pool {
    /// Removes the sandbox now; if that fails, it is retried by [`Pool::removals`].
    pub(super) async fn remove(&self, leaving: Leaving) -> Result<(), Error> {
        self.with(&leaving.subnet_id, Ledger::begin_leaving);
        self.remove_leaving(leaving).await
    }

    /// [`Pool::remove`] of a sandbox that the ledger counts as leaving already.
    pub(super) async fn remove_leaving(&self, leaving: Leaving) -> Result<(), Error> {
        let pool = self.clone();
        self.finish(async move {
            let removed = pool.attempt_removal(&leaving).await;
            if removed.is_err() {
                pool.queue(leaving);
            }
            removed
        })
        .await
    }

    /// Must not be dropped halfway: the slot would stay taken.
    async fn attempt_removal(&self, leaving: &Leaving) -> Result<(), Error> {
        let Leaving { sandbox_id, subnet_id, slot } = leaving;
        self.0.filters.removed(sandbox_id);
        self.remove_now(sandbox_id, BOUND).await.inspect_err(|error| {
            warn!(%sandbox_id, %error, "could not remove a sandbox, its address stays taken; retrying in {RETRY:?}");
        })?;
        self.with(subnet_id, |ledger| ledger.left(*slot));
        self.0.refill.notify_one();
        self.relieve();
        Ok(())
    }

    /// One attempt at a removal, within `bound`.
    pub(super) async fn remove_now(&self, sandbox_id: &str, bound: Duration) -> Result<(), Error> {
        let attempted = || format!("remove the sandbox {sandbox_id}");
        let removed = self.0.runtime.remove_sandbox(sandbox_id);
        runtime::within(&self.0.clock, bound, attempted, removed).await
    }

    /// Leaves the sandbox to [`Pool::removals`].
    pub(super) fn leave(&self, leaving: Leaving) {
        self.with(&leaving.subnet_id, Ledger::begin_leaving);
        self.queue(leaving);
    }

    fn queue(&self, leaving: Leaving) {
        self.0.leaving.lock().insert(leaving.sandbox_id.clone(), leaving);
        self.0.removal.notify_one();
    }

    /// Removes the sandboxes that are leaving, for as long as it is polled. One that waits for a retry delays no other.
    pub(super) async fn removals(&self) {
        let places = Semaphore::new(AT_ONCE);
        let mut attempts = FuturesUnordered::new();
        let mut attempted = HashSet::new();
        loop {
            for leaving in self.0.leaving.lock().values() {
                if attempted.insert(leaving.sandbox_id.clone()) {
                    attempts.push(self.remove_later(leaving.clone(), &places));
                }
            }
            tokio::select! {
                () = self.0.removal.notified() => {}
                Some(sandbox_id) = attempts.next() => {
                    attempted.remove(&sandbox_id);
                }
            }
        }
    }

    /// One attempt, and the wait after it if it failed. Returns the sandbox's id.
    async fn remove_later(&self, leaving: Leaving, places: &Semaphore) -> String {
        let sandbox_id = leaving.sandbox_id.clone();
        // The semaphore is never closed, so a permit always comes.
        let place = places.acquire().await;
        let pool = self.clone();
        let removed = self
            .finish(async move {
                let removed = pool.attempt_removal(&leaving).await;
                if removed.is_ok() {
                    pool.0.leaving.lock().remove(&leaving.sandbox_id);
                }
                removed
            })
            .await;
        drop(place);
        if removed.is_err() {
            self.0.clock.sleep(RETRY).await;
        }
        sandbox_id
    }

    /// The task has ended and the row of its sandbox is deleted: the sandbox is removed in the background, and its address is
    /// free after that.
    pub(in crate::engine) fn retire(&self, row: &sandboxes::Row) {
        self.leave(Leaving::of(row));
    }
}
