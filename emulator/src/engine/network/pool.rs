//! The pool of sandboxes: created ahead, claimed by one task each, never reused.
//!
//! ```text
//! refill ─▶ Draft ─▶ row, idle ─▶ claimed by a task (claims) ─▶ removed with the task
//!             │          │ withdrawn: exited, its address needed, shutdown
//!             ▼          ▼
//!            removal, retried until it has succeeded ─▶ the address is free
//! ```
//!
//! The slow part of a container's start is its network; an idle sandbox saves a task that wait. Rows in the store record
//! the sandboxes and their tasks; the pool has only the addresses and the numbers.
//!
//! Rules: a task that was accepted has an address promised to it; idle sandboxes are given up before a subnet is called
//! full; refilling yields to task starts, for a while; how many are idle follows the need (`need`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::filters::Filters;
use super::leaving::Leaving;
use super::need::Need;
use super::subnet::{Ledger, Slot};
use crate::clock::Clock;
use crate::engine::options::Options;
use crate::engine::vpc::{Addresses, Network, Subnet, Vpc};
use crate::runtime::{self, Runtime};
use crate::store::{self, Store, sandboxes};

/// Idle sandboxes of a subnet that no task has used yet, except the first subnet, which has all from the start.
const IDLE_AT_FIRST: usize = 1;

/// How long the refill waits for tasks that are being started. One of them may pull its image for an hour.
const YIELD: Duration = Duration::from_secs(5);

/// Between two checks for idle sandboxes that are no longer needed.
const SHRINK: Duration = Duration::from_mins(1);

/// Sandboxes that are created at the same time when the pool is empty.
const MAKERS: usize = 8;

/// Between two attempts at a refill that failed.
const RETRY: Duration = Duration::from_secs(5);

