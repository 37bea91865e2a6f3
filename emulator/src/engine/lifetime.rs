//! The engine's life: start, reset, shutdown.
//!
//! ```text
//! start ─▶ spawn_all ─▶ boot, again until it succeeds ─▶ ready: adopt the tasks, audit, pool, filters
//!              ▲                                            │
//!              └── reset: empty, continue if that fails ◀── halt ──▶ shutdown: remove what must not stay, in bounded time
//! ```

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::OwnedRwLockWriteGuard;
use tracing::{Instrument, info, info_span, warn};

use super::background::When;
use super::changes::Change;
use super::context::Context;
use super::engine::{Engine, Error, Inner, run_detached};
use super::options::Options;
use super::readiness::Readiness;
use super::task::Task;
use super::work::supervision;
use super::work::{audit, boot, idle};
use super::{events, forget, load, vpc};
use crate::clock::Clock;
use crate::runtime::Runtime;
use crate::store::{Store, reset};

/// Between two attempts at the start to synchronise the store with the runtime.
const RETRY: Duration = Duration::from_secs(2);

/// An attempt at the start that takes longer has failed.
const BOOT: Duration = Duration::from_mins(5);

/// Between two audits.
const AUDIT: Duration = Duration::from_mins(1);

/// The time limit for emptying the runtime in a reset.
const EMPTY: Duration = Duration::from_mins(5);

/// The time limits of the steps of a shutdown: requests that are being accepted, the engine's loops, sandboxes that are being
/// created, removals, the store.
const ACCEPTED: Duration = Duration::from_secs(5);
const LOOPS: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_secs(10);
const REMOVE: Duration = Duration::from_secs(60);
const CLOSE: Duration = Duration::from_secs(10);

impl Engine {
    /// Reads the state and shows it at once. The runtime is synchronised with it in the background, and new tasks wait
    /// for that.
    ///
    /// # Errors
    /// The store cannot be read, or the VPC that `options` describe cannot be set up.
    pub async fn start(
        options: Options,
        store: Store,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let context = Arc::new(Context::new(options, store, runtime, clock));
        for task in load::load(&context).await? {
            context.publish(&task);
        }
        if matches!(context.options.vpc, vpc::Choice::Given(_)) {
            // Mistakes in it are reported at once, because no retry would fix them. Temporary failures are retried until the
            // engine is ready.
            if let Err(error) = boot::vpc(&context).await
                && !error.may_pass()
            {
                return Err(Error::Vpc(error.into()));
            }
        }
        let engine = Self(Arc::new(Inner::new(context)));
        engine.spawn_all();
        Ok(engine)
    }

