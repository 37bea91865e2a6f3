//! The engine's handle: what the API calls.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{Instrument, info, info_span, warn};

use super::changes::{Change, Changes, Reader, Subscription};
use super::cluster::Clusters;
use super::context::Context;
use super::definition::Definitions;
use super::ledger::{self, Entry};
use super::network::ports::{Binding, Ports};
use super::options::Options;
use super::run::{self, Order, Ran};
use super::task::{Event, StopCode, Task};
use super::vpc::{self, Vpc};
use super::work::mailbox::{Message, Route};
use super::work::registry::{Counts, Registry};
use super::work::supervisor::Supervisor;
use super::work::{boot, record};
use super::{cluster, definition, forget, load, place, tag, update, usage};
use crate::clock::Clock;
use crate::cost::Usage;
use crate::runtime::{self, Runtime};
use crate::store::{self, Store, client_tokens, reset, tasks};

/// Between two looks for what has expired.
const SWEEP: Duration = Duration::from_secs(60);

/// Between two tries to reach the runtime at the start.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read or write the state")]
    Store(#[from] store::Error),
    #[error("the container runtime failed")]
    Runtime(#[from] runtime::Error),
    #[error("could not remove idle sandboxes")]
    Pool(#[from] super::network::pool::Error),
    #[error("the VPC that was described can't be had")]
    Vpc(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The engine. Cheap to clone; the parts that run end with [`Engine::shutdown`].
#[derive(Clone, Debug)]
pub struct Engine(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) context: Arc<Context>,
    /// Everything that runs: supervisors, the pool's refill, the event router, the sweeper.
    running: Mutex<JoinSet<()>>,
    /// Held for reading while tasks are accepted, for writing while everything is thrown away.
    gate: tokio::sync::RwLock<()>,
}

impl Engine {
    /// Reads the state and shows it at once; the runtime is made to agree with it behind the scenes, and new tasks
    /// wait for that.
    pub async fn start(
        options: Options,
        store: Store,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let (registry, ports) = (Arc::<Registry>::default(), Arc::new(Ports::new(clock.clone())));
        let published = options.publish_ports.then(|| Arc::clone(&ports) as Arc<dyn Reader>);
        let readers = published.into_iter().chain([Arc::clone(&registry) as Arc<dyn Reader>]);
        let context = Context {
            options,
            store,
            runtime,
            changes: Changes::new(readers.collect()),
            ports,
            clock,
            registry,
            pool: watch::Sender::new(None),
            supervisors: Mutex::default(),
            routes: Mutex::default(),
            stopped_tasks: tokio::sync::Mutex::default(),
        };
        let mut live = Vec::new();
        for task in load::load(&context.store, &context.clock).await? {
            context.publish(&task);
            if !task.is_stopped() {
                live.push(task);
            }
        }
        let context = Arc::new(context);
        let inner =
            Inner { context, running: Mutex::new(JoinSet::new()), gate: tokio::sync::RwLock::new(()) };
        let engine = Self(Arc::new(inner));
        if matches!(engine.0.context.options.vpc, vpc::Choice::Given(_)) {
            // Whoever described it is told at once: nothing that comes later would mend it.
            boot::vpc(&engine.0.context).await.map_err(|error| Error::Vpc(error.into()))?;
        }
        engine.set_going(live);
        Ok(engine)
    }

    pub fn clock(&self) -> &Clock {
        &self.0.context.clock
    }

    pub fn store(&self) -> &Store {
        &self.0.context.store
    }

    pub fn runtime(&self) -> &dyn Runtime {
        &*self.0.context.runtime
    }

    /// Whether what an earlier process left is adopted and tasks can be placed.
    pub fn is_ready(&self) -> bool {
        self.0.context.pool.borrow().is_some()
    }

    /// Accepts tasks: they are committed when this returns, and their supervisors are at work. A caller that goes away
    /// meanwhile changes nothing: what is committed is supervised.
    pub async fn run(&self, order: Order) -> Result<Ran, run::Error> {
        let engine = self.clone();
        finish(async move { engine.accept(order).await }).await
    }

    async fn accept(&self, order: Order) -> Result<Ran, run::Error> {
        let _gate = self.0.gate.read().await;
        let context = &self.0.context;
        let pool = context.pool().await;
        let now = context.clock.now();
        let placed = place::place(&order, &pool, context.options.activating, now)?;
        let token = order.client_token.clone().map(|token| client_tokens::Row {
            scope: order.cluster_arn.clone(),
            token: token.token,
            digest: token.digest,
            task_arns: placed.tasks.iter().map(|task| task.arn.clone()).collect(),
            answer: Some(placed.row()),
            created_at: now,
        });
        let entries: Vec<Entry> = placed.tasks.iter().map(|task| Entry::of(task)).collect();
        let (cluster, definition) = (order.cluster_arn, order.task_definition_arn);
        let kept = context
            .store
            .write(move |connection| {
                Box::pin(async move { keep(connection, &cluster, &definition, token, &entries).await })
            })
            .await;
        let accepted = matches!(kept, Ok(Kept::New));
        if !accepted {
            placed.tasks.iter().for_each(|task| pool.release_promise(&pool.subnet_of(task)));
        }
        match kept.map_err(run::Error::Store)? {
            Kept::New => {
                for task in &placed.tasks {
                    context.publish(task);
                    self.supervise(Arc::clone(task), None);
                }
                Ok(placed)
            }
            Kept::Before(answer) => Ok(answer),
            Kept::ClusterInactive => Err(run::Error::ClusterInactive),
            Kept::DefinitionInactive => Err(run::Error::DefinitionInactive),
            Kept::Conflict(resource_ids) => Err(run::Error::Conflict { resource_ids }),
        }
    }

    /// Asks a task to stop. Answers it as StopTask does: wanted STOPPED, not yet so. `None`: there is no such task.
    pub async fn stop(
        &self,
        task_arn: &str,
        code: StopCode,
        reason: String,
    ) -> Result<Option<Arc<Task>>, Error> {
        let told = self.tell(task_arn, |reply| Message::Stop { code, reason, reply }).await;
        Ok(told.or_else(|| self.task(task_arn)))
    }

    /// Changes the tags of a task, which has them as they are at its turn.
    ///
    /// # Errors
    /// There is no such task; the tags after the change are none that a task may have.
    pub async fn tag(
        &self,
        task_arn: &str,
        change: tag::Change,
    ) -> Result<Arc<Task>, update::Error<tag::Broken>> {
        let told = self.tell(task_arn, |reply| Message::Tag { change: change.clone(), reply }).await;
        match told {
            Some(changed) => changed.map_err(update::Error::Refused),
            None => self.tag_stopped(task_arn, change).await,
        }
    }

    /// Changes the tags of a task without a supervisor.
    async fn tag_stopped(
        &self,
        task_arn: &str,
        change: tag::Change,
    ) -> Result<Arc<Task>, update::Error<tag::Broken>> {
        let arn = task_arn.to_owned();
        let _order = self.0.context.stopped_tasks.lock().await;
        let changed = self.store().write(move |connection| {
            Box::pin(async move {
                let Some(row) = tasks::get(&mut *connection, &arn).await? else {
                    return Ok(Err(update::Error::NotFound));
                };
                let mut task = record::task(&row)?;
                match change.apply(&task.tags) {
                    Ok(tags) => task.tags = tags,
                    Err(broken) => return Ok(Err(update::Error::Refused(broken))),
                }
                ledger::put(connection, &Entry::of(&task)).await?;
                Ok(Ok(Arc::new(task)))
            })
        });
        let task = changed.await.map_err(update::Error::Store)??;
        self.0.context.publish(&task);
        Ok(task)
    }

    pub fn clusters(&self) -> Clusters {
        Clusters::of(self.store())
    }

    pub fn definitions(&self) -> Definitions {
        Definitions::of(self.store())
    }

    /// What an earlier RunTask with this token returned, for as long as the token is remembered. `None`: it is new.
    ///
    /// # Errors
    /// [`run::Error::Conflict`] if the token was used for another request; [`run::Error::Store`].
    pub async fn returned(
        &self,
        cluster_arn: &str,
        token: &run::ClientToken,
    ) -> Result<Option<Ran>, run::Error> {
        Ran::returned(self.store(), cluster_arn, token, self.clock().now()).await
    }

    /// What every task was billed for so far, since the last reset.
    ///
    /// # Errors
    /// The store fails.
    pub async fn usages(&self) -> Result<Vec<Usage>, store::Error> {
        usage::all(&self.0.context).await
    }

    /// The task as it was committed last; stopped ones for an hour.
    pub fn task(&self, arn: &str) -> Option<Arc<Task>> {
        self.0.context.registry.get(arn)
    }

    /// The tasks of a cluster in the order in which they were made.
    pub fn tasks(&self, cluster_arn: &str) -> Vec<Arc<Task>> {
        self.0.context.registry.of_cluster(cluster_arn)
    }

    /// Where the task's ports are on this machine, by the index of the container.
    pub fn bindings(&self, arn: &str) -> Vec<(usize, Binding)> {
        self.0.context.ports.of(arn)
    }

    /// The running and pending tasks of a cluster.
    pub fn counts(&self, cluster_arn: &str) -> Counts {
        self.0.context.registry.counts(cluster_arn)
    }

    /// Every task, of all clusters and regions, in no order.
    pub fn all_tasks(&self) -> Vec<Arc<Task>> {
        self.0.context.registry.all()
    }

    /// What is committed from now on.
    pub fn changes(&self) -> Subscription {
        self.0.context.changes.subscribe()
    }

    /// The VPC, and how many addresses each of its subnets still has for tasks, in the subnets' order. Waits until the
    /// engine is ready.
    pub async fn vpc(&self) -> (Vpc, Vec<usize>) {
        let pool = self.0.context.pool().await;
        let vpc = pool.vpc().clone();
        let free = vpc.subnets.iter().map(|subnet| pool.free(&subnet.subnet_id)).collect();
        (vpc, free)
    }

    /// The running and pending tasks of all clusters.
    pub fn total(&self) -> Counts {
        self.0.context.registry.total()
    }

    /// Throws everything away: tasks end at once, all state goes but the instance's id.
    pub async fn reset(&self) -> Result<(), Error> {
        let engine = self.clone();
        finish(async move { engine.throw_away().await }).await
    }

    async fn throw_away(&self) -> Result<(), Error> {
        let _gate = self.0.gate.write().await;
        let context = &self.0.context;
        let pool = context.pool.borrow().clone();
        self.halt().await;
        if let Some(pool) = pool {
            pool.settle().await;
        }
        context.runtime.remove_everything().await?;
        context.store.write(|connection| Box::pin(reset::everything(connection))).await?;
        context.store.purge();
        context.changes.publish(Change::Reset);
        self.set_going(Vec::new());
        Ok(())
    }

    /// Ends the engine: tasks go on running and are adopted by the next process, idle sandboxes go. An ephemeral one takes
    /// everything along.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let _gate = self.0.gate.write().await;
        let context = &self.0.context;
        let pool = context.pool.borrow().clone();
        self.halt().await;
        if let Some(pool) = &pool {
            pool.settle().await;
        }
        if context.options.ephemeral {
            context.runtime.remove_everything().await?;
        } else if let Some(pool) = pool {
            pool.remove_idle().await?;
        }
        context.store.close().await;
        Ok(())
    }

    /// Stops everything that runs where it is, as a kill would; the state is always fit for that.
    pub(super) async fn halt(&self) {
        let mut running = std::mem::take(&mut *self.0.running.lock());
        running.shutdown().await;
        self.0.context.pool.send_replace(None);
        self.0.context.supervisors.lock().clear();
        self.0.context.routes.lock().clear();
        self.0.context.ports.close_all();
    }

    fn set_going(&self, live: Vec<Arc<Task>>) {
        let context = &self.0.context;
        self.spawn(route_events(Arc::clone(context)));
        self.spawn(sweep(Arc::clone(context)));
        // A weak handle: what runs inside must not keep the engine alive.
        let engine = Arc::downgrade(&self.0);
        let context = Arc::clone(context);
        self.spawn(async move {
            let booted = loop {
                match boot::boot(&context, live.clone()).await {
                    Ok(booted) => break booted,
                    Err(error) => warn!(error = &error as &dyn std::error::Error, "not ready; trying again"),
                }
                context.clock.sleep(RETRY).await;
            };
            let Some(engine) = engine.upgrade().map(Self) else { return };
            for (task, events) in booted.events {
                info!(task = %task.arn, "adopted");
                engine.supervise(task, Some(events));
            }
            // Last: whoever waits for readiness finds every task supervised.
            context.pool.send_replace(Some(booted.pool.clone()));
            drop(engine);
            booted.pool.run().await;
        });
    }

    /// Sets a supervisor to work; with `events` it first catches up with what an earlier process left.
    fn supervise(&self, task: Arc<Task>, events: Option<Vec<Event>>) {
        let span = info_span!("task", arn = %task.arn);
        let supervisor = Supervisor::new(Arc::clone(&self.0.context), task);
        let work = async move {
            match events {
                Some(events) => supervisor.adopt(events).await,
                None => supervisor.run().await,
            }
        };
        self.spawn(work.instrument(span));
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.0.running.lock();
        while running.try_join_next().is_some() {}
        running.spawn(work);
    }

    /// Tells the task's supervisor something and waits until it is committed.
    async fn tell<R>(
        &self,
        task_arn: &str,
        message: impl FnOnce(oneshot::Sender<R>) -> Message,
    ) -> Option<R> {
        let context = &self.0.context;
        let known = || context.supervisors.lock().get(task_arn).cloned();
        let supervisor = match known() {
            Some(supervisor) => supervisor,
            // An earlier process left it, and it is not adopted yet: nothing that is asked of it may be lost.
            None if self.task(task_arn).is_some_and(|task| !task.is_stopped()) => {
                context.pool().await;
                known()?
            }
            None => return None,
        };
        let (reply, answer) = oneshot::channel();
        supervisor.send(message(reply)).ok()?;
        answer.await.ok()
    }
}

/// Sees `work` through to its end, even where whoever waits for it goes away.
async fn finish<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        // Nobody aborts it, so it panicked: that is the caller's as well.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What became of an order in the store.
enum Kept {
    New,
    /// The same request came before: what it returned.
    Before(Ran),
    Conflict(Vec<String>),
    ClusterInactive,
    DefinitionInactive,
}

async fn keep(
    connection: &mut store::SqliteConnection,
    cluster_arn: &str,
    task_definition_arn: &str,
    token: Option<client_tokens::Row>,
    entries: &[Entry],
) -> Result<Kept, store::Error> {
    if let Some(token) = &token {
        let before =
            client_tokens::get(&mut *connection, &token.scope, &token.token, token.created_at).await?;
        if let Some(before) = before {
            if before.digest != token.digest {
                return Ok(Kept::Conflict(before.task_arns));
            }
            return Ok(Kept::Before(Ran::read(connection, &before).await?));
        }
    }
    // Read again here: they may have gone since the API looked, and what is kept below is in them for good.
    if !cluster::is_active(&mut *connection, cluster_arn).await? {
        return Ok(Kept::ClusterInactive);
    }
    if !definition::is_active(&mut *connection, task_definition_arn).await? {
        return Ok(Kept::DefinitionInactive);
    }
    if let Some(token) = &token {
        client_tokens::put(connection, token).await?;
    }
    ledger::put_new(connection, entries).await?;
    Ok(Kept::New)
}

/// Carries the runtime's events to the supervisors.
async fn route_events(context: Arc<Context>) {
    let mut events = context.runtime.events();
    while let Some(event) = events.next().await {
        let (container_id, happened): (_, fn(usize, runtime::Event) -> Option<Event>) = match &event {
            runtime::Event::Resync => {
                for supervisor in context.supervisors.lock().values() {
                    // One that has just ended has nothing to look at again.
                    let _ = supervisor.send(Message::Resync);
                }
                continue;
            }
            runtime::Event::Started { container_id, .. }
            | runtime::Event::Health { container_id, .. }
            | runtime::Event::Exited { container_id, .. } => (container_id.clone(), of_container),
        };
        let route: Option<Route> = context.routes.lock().get(&container_id).cloned();
        if let Some(route) = route
            && let Some(happened) = happened(route.container, event)
        {
            let _ = route.supervisor.send(Message::Happened(happened));
        }
    }
}

fn of_container(container: usize, event: runtime::Event) -> Option<Event> {
    match event {
        runtime::Event::Started { at, .. } => Some(Event::Started { container, at }),
        runtime::Event::Health { healthy, .. } => Some(Event::Health { container, healthy }),
        runtime::Event::Exited { exit, .. } => Some(Event::Exited { container, exit }),
        runtime::Event::Resync => None,
    }
}

/// Forgets what has expired, once a minute.
async fn sweep(context: Arc<Context>) {
    loop {
        context.clock.sleep(SWEEP).await;
        forget::pass(&context).await;
    }
}
