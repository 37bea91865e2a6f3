//! Claims: an address promised to each accepted task, and the sandbox that becomes its own.
//!
//! ```text
//! promise ─▶ claim_idle ─▶ the task's
//!                │ none is idle
//!                ▼
//!            make_for ─▶ keep ─▶ the task's ─▶ abandon: its sandbox exited before anything ran in it
//! ```

use std::pin::pin;
use std::time::Duration;

use tracing::{debug, warn};

use super::draft::Draft;
use super::leaving::Leaving;
use super::pool::{Error, Pool};
use super::subnet::Ledger;
use crate::engine::ledger;
use crate::engine::task::{self, Task};
use crate::engine::vpc::private_dns_name;
use crate::runtime;
use crate::store::{self, sandboxes};

/// Attempts per task, each with a different address. The engine may still be completing a request of a previous, killed
/// process, and so hold an address that we believe to be free.
const ATTEMPTS: usize = 3;

/// How long a task waits for an address that is about to become free.
const PATIENCE: Duration = Duration::from_secs(60);

impl Pool {
    /// The task has a sandbox by now: it is a member of its security groups.
    pub(in crate::engine) fn join(&self, task: &Task) {
        let attachment = &task.attachment;
        if let (Some(sandbox_id), Some(address)) = (&attachment.sandbox_id, attachment.private_ipv4_address) {
            self.0.filters.join(sandbox_id, &task.arn, address, &attachment.security_groups);
        }
    }

    /// The subnet of the task's address: the requested one, or the one that stands for it.
    pub(in crate::engine) fn subnet_of(&self, task: &Task) -> String {
        let requested = &task.attachment.subnet_id;
        self.vpc().subnet(requested).map_or(requested, |subnet| &subnet.subnet_id).clone()
    }

    /// Promises an address to a task that is about to be accepted; `false` if the subnet is full.
    pub(in crate::engine) fn promise(&self, subnet_id: &str) -> bool {
        self.with(subnet_id, Ledger::promise).unwrap_or(false)
    }

    /// Promises an address to a task that was accepted earlier and has none.
    pub(in crate::engine) fn promise_anyway(&self, subnet_id: &str) {
        self.with(subnet_id, Ledger::promise_anyway);
    }

    /// Addresses of a subnet that a task could still have.
    pub(in crate::engine) fn free(&self, subnet_id: &str) -> usize {
        self.with(subnet_id, |ledger| ledger.free()).unwrap_or(0)
    }

    /// Takes back a promise whose task was not accepted or stopped before it claimed.
    pub(in crate::engine) fn release_promise(&self, subnet_id: &str) {
        self.with(subnet_id, Ledger::release_promise);
    }

    /// Claims an idle sandbox of the subnet for the task, in the transaction that commits the state that `connect`
    /// returns. `None` if none is idle, and for a task that has lost a sandbox: the others may have exited with that one.
    pub(in crate::engine) async fn claim_idle<F>(
        &self,
        subnet_id: &str,
        task: &Task,
        connect: F,
    ) -> Result<Option<Task>, store::Error>
    where
        F: FnOnce(task::Claim) -> Result<Task, task::Illegal> + Send + 'static,
    {
        if task.attachment.replaced > 0 {
            return Ok(None);
        }
        let (subnet, arn, region) = (subnet_id.to_owned(), task.arn.clone(), task.region.clone());
        let claimed = self
            .0
            .store
            .write(move |connection| {
                Box::pin(async move {
                    let Some(row) = sandboxes::claim(connection, &subnet, &arn).await? else {
                        return Ok(None);
                    };
                    let after = connect(claim_of(&row, &region)?).map_err(corrupt("a claim"))?;
                    ledger::put(connection, &ledger::Entry::of(&after)).await?;
                    Ok(Some(after))
                })
            })
            .await?;
        if let Some(task) = &claimed {
            self.with(subnet_id, Ledger::one_idle_less);
            self.keep_promise(subnet_id);
            self.join(task);
        }
        Ok(claimed)
    }

    /// Creates a sandbox for a task that found none idle. It belongs to the task once [`Pool::keep`] has committed it, and
    /// is removed if it is dropped before.
    pub(in crate::engine) async fn make_for(&self, subnet_id: &str, task: &Task) -> Result<Draft, Error> {
        let mut attempts = ATTEMPTS;
        // Before the first check, so that a change after the check ends the wait that follows.
        let mut relief = self.0.relief.subscribe();
        // Begins with the first wait.
        let mut patience = pin!(self.0.clock.sleep(PATIENCE));
        loop {
            relief.borrow_and_update();
            let failed = match self.with(subnet_id, Ledger::take).flatten() {
                Some(slot) => {
                    let state = sandboxes::State::Claimed(task.arn.clone());
                    match self.make(subnet_id, slot, state, &task.attachment.security_groups).await {
                        Ok(made) => return Ok(made),
                        Err(failed) => failed,
                    }
                }
                None => Error::SubnetFull(subnet_id.to_owned()),
            };
            let failed = match failed {
                // An address was promised to this task: an idle sandbox has it and is removed.
                Error::SubnetFull(_) | Error::Make(runtime::Error::NetworkFull { .. }) => {
                    match self.give_up_idle(subnet_id).await {
                        Ok(true) => continue,
                        Ok(false) if self.expects_relief(subnet_id) => {
                            tokio::select! {
                                // `self` holds the sender, so the channel does not close.
                                _ = relief.changed() => continue,
                                () = &mut patience => return Err(failed),
                            }
                        }
                        Ok(false) => return Err(failed),
                        Err(error) => error,
                    }
                }
                failed @ (Error::Make(runtime::Error::Failed { .. }) | Error::Remove(_)) => failed,
                failed => return Err(failed),
            };
            attempts -= 1;
            if attempts == 0 {
                return Err(failed);
            }
            debug!(
                error = &failed as &dyn std::error::Error,
                task = %task.arn,
                "could not create a sandbox for the task; trying another address"
            );
        }
    }