/// How long a halted pool waits for sandboxes that are being created. The next start removes what is not done by then.
const SETTLE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(in crate::engine) enum Error {
    #[error("subnet {0} has no free address")]
    SubnetFull(String),
    #[error("could not create a sandbox")]
    Make(#[source] runtime::Error),
    #[error("could not remove a sandbox")]
    Remove(#[source] runtime::Error),
    #[error("could not commit the sandbox")]
    Store(#[source] store::Error),
}

impl Error {
    /// Whether a retry may succeed.
    pub(in crate::engine) fn may_pass(&self) -> bool {
        match self {
            Self::Make(error) | Self::Remove(error) => error.may_pass(),
            Self::Store(_) => true,
            Self::SubnetFull(_) => false,
        }
    }
}

#[derive(Clone, Debug)]
pub(in crate::engine) struct Pool(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Clock,
    pub(super) vpc: watch::Sender<Arc<Vpc>>,
    /// The VPC's network, by its name on the runtime.
    pub(super) network: String,
    pub(super) filters: Filters,
    /// The region of hostnames, which are fixed before the task and its region are known.
    pub(super) region: String,
    pub(super) ledgers: Mutex<HashMap<String, Ledger>>,
    pub(super) makers: Semaphore,
    /// The sandboxes of all [`super::draft::Draft`]s.
    pub(super) drafts: Mutex<HashSet<String>>,
    /// Work that must not stop halfway, even if no caller waits for it.
    pub(super) under_way: TaskTracker,
    pub(super) refill: Notify,
    /// Sandboxes whose removal is to be retried until it succeeds, by their ids.
    pub(super) leaving: Mutex<HashMap<String, Leaving>>,
    pub(super) removal: Notify,
    /// Counts the times that a subnet's numbers changed in favour of a task without an address: an idle sandbox was
    /// created, or an address was freed.
    pub(super) relief: watch::Sender<u64>,
    /// Sandboxes that exited and that no task had.
    pub(super) exited: mpsc::UnboundedSender<String>,
    exits: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
    /// Tasks that are being started right now.
    starting: watch::Sender<usize>,
}

impl Pool {
    pub(in crate::engine) fn new(
        store: Store,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
        vpc: Vpc,
        network: String,
        options: &Options,
    ) -> Self {
        let borrowed = matches!(vpc.network, Network::Borrowed { .. });
        let least = options.sandbox_pool;
        let ledger = |(place, subnet): (usize, &Subnet)| {
            let at_first = if place == 0 { least } else { IDLE_AT_FIRST };
            let ledger = Ledger::new(Addresses::new(subnet.cidr), borrowed, Need::new(least, at_first));
            (subnet.subnet_id.clone(), ledger)
        };
        let ledgers = vpc.subnets.iter().enumerate().map(ledger).collect();
        let vpc = watch::Sender::new(Arc::new(vpc));
        let filters = Filters::new(vpc.subscribe(), Arc::clone(&runtime), clock.clone());
        let (exited, exits) = mpsc::unbounded_channel();
        Self(Arc::new(Inner {
            store,
            runtime,
            clock,
            vpc,
            network,
            filters,
            region: options.region.clone(),
            ledgers: Mutex::new(ledgers),
            makers: Semaphore::new(MAKERS),
            drafts: Mutex::default(),
            under_way: TaskTracker::new(),
            refill: Notify::new(),
            leaving: Mutex::default(),
            removal: Notify::new(),
            relief: watch::Sender::new(0),
            exited,
            exits: tokio::sync::Mutex::new(exits),
            starting: watch::Sender::new(0),
        }))
    }

    /// The VPC as it is now.
    pub(in crate::engine) fn vpc(&self) -> Arc<Vpc> {
        Arc::clone(&self.0.vpc.borrow())
    }

    pub(in crate::engine) fn filters(&self) -> &Filters {
        &self.0.filters
    }

    /// Holds the refill back while a task is being started.
    pub(in crate::engine) fn begin_start(&self) -> Start {
        self.0.starting.send_modify(|starting| *starting += 1);
        Start(Arc::clone(&self.0))
    }

    /// Refills the pool, updates the filters and removes sandboxes, for as long as it is polled.
    pub(in crate::engine) async fn run(&self) {
        tokio::join!(
            self.refill(),
            self.shrink(),
            self.removals(),
            self.withdraw_exited(),
            self.0.filters.run()
        );
    }

    async fn refill(&self) {
        loop {
            let mut quiet = self.0.starting.subscribe();
            // `self` holds the sender, so the channel does not close.
            let _ = self.0.clock.timeout(YIELD, quiet.wait_for(|starting| *starting == 0)).await;
            match self.lacking() {
                None => self.0.refill.notified().await,
                Some((subnet_id, slot)) => {
                    let (pool, subnet) = (self.clone(), subnet_id.clone());
                    let made = self.finish(async move { pool.make_idle(&subnet, slot).await }).await;
                    if let Err(error) = made {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            "could not create an idle sandbox in {subnet_id}; retrying in {RETRY:?}"
                        );
                        self.0.clock.sleep(RETRY).await;
                    }
                }
            }
        }
    }

    /// A subnet that lacks an idle sandbox, and the slot for it.
    fn lacking(&self) -> Option<(String, Slot)> {
        let now = self.0.clock.now();
        let mut ledgers = self.0.ledgers.lock();
        ledgers.iter_mut().find_map(|(subnet_id, ledger)| Some((subnet_id.clone(), ledger.take_idle(now)?)))
    }

    /// Gives up idle sandboxes that are no longer needed.
    async fn shrink(&self) {
        loop {
            self.0.clock.sleep(SHRINK).await;
            for subnet_id in self.rich() {
                if let Err(error) = self.give_up_surplus(&subnet_id).await {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "could not give up an idle sandbox in {subnet_id}; retrying in {SHRINK:?}"
                    );
                }
            }
        }
    }

    /// The subnets with more idle sandboxes than are needed.
    fn rich(&self) -> Vec<String> {
        let now = self.0.clock.now();
        let ledgers = self.0.ledgers.lock();
        let rich = ledgers.iter().filter(|(_, ledger)| ledger.surplus(now) > 0);
        rich.map(|(subnet_id, _)| subnet_id.clone()).collect()
    }

    async fn give_up_surplus(&self, subnet_id: &str) -> Result<(), Error> {
        let surplus = || self.with(subnet_id, |ledger| ledger.surplus(self.0.clock.now())).unwrap_or(0);
        // There is none to give up if tasks have claimed them meanwhile.
        while surplus() > 0 && self.give_up_idle(subnet_id).await? {}
        Ok(())
    }

    async fn make_idle(&self, subnet_id: &str, slot: Slot) -> Result<(), Error> {
        let mut draft = self.make(subnet_id, slot, sandboxes::State::Idle, &[]).await?;
        let row = draft.row().clone();
        let kept = self
            .0
            .store
            .write(move |connection| Box::pin(async move { sandboxes::replace(connection, &row).await }))
            .await;
        let gone = kept.map_err(Error::Store)?;
        draft.keep();
        gone.iter().for_each(|row| self.strike(row));
        self.relieve();
        Ok(())
    }

    /// No longer counts the sandbox of this row as idle, if it was.
    pub(super) fn strike(&self, row: &sandboxes::Row) {
        if row.state == sandboxes::State::Idle {
            self.with(&row.subnet_id, Ledger::one_idle_less);
        }
    }

    /// Withdraws idle sandboxes that exited.
    async fn withdraw_exited(&self) {
        let mut exits = self.0.exits.lock().await;
        while let Some(sandbox_id) = exits.recv().await {
            self.withdraw_dead(&sandbox_id).await;
        }
    }

    /// Takes an idle sandbox out of the pool and removes it. Returns whether it was idle: a task may have claimed it meanwhile.
    pub(super) async fn withdraw(&self, sandbox_id: &str) -> Result<bool, Error> {
        let (pool, id) = (self.clone(), sandbox_id.to_owned());
        let store = self.0.store.clone();
        self.finish(async move {
            let withdrawn = store
                .write(move |connection| Box::pin(async move { sandboxes::withdraw(connection, &id).await }))
                .await
                .map_err(Error::Store)?;
            let Some(row) = withdrawn else { return Ok(false) };
            pool.with(&row.subnet_id, Ledger::one_idle_less);
            pool.remove(Leaving::of(&row)).await.map(|()| true).map_err(Error::Remove)
        })
        .await
    }

    /// Runs `work` to its end even if no caller waits for it: it changes the store, the runtime and the numbers
    /// together.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.0.under_way.spawn(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The whole process ends, and this future with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Waits until no work is under way, within a time limit. Allowed only once [`Pool::run`] is no longer polled.
    pub(in crate::engine) async fn settle(&self) {
        self.0.under_way.close();
        if self.0.clock.timeout(SETTLE, self.0.under_way.wait()).await.is_err() {
            warn!("a sandbox is still being created or removed; the next start removes what is left of it");
        }
    }

    pub(super) fn relieve(&self) {
        self.0.relief.send_modify(|times| *times += 1);
    }

    pub(super) fn with<T>(&self, subnet_id: &str, change: impl FnOnce(&mut Ledger) -> T) -> Option<T> {
        self.0.ledgers.lock().get_mut(subnet_id).map(change)
    }
}

/// A task start under way; dropped when it is done.
#[derive(Debug)]
pub(in crate::engine) struct Start(Arc<Inner>);

impl Drop for Start {
    fn drop(&mut self) {
        self.0.starting.send_modify(|starting| *starting -= 1);
    }
}