    /// Removes everything: tasks end at once, and all state except the instance's id is deleted. If that fails, the
    /// engine continues with what is left.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn reset(&self) -> Result<(), Error> {
        let engine = self.clone();
        run_detached(async move { engine.reset_all().await }).await
    }

    async fn reset_all(&self) -> Result<(), Error> {
        let _gate = self.0.gate.write().await;
        if self.0.ending.is_cancelled() {
            return Err(Error::Ending);
        }
        let context = &self.0.context;
        let pool = context.pool_now();
        self.halt().await;
        context.set_not_ready("a reset is under way");
        let emptied = AssertUnwindSafe(async {
            if let Some(pool) = pool {
                pool.settle().await;
            }
            context
                .clock
                .timeout(EMPTY, context.runtime.remove_everything())
                .await
                .map_err(Error::Unanswered)??;
            let _turn = context.unsupervised.lock().await;
            let emptied = context.store.write(|connection| Box::pin(reset::everything(connection)));
            context.clusters.changing(emptied).await?;
            context.store.purge();
            context.forget_unreadable();
            context.changes.publish(Change::Reset);
            Ok(())
        });
        let emptied = tokio::select! {
            emptied = emptied.catch_unwind() => emptied,
            () = self.0.ending.cancelled() => return Err(Error::Ending),
        };
        // On every path: what is left in the store is supervised again.
        self.spawn_all();
        emptied.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Ends the engine: tasks continue to run and are adopted by the next process, idle sandboxes are removed. An
    /// ephemeral engine removes everything. Returns in bounded time, whatever the runtime does.
    ///
    /// # Errors
    /// Something is left on the runtime.
    pub async fn shutdown(&self) -> Result<(), Error> {
        let engine = self.clone();
        run_detached(async move { engine.end().await }).await
    }

    async fn end(&self) -> Result<(), Error> {
        let context = &self.0.context;
        let clock = &context.clock;
        self.0.ending.cancel();
        let gate = self.closed_gate().await;
        if gate.is_none() {
            warn!("ending while a request is still being accepted; the next process adopts its tasks");
        }
        let pool = context.pool_now();
        if clock.timeout(LOOPS, self.halt()).await.is_err() {
            warn!("ending although a part of the engine does not stop");
        }
        if let Some(pool) = pool
            && clock.timeout(SETTLE, pool.settle()).await.is_err()
        {
            warn!("ending while a sandbox is being created; the next start removes it");
        }
        let removed = clock.timeout(REMOVE, self.remove_at_the_end()).await;
        let removed = removed.map_err(Error::Unanswered).flatten();
        if clock.timeout(CLOSE, context.store.close()).await.is_err() {
            warn!("ending although the store is not closed; the next start completes its writes");
        }
        match removed {
            Ok(()) => Ok(()),
            Err(source) => Err(Error::Left {
                instance: context.store.instance_id().to_owned(),
                source: Box::new(source),
            }),
        }
    }

    /// The gate, once it is closed to new tasks; `None` if one is still being accepted.
    async fn closed_gate(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        let gate = Arc::clone(&self.0.gate);
        self.0.context.clock.timeout(ACCEPTED, gate.write_owned()).await.ok()
    }

    async fn remove_at_the_end(&self) -> Result<(), Error> {
        let context = &self.0.context;
        if context.options.ephemeral {
            context.runtime.remove_everything().await.map_err(Error::Runtime)
        } else {
            idle::remove_all(context).await.map_err(Error::Idle)
        }
    }

    /// Stops all background work at once, as a kill would, for which the stored state is always prepared.
    pub(super) async fn halt(&self) {
        let context = &self.0.context;
        context.set_not_ready("the emulator is stopping");
        let mut running = std::mem::take(&mut *self.0.running.lock());
        running.shutdown().await;
        // They ended with their supervisors. This waits until the store has taken the writes that they began.
        context.followers.close();
        context.followers.wait().await;
        context.followers.reopen();
        context.supervisors.lock().clear();
        context.routes.lock().clear();
        context.ports.close_all();
    }

    /// Starts all background work, with the tasks that are shown.
    fn spawn_all(&self) {
        let context = &self.0.context;
        context.set_not_ready("the emulator is synchronising its state with the container engine");
        for task in context.registry.live() {
            // Opens its ports again.
            context.publish(&task);
        }
        self.drive("event router", When::Always, |context| async move {
            events::route(&context).await;
            Ok::<(), Infallible>(())
        });
        self.drive(
            "sweep",
            When::Every(forget::PERIOD),
            |context| async move { forget::pass(&context).await },
        );
        let when = When::Signalled(Arc::clone(&context.audit), AUDIT);
        self.drive("audit", when, |context| async move { audit::pass(&context).await });
        // A weak handle: the background work must not keep the engine alive.
        self.spawn(become_ready(Arc::downgrade(&self.0), Arc::clone(context)));
    }

    fn adopt_all(&self, booted: boot::Booted) {
        let context = &self.0.context;
        // First, because a supervisor needs the pool at once. Requests for a task without a supervisor go to the store.
        context.readiness.send_replace(Readiness::Ready(booted.pool.clone()));
        for (task, observation) in booted.observations {
            info!(task = %task.arn, "adopted a task of an earlier process");
            self.keep_alive(&task, supervision::adopt(Arc::clone(context), Arc::clone(&task), observation));
        }
        let pool = booted.pool;
        self.drive("sandboxes and filters", When::Always, move |_| {
            let pool = pool.clone();
            async move {
                pool.run().await;
                Ok::<(), Infallible>(())
            }
        });
        // Finds what happened between the inventory and the routes of these tasks.
        context.audit.notify_one();
    }

    /// Spawns a loop of `activate`.
    fn drive<F, E>(
        &self,
        name: &'static str,
        when: When,
        activate: impl Fn(Arc<Context>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let context = Arc::clone(&self.0.context);
        self.spawn(async move {
            context.background.drive(name, when, || activate(Arc::clone(&context))).await;
        });
    }

    /// Spawns the supervisor of a task.
    pub(super) fn keep_alive(&self, task: &Task, supervisor: impl Future<Output = ()> + Send + 'static) {
        let span = info_span!("task", arn = %task.arn);
        let kept = supervision::keep_alive(Arc::clone(&self.0.context), task.arn.clone(), supervisor);
        self.spawn(kept.instrument(span));
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.0.running.lock();
        while running.try_join_next().is_some() {}
        running.spawn(work);
    }
}

async fn become_ready(engine: Weak<Inner>, context: Arc<Context>) {
    let booted = loop {
        let boot = async {
            match context.clock.timeout(BOOT, boot::boot(&context)).await {
                Ok(booted) => booted,
                Err(elapsed) => Err(boot::Error::Unanswered(elapsed)),
            }
        };
        match context.background.attempt("start", boot).await {
            Ok(booted) => break booted,
            Err(reason) => {
                warn!(%reason, "could not synchronise the state with the container engine; retrying in {} s", RETRY.as_secs());
                context.set_not_ready(reason);
            }
        }
        context.clock.sleep(RETRY).await;
    };
    if let Some(engine) = engine.upgrade() {
        Engine(engine).adopt_all(booted);
    }
}
