//! The pool of sandboxes: made ahead, claimed by one task each, never reused.
//!
//! What is slow in starting a container is its network; a sandbox that waits takes that off a task's path. Rows in the
//! store say which sandboxes there are and whose; here are only the addresses and the numbers.
//!
//! Rules: a task that was accepted has an address promised to it; idle sandboxes are given up before a subnet is called
//! full; refilling yields to task starts.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};
use uuid::Uuid;

use super::filters::Filters;
use super::room::{Place, Room};
use crate::clock::Clock;
use crate::engine::ledger;
use crate::engine::options::Options;
use crate::engine::task::{self, Task};
use crate::engine::vpc::{Addresses, Network, Subnet, Vpc, private_dns_name};
use crate::runtime::{self, Resolver, Runtime, SandboxSpec};
use crate::store::{self, SqliteConnection, Store, sandboxes};

/// Idle sandboxes of a subnet nobody has used yet.
const IDLE_AT_FIRST: usize = 1;

/// Sandboxes that are made at the same time when the pool is empty.
const MAKERS: usize = 8;

/// Tries of a task's sandbox, each at another address: the engine may still be carrying out what a process asked for
/// that was killed since, and so hold an address that is free by all that is known here.
const TRIES: usize = 3;

/// Between two tries of a refill that failed.
const RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(in crate::engine) enum Error {
    #[error("subnet {0} has no free address")]
    SubnetFull(String),
    #[error("could not make a sandbox")]
    Runtime(#[source] runtime::Error),
    #[error("could not keep the sandbox")]
    Store(#[source] store::Error),
}

#[derive(Clone, Debug)]
pub(in crate::engine) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    runtime: Arc<dyn Runtime>,
    clock: Clock,
    vpc: Arc<Vpc>,
    /// The VPC's network, by its name on the runtime.
    network: String,
    filters: Filters,
    /// The region that hostnames carry: they are fixed before a task of some region comes.
    region: String,
    /// Idle sandboxes of a subnet that tasks have been started in.
    idle_when_used: usize,
    subnets: Mutex<HashMap<String, Room>>,
    makers: Semaphore,
    /// Idle sandboxes that are being made, each with its row.
    making: TaskTracker,
    refill: Notify,
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
        let vpc = Arc::new(vpc);
        let filters = Filters::new(Arc::clone(&vpc), Arc::clone(&runtime), clock.clone());
        let borrowed = matches!(vpc.network, Network::Borrowed { .. });
        let target = IDLE_AT_FIRST.min(options.sandbox_pool);
        let room = |subnet: &Subnet| Room::new(Addresses::new(subnet.cidr), borrowed, target);
        let subnets = vpc.subnets.iter().map(|subnet| (subnet.subnet_id.clone(), room(subnet))).collect();
        Self(Arc::new(Inner {
            store,
            runtime,
            clock,
            vpc,
            network,
            filters,
            region: options.region.clone(),
            idle_when_used: options.sandbox_pool,
            subnets: Mutex::new(subnets),
            makers: Semaphore::new(MAKERS),
            making: TaskTracker::new(),
            refill: Notify::new(),
            starting: watch::Sender::new(0),
        }))
    }

    pub(in crate::engine) fn vpc(&self) -> &Vpc {
        &self.0.vpc
    }

    pub(in crate::engine) fn filters(&self) -> &Filters {
        &self.0.filters
    }

    /// The task has a sandbox by now: it is a member of its security groups.
    pub(in crate::engine) fn join(&self, task: &Task) {
        let attachment = &task.attachment;
        if let (Some(sandbox_id), Some(address)) = (&attachment.sandbox_id, attachment.private_ipv4_address) {
            self.0.filters.join(sandbox_id, address, &attachment.security_groups);
        }
    }

    /// The subnet that the task's address is of: its own, or the one that stands for it.
    pub(in crate::engine) fn subnet_of(&self, task: &Task) -> String {
        let requested = &task.attachment.subnet_id;
        self.0.vpc.subnet(requested).map_or(requested, |subnet| &subnet.subnet_id).clone()
    }

    /// Counts a sandbox that an earlier process left and that still runs.
    pub(in crate::engine) fn adopt(&self, row: &sandboxes::Row) {
        if let Ok(address) = row.address.parse() {
            self.with(&row.subnet_id, |room| room.adopt(address, row.state == sandboxes::State::Idle));
        }
    }

    /// Promises an address to a task that is about to be accepted; `false` where the subnet is full.
    pub(in crate::engine) fn promise(&self, subnet_id: &str) -> bool {
        self.with(subnet_id, Room::promise).unwrap_or(false)
    }

    /// Addresses of a subnet that a task could still have.
    pub(in crate::engine) fn free(&self, subnet_id: &str) -> usize {
        self.with(subnet_id, |room| room.free()).unwrap_or(0)
    }

    /// Takes back a promise whose task was not accepted or stopped before it claimed.
    pub(in crate::engine) fn release_promise(&self, subnet_id: &str) {
        self.with(subnet_id, Room::release_promise);
    }

    /// Claims an idle sandbox of the subnet for the task, in the transaction that keeps the state which `connect` makes
    /// of it. `None` where none is idle.
    pub(in crate::engine) async fn claim_idle<F>(
        &self,
        subnet_id: &str,
        task: &Task,
        connect: F,
    ) -> Result<Option<Task>, store::Error>
    where
        F: FnOnce(task::Claim) -> Result<Task, task::Illegal> + Send + 'static,
    {
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
            self.with(subnet_id, Room::one_idle_less);
            self.keep_promise(subnet_id);
            self.join(task);
        }
        Ok(claimed)
    }

    /// Makes a sandbox for a task that found none idle. It is the task's once [`Pool::keep`] has committed it.
    pub(in crate::engine) async fn make_for(
        &self,
        subnet_id: &str,
        task: &Task,
    ) -> Result<sandboxes::Row, Error> {
        let mut tries = TRIES;
        loop {
            if let Some(place) = self.with(subnet_id, Room::take).flatten() {
                let state = sandboxes::State::Claimed(task.arn.clone());
                let failed = match self.make(subnet_id, place, state, &task.attachment.security_groups).await
                {
                    Ok(made) => return Ok(made),
                    Err(failed) => failed,
                };
                let full = matches!(failed, Error::Runtime(runtime::Error::NetworkFull { .. }));
                if full && self.give_up_idle(subnet_id).await? {
                    continue;
                }
                tries -= 1;
                if tries == 0 || !matches!(failed, Error::Runtime(runtime::Error::Failed { .. })) {
                    return Err(failed);
                }
                debug!(error = &failed as &dyn std::error::Error, ?place, "trying another address");
                continue;
            }
            // No address is left, but one was promised to this task: an idle sandbox has it and gives it up.
            if !self.give_up_idle(subnet_id).await? {
                return Err(Error::SubnetFull(subnet_id.to_owned()));
            }
        }
    }

    /// Commits a sandbox made by [`Pool::make_for`] in the transaction that keeps the state which `connect` makes of it.
    pub(in crate::engine) async fn keep<F>(
        &self,
        row: sandboxes::Row,
        task: &Task,
        connect: F,
    ) -> Result<Task, store::Error>
    where
        F: FnOnce(task::Claim) -> Result<Task, task::Illegal> + Send + 'static,
    {
        let (subnet_id, region) = (row.subnet_id.clone(), task.region.clone());
        let kept = self
            .0
            .store
            .write(move |connection| {
                Box::pin(async move {
                    insert(connection, &row).await?;
                    let after = connect(claim_of(&row, &region)?).map_err(corrupt("a claim"))?;
                    ledger::put(connection, &ledger::Entry::of(&after)).await?;
                    Ok(after)
                })
            })
            .await?;
        self.keep_promise(&subnet_id);
        self.join(&kept);
        Ok(kept)
    }

    fn keep_promise(&self, subnet_id: &str) {
        self.with(subnet_id, |room| room.keep_promise(self.0.idle_when_used));
        self.0.refill.notify_one();
    }

    /// Removes one idle sandbox for its address; `false` where none is idle.
    async fn give_up_idle(&self, subnet_id: &str) -> Result<bool, Error> {
        let rows = sandboxes::load_all(self.0.store.readers()).await.map_err(Error::Store)?;
        let idle =
            rows.into_iter().find(|row| row.subnet_id == subnet_id && row.state == sandboxes::State::Idle);
        match idle {
            Some(row) => self.remove_row(row).await.map(|()| true),
            None if self.with(subnet_id, |room| room.idle()).unwrap_or(0) > 0 => {
                // It is being made at this moment.
                self.0.clock.sleep(Duration::from_millis(20)).await;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Takes an idle sandbox out of the pool and removes it, unless a task was quicker.
    async fn remove_row(&self, row: sandboxes::Row) -> Result<(), Error> {
        let id = row.sandbox_id.clone();
        let withdrawn = self
            .0
            .store
            .write(move |connection| Box::pin(async move { sandboxes::withdraw(connection, &id).await }))
            .await
            .map_err(Error::Store)?;
        if withdrawn {
            self.0.runtime.remove_sandbox(&row.sandbox_id).await.map_err(Error::Runtime)?;
            self.0.filters.removed(&row.sandbox_id);
            self.with(&row.subnet_id, |room| {
                room.one_idle_less();
                if let Ok(address) = row.address.parse() {
                    room.give_back(address);
                }
            });
        }
        Ok(())
    }

    /// Makes a sandbox in a place that was taken for it, which is free again where that fails.
    async fn make(
        &self,
        subnet_id: &str,
        place: Place,
        state: sandboxes::State,
        security_groups: &[String],
    ) -> Result<sandboxes::Row, Error> {
        // The semaphore is never closed, so a permit always comes.
        let _maker = self.0.makers.acquire().await;
        let vpc = &self.0.vpc;
        let subnet = vpc.subnets.iter().find(|subnet| subnet.subnet_id == subnet_id);
        let spec = SandboxSpec {
            sandbox_id: Uuid::new_v4().simple().to_string(),
            network: self.0.network.clone(),
            address: place,
            // Where the runtime assigns the address, nobody knows it in time.
            hostname: place.map(|address| private_dns_name(address, &self.0.region)),
            resolver: Resolver {
                name_servers: vpc.dhcp_options.domain_name_servers.clone(),
                search_domains: vpc.dhcp_options.domain_names.clone(),
            },
            routes: subnet.map(|subnet| vpc.routes(subnet).to_vec()).unwrap_or_default(),
            filter: self.0.filters.at_first(security_groups),
        };
        let sandbox = match self.0.runtime.create_sandbox(&spec).await {
            Ok(sandbox) => sandbox,
            Err(error) => {
                self.discard(&spec.sandbox_id).await;
                self.with(subnet_id, |room| room.not_made(place));
                return Err(Error::Runtime(error));
            }
        };
        self.with(subnet_id, |room| room.made(place, sandbox.address));
        self.0.filters.made(&sandbox.sandbox_id, spec.filter);
        Ok(sandboxes::Row {
            sandbox_id: sandbox.sandbox_id,
            subnet_id: subnet_id.to_owned(),
            address: sandbox.address.to_string(),
            mac_address: sandbox.mac_address,
            state,
            created_at: self.0.clock.now(),
        })
    }

    /// Removes a sandbox of which there is no row. One that stays behind is removed at the next start.
    async fn discard(&self, sandbox_id: &str) {
        self.0.filters.removed(sandbox_id);
        if let Err(error) = self.0.runtime.remove_sandbox(sandbox_id).await {
            debug!(%sandbox_id, %error, "a sandbox is left for the next start to remove");
        }
    }

    /// The task's sandbox is removed and its row deleted: the address is free again.
    pub(in crate::engine) fn give_back(&self, subnet_id: &str, address: Ipv4Addr) {
        self.with(subnet_id, |room| room.give_back(address));
        self.0.refill.notify_one();
    }

    /// Holds the refill back while a task is being started.
    pub(in crate::engine) fn begin_start(&self) -> Start {
        self.0.starting.send_modify(|starting| *starting += 1);
        Start(Arc::clone(&self.0))
    }

    /// Refills the pool and keeps the filters for as long as it is polled.
    pub(in crate::engine) async fn run(&self) {
        tokio::join!(self.refill(), self.0.filters.run());
    }

    async fn refill(&self) {
        loop {
            let mut quiet = self.0.starting.subscribe();
            // The sender lives in `self`, so the wait cannot end for want of one.
            let _ = quiet.wait_for(|starting| *starting == 0).await;
            match self.lacking() {
                None => self.0.refill.notified().await,
                Some((subnet_id, place)) => {
                    // Made to its end even where this loop is halted: without a row it would be nobody's.
                    let (pool, subnet) = (self.clone(), subnet_id.clone());
                    let made = self.0.making.spawn(async move { pool.make_idle(&subnet, place).await });
                    if let Ok(Err(error)) = made.await {
                        warn!(error = &error as &dyn std::error::Error, %subnet_id, "the pool is not refilled");
                        self.0.clock.sleep(RETRY).await;
                    }
                }
            }
        }
    }

    /// A subnet that lacks an idle sandbox, and the place for it.
    fn lacking(&self) -> Option<(String, Place)> {
        let mut subnets = self.0.subnets.lock();
        subnets.iter_mut().find_map(|(subnet_id, room)| Some((subnet_id.clone(), room.take_idle()?)))
    }

    async fn make_idle(&self, subnet_id: &str, place: Place) -> Result<(), Error> {
        let made = match self.make(subnet_id, place, sandboxes::State::Idle, &[]).await {
            Ok(row) => {
                let (sandbox_id, address) = (row.sandbox_id.clone(), row.address.parse().ok());
                let kept = self
                    .0
                    .store
                    .write(move |connection| Box::pin(async move { insert(connection, &row).await }))
                    .await;
                if kept.is_err() {
                    self.discard(&sandbox_id).await;
                    self.with(subnet_id, |room| address.map(|address| room.give_back(address)));
                }
                kept.map_err(Error::Store)
            }
            Err(error) => Err(error),
        };
        if made.is_err() {
            self.with(subnet_id, Room::one_idle_less);
        }
        made
    }

    /// Waits until no idle sandbox is being made any more. Legal once [`Pool::run`] is no longer polled.
    pub(in crate::engine) async fn settle(&self) {
        self.0.making.close();
        self.0.making.wait().await;
    }

    fn with<T>(&self, subnet_id: &str, change: impl FnOnce(&mut Room) -> T) -> Option<T> {
        self.0.subnets.lock().get_mut(subnet_id).map(change)
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

/// Adds the row. The runtime gave the address, so a row that has it still is of a sandbox that is gone.
async fn insert(connection: &mut SqliteConnection, row: &sandboxes::Row) -> Result<(), store::Error> {
    sandboxes::vacate(connection, &row.subnet_id, &row.address).await?;
    sandboxes::insert(connection, row).await
}

/// For `map_err` inside a write: the write is undone.
fn corrupt<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl Fn(E) -> store::Error {
    move |source| store::Error::Corrupt { what, source: Box::new(source) }
}
