//! The full pass over sandboxes: rows compared with what the runtime holds. At the start, after lost events, and
//! periodically. Events are fast but may be lost; this pass finds what they missed.
//!
//! | row | on the runtime | then |
//! | --- | --- | --- |
//! | idle | does not run | withdrawn and removed |
//! | of a live task | any | the audit of tasks reports it to the task |
//! | of no task that names it | any | deleted, the sandbox removed |
//! | none | any | removed, unless it is being created or its removal is being retried |

use std::collections::HashSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use tracing::{info, warn};

use super::leaving::Leaving;
use super::pool::Pool;
use super::removal::AT_ONCE;
use crate::engine::record;
use crate::engine::task::Task;
use crate::runtime::{self, Inventory};
use crate::store::{self, SqliteConnection, sandboxes, tasks};

/// The time limit for inspecting one sandbox. A working engine needs milliseconds.
const LOOK: Duration = Duration::from_secs(30);

impl Pool {
    /// Counts the sandboxes that an earlier process left, before anything is claimed.
    pub(in crate::engine) async fn adopt(&self) -> Result<(), store::Error> {
        let rows = sandboxes::load_all(self.0.store.readers()).await?;
        for row in &rows {
            if let Ok(address) = row.address.parse() {
                let idle = row.state == sandboxes::State::Idle;
                self.with(&row.subnet_id, |ledger| ledger.adopt(address, idle));
            }
        }
        if !rows.is_empty() {
            info!(sandboxes = rows.len(), "adopted the sandboxes of an earlier process");
        }
        Ok(())
    }

    /// Makes the pool agree with what the runtime holds. `inventory` may be slightly out of date: a sandbox that it
    /// lacks is inspected again.
    ///
    /// # Errors
    /// The store could not be read. A failure with one sandbox is logged, and the next pass retries it.
    pub(in crate::engine) async fn observe(&self, inventory: &Inventory) -> Result<(), store::Error> {
        // Drafts before rows: a draft leaves the list only after its row exists.
        let drafts = self.0.drafts.lock().clone();
        let rows = sandboxes::load_all(self.0.store.readers()).await?;
        let known: HashSet<&str> = rows.iter().map(|row| row.sandbox_id.as_str()).collect();
        let running = inventory.sandboxes.iter().filter(|sandbox| sandbox.running);
        let running: HashSet<&str> = running.map(|sandbox| sandbox.sandbox_id.as_str()).collect();
        // Concurrently, so that one slow sandbox does not delay the others.
        let running = &running;
        let looks = rows.iter().map(|row| async move {
            match &row.state {
                sandboxes::State::Idle => {
                    if !self.runs(running, &row.sandbox_id).await {
                        self.withdraw_dead(&row.sandbox_id).await;
                    }
                }
                sandboxes::State::Claimed(_) => {
                    if self.0.filters.task(&row.sandbox_id).is_none() {
                        self.forget_unless_named(row).await;
                    }
                }
            }
        });
        stream::iter(looks).for_each_concurrent(AT_ONCE, |look| look).await;
        let ids = inventory.sandboxes.iter().map(|sandbox| sandbox.sandbox_id.as_str());
        let leaving = |id: &str| self.0.leaving.lock().contains_key(id);
        let strangers = ids.filter(|id| !known.contains(id) && !drafts.contains(*id) && !leaving(id));
        let removals = strangers.map(|sandbox_id| async move {
            info!(sandbox_id, "removing a sandbox that belongs to no task and not to the pool");
            if let Err(error) = self.remove_now(sandbox_id, LOOK).await {
                warn!(sandbox_id, %error, "could not remove a leftover sandbox; the next full pass retries it");
            }
        });
        stream::iter(removals).for_each_concurrent(AT_ONCE, |removal| removal).await;
        Ok(())
    }

    /// Whether the task's sandbox runs; it counts as running if the runtime cannot report it.
    pub(in crate::engine) async fn sandbox_runs(&self, sandbox_id: &str) -> bool {
        self.runs(&HashSet::new(), sandbox_id).await
    }

    /// A sandbox has exited. Returns the ARN of its task; an idle sandbox is withdrawn.
    pub(in crate::engine) fn exited(&self, sandbox_id: &str) -> Option<String> {
        let task_arn = self.0.filters.task(sandbox_id);
        if task_arn.is_none() {
            // `self` holds the receiver.
            let _ = self.0.exited.send(sandbox_id.to_owned());
        }
        task_arn
    }

    /// Whether the sandbox runs. `true` also if the runtime cannot report it now.
    async fn runs(&self, running: &HashSet<&str>, sandbox_id: &str) -> bool {
        if running.contains(sandbox_id) {
            return true;
        }
        let attempted = || format!("inspect the sandbox {sandbox_id}");
        let looked = self.0.runtime.sandbox_runs(sandbox_id);
        runtime::within(&self.0.clock, LOOK, attempted, looked).await.unwrap_or_else(|error| {
            warn!(sandbox_id, %error, "could not inspect a sandbox, which counts as running; the next full pass retries it");
            true
        })
    }

    pub(super) async fn withdraw_dead(&self, sandbox_id: &str) {
        match self.0.clock.timeout(LOOK, self.withdraw(sandbox_id)).await {
            Ok(Ok(true)) => info!(sandbox_id, "withdrew an idle sandbox that no longer ran"),
            // Its removal continues in the background.
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => warn!(
                error = &error as &dyn std::error::Error,
                "could not withdraw the idle sandbox {sandbox_id}, which does not run; the next full pass retries it"
            ),
        }
    }

    /// Forgets and removes a claimed sandbox that its task does not name. A claim and its task are committed
    /// together, so the process ended after the task had lost the sandbox and before this, or the task is deleted.
    async fn forget_unless_named(&self, row: &sandboxes::Row) {
        let (store, pool, id) = (self.0.store.clone(), self.clone(), row.sandbox_id.clone());
        let forgotten = self.finish(async move {
            let row = store
                .write(move |connection| Box::pin(async move { delete_unless_named(connection, &id).await }))
                .await?;
            if let Some(row) = &row {
                // A removal that fails is retried.
                let _ = pool.remove(Leaving::of(row)).await;
            }
            Ok::<bool, store::Error>(row.is_some())
        });
        let sandbox_id = &row.sandbox_id;
        match self.0.clock.timeout(LOOK, forgotten).await {
            Ok(Ok(true)) => info!(sandbox_id, "removed a sandbox that its task does not name"),
            // Its removal continues in the background.
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => warn!(
                error = &error as &dyn std::error::Error,
                "could not find the task of the sandbox {sandbox_id}; the next full pass retries it"
            ),
        }
    }
}

async fn delete_unless_named(
    connection: &mut SqliteConnection,
    sandbox_id: &str,
) -> Result<Option<sandboxes::Row>, store::Error> {
    let Some(row) = sandboxes::get(&mut *connection, sandbox_id).await? else { return Ok(None) };
    let sandboxes::State::Claimed(task_arn) = &row.state else { return Ok(None) };
    let names_it =
        |task: &Task| !task.is_stopped() && task.attachment.sandbox_id.as_deref() == Some(sandbox_id);
    match tasks::get(&mut *connection, task_arn).await? {
        // A task that cannot be read keeps its sandbox.
        Some(task) if record::task(&task).map_or(true, |task| names_it(&task)) => Ok(None),
        _ => sandboxes::delete(connection, sandbox_id).await,
    }
}
