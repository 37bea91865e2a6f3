//! What every part of a running engine shares.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::task::TaskTracker;
use tracing::error;

use super::background::Background;
use super::changes::{Change, Changes, Reader};
use super::cluster::Clusters;
use super::network::pool::Pool;
use super::network::ports::Ports;
use super::options::Options;
use super::readiness::{NotReady, Readiness};
use super::task::Task;
use super::work::mailbox::{Message, Route};
use super::work::registry::Registry;
use crate::clock::Clock;
use crate::runtime::{self, Inventory, Runtime};
use crate::store::{self, Store};

/// An inventory that takes longer has failed. The engine inspects each container for it.
const INVENTORY: Duration = Duration::from_mins(2);

#[derive(Debug)]
pub(super) struct Context {
    pub(super) options: Options,
    pub(super) store: Store,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Clock,
    pub(super) changes: Changes,
    pub(super) registry: Arc<Registry>,
    pub(super) clusters: Clusters,
    pub(super) ports: Arc<Ports>,
    pub(super) readiness: watch::Sender<Readiness>,
    pub(super) background: Background,
    /// Wakes the auditor: events may have been missed.
    pub(super) audit: Arc<Notify>,
    /// Task ARN → its supervisor. One that panicked is closed here until it is restarted.
    pub(super) supervisors: Mutex<HashMap<String, mpsc::UnboundedSender<Message>>>,
    /// Held while a task that has no supervisor is written and published, so that two such changes do not overlap.
    pub(super) unsupervised: tokio::sync::Mutex<()>,
    /// Followers of containers' output. Each ends with its handle; a halt waits for the last write of all.
    pub(super) followers: TaskTracker,
    /// Container id → the supervisor of its task.
    pub(super) routes: Mutex<HashMap<String, Route>>,
    /// ARNs of tasks whose rows cannot be read. They are left as they are, with what they have on the runtime.
    unreadable: Mutex<BTreeSet<String>>,
}

impl Context {
    pub(super) fn new(options: Options, store: Store, runtime: Arc<dyn Runtime>, clock: Clock) -> Self {
        let (registry, ports) = (Arc::<Registry>::default(), Arc::new(Ports::new(clock.clone())));
        let published = options.publish_ports.then(|| Arc::clone(&ports) as Arc<dyn Reader>);
        let readers = published.into_iter().chain([Arc::clone(&registry) as Arc<dyn Reader>]);
        let starting = NotReady { since: clock.now(), reason: "the emulator is starting".to_owned() };
        Self {
            options,
            clusters: Clusters::of(&store),
            store,
            runtime,
            changes: Changes::new(readers.collect()),
            registry,
            ports,
            readiness: watch::Sender::new(Readiness::NotReady(starting)),
            background: Background::new(clock.clone()),
            audit: Arc::default(),
            clock,
            supervisors: Mutex::default(),
            unsupervised: tokio::sync::Mutex::default(),
            followers: TaskTracker::new(),
            routes: Mutex::default(),
            unreadable: Mutex::default(),
        }
    }

    /// The pool, as soon as the engine is ready. Waits for `bound` at most.
    pub(super) async fn ready(&self, bound: Duration) -> Result<Pool, NotReady> {
        match self.clock.timeout(bound, self.pool()).await {
            Ok(pool) => Ok(pool),
            Err(_) => Err(self.not_ready()),
        }
    }

    /// The pool, without a time limit: for callers that end with the engine, such as a supervisor.
    pub(super) async fn pool(&self) -> Pool {
        let mut readiness = self.readiness.subscribe();
        loop {
            if let Readiness::Ready(pool) = &*readiness.borrow_and_update() {
                return pool.clone();
            }
            // `self` holds the sender, so the channel does not close.
            let _ = readiness.changed().await;
        }
    }

    /// The pool, if the engine is ready.
    pub(super) fn pool_now(&self) -> Option<Pool> {
        match &*self.readiness.borrow() {
            Readiness::Ready(pool) => Some(pool.clone()),
            Readiness::NotReady(_) => None,
        }
    }

    /// The reason for which a wait has ended without a pool.
    pub(super) fn not_ready(&self) -> NotReady {
        match &*self.readiness.borrow() {
            Readiness::NotReady(not_ready) => not_ready.clone(),
            Readiness::Ready(_) => NotReady {
                since: self.clock.now(),
                reason: "it became ready after the time limit of the request".to_owned(),
            },
        }
    }

    /// Tasks cannot be placed, for this reason. `since` does not change while the engine is not ready.
    pub(super) fn set_not_ready(&self, reason: impl Into<String>) {
        let now = self.clock.now();
        self.readiness.send_modify(|readiness| {
            let since = match readiness {
                Readiness::NotReady(not_ready) => not_ready.since,
                Readiness::Ready(_) => now,
            };
            *readiness = Readiness::NotReady(NotReady { since, reason: reason.into() });
        });
    }

    /// Publishes a committed task.
    pub(super) fn publish(&self, task: &Arc<Task>) {
        self.changes.publish(Change::Task(Arc::clone(task)));
    }

    /// The supervisor of a task, if one runs.
    pub(super) fn supervisor(&self, task_arn: &str) -> Option<mpsc::UnboundedSender<Message>> {
        self.supervisors.lock().get(task_arn).filter(|supervisor| !supervisor.is_closed()).cloned()
    }

    /// All that the runtime holds of this instance, in bounded time.
    pub(super) async fn inventory(&self) -> Result<Inventory, runtime::Error> {
        let attempted = || "list what the container engine runs".to_owned();
        runtime::within(&self.clock, INVENTORY, attempted, self.runtime.inventory()).await
    }

    /// Records a task whose row cannot be read. It is logged once.
    pub(super) fn record_unreadable(&self, task_arn: &str, error: &store::Error) {
        if self.unreadable.lock().insert(task_arn.to_owned()) {
            let error = error as &dyn std::error::Error;
            error!(
                task = task_arn,
                error, "could not read a task from the store; its row and its containers are left unchanged"
            );
        }
    }

    pub(super) fn unreadable(&self) -> Vec<String> {
        self.unreadable.lock().iter().cloned().collect()
    }

    pub(super) fn forget_unreadable(&self) {
        self.unreadable.lock().clear();
    }
}