    /// Gives up one idle sandbox for its address; `false` if none is idle.
    pub(super) async fn give_up_idle(&self, subnet_id: &str) -> Result<bool, Error> {
        let idle = sandboxes::idle(self.0.store.readers()).await.map_err(Error::Store)?;
        match idle.into_iter().find(|row| row.subnet_id == subnet_id) {
            // If a task has claimed it meanwhile, the next check finds another one.
            Some(row) => self.withdraw(&row.sandbox_id).await.map(|_| true),
            None => Ok(false),
        }
    }

    /// Whether an address of the subnet will become free without any task: an idle sandbox is being created, or one is being
    /// removed.
    fn expects_relief(&self, subnet_id: &str) -> bool {
        self.with(subnet_id, |ledger| ledger.expects_relief()).unwrap_or(false)
    }

    /// Commits a sandbox that [`Pool::make_for`] created, in the transaction that commits the state that `connect` returns.
    pub(in crate::engine) async fn keep<F>(
        &self,
        draft: &mut Draft,
        task: &Task,
        connect: F,
    ) -> Result<Task, store::Error>
    where
        F: FnOnce(task::Claim) -> Result<Task, task::Illegal> + Send + 'static,
    {
        let (row, region) = (draft.row().clone(), task.region.clone());
        let subnet_id = row.subnet_id.clone();
        let (gone, kept) = self
            .0
            .store
            .write(move |connection| {
                Box::pin(async move {
                    let gone = sandboxes::replace(connection, &row).await?;
                    let after = connect(claim_of(&row, &region)?).map_err(corrupt("a claim"))?;
                    ledger::put(connection, &ledger::Entry::of(&after)).await?;
                    Ok((gone, after))
                })
            })
            .await?;
        draft.keep();
        gone.iter().for_each(|row| self.strike(row));
        self.keep_promise(&subnet_id);
        self.join(&kept);
        Ok(kept)
    }

    fn keep_promise(&self, subnet_id: &str) {
        let now = self.0.clock.now();
        self.with(subnet_id, |ledger| ledger.keep_promise(now));
        self.0.refill.notify_one();
    }

    /// The task, in its state before the loss, has lost its sandbox before anything ran in it, and needs another one.
    pub(in crate::engine) fn abandon(&self, task: &Task) {
        let Some(sandbox_id) = task.attachment.sandbox_id.clone() else { return };
        self.0.filters.leave(&sandbox_id);
        let subnet_id = self.subnet_of(task);
        self.promise_anyway(&subnet_id);
        // Its address becomes free, which the task's next claim may wait for.
        self.with(&subnet_id, Ledger::begin_leaving);
        let pool = self.clone();
        self.0.under_way.spawn(async move {
            let id = sandbox_id.clone();
            let deleted = pool
                .0
                .store
                .write(move |connection| Box::pin(async move { sandboxes::delete(connection, &id).await }))
                .await;
            let row = deleted.unwrap_or_else(|error| {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "could not forget the sandbox {sandbox_id}, which its task has lost; the next full pass retries it"
                );
                None
            });
            match row {
                // A removal that fails is retried.
                Some(row) => drop(pool.remove_leaving(Leaving::of(&row)).await),
                None => drop(pool.with(&subnet_id, Ledger::end_leaving)),
            }
        });
    }
}

/// The ENI that a claimed sandbox is to the task.
fn claim_of(row: &sandboxes::Row, region: &str) -> Result<task::Claim, store::Error> {
    let address = row.address.parse().map_err(corrupt("a sandbox's address"))?;
    Ok(task::Claim {
        sandbox_id: row.sandbox_id.clone(),
        // The sandbox's id is random hexadecimal already.
        network_interface_id: format!("eni-{:.17}", row.sandbox_id),
        mac_address: row.mac_address.clone(),
        private_dns_name: private_dns_name(address, region),
        address,
    })
}

/// For `map_err` inside a write: the write is undone.
fn corrupt<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl Fn(E) -> store::Error {
    move |source| store::Error::Corrupt { what, source: Box::new(source) }
}
