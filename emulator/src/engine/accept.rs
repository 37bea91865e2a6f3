//! Accepting an order: the tasks of a RunTask are committed, supervised and published before it returns.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::RwLockReadGuard;

use super::engine::{Engine, run_detached};
use super::ledger::{self, Entry};
use super::network::pool::Pool;
use super::readiness::{MAX_WAIT, NotReady};
use super::run::{self, Order, Ran};
use super::work::supervisor::Supervisor;
use super::{cluster, definition, place};
use crate::store::{self, client_tokens};

impl Engine {
    /// Accepts tasks: they are committed when this returns, and their supervisors run. It completes even if the caller goes
    /// away meanwhile: what is committed is supervised.
    ///
    /// # Errors
    /// Nothing was written. If the engine is not ready within 20 s, the error has the reason.
    pub async fn run(&self, order: Order) -> Result<Ran, run::Error> {
        let engine = self.clone();
        run_detached(async move { engine.accept(order).await }).await
    }

    async fn accept(&self, order: Order) -> Result<Ran, run::Error> {
        let (_gate, pool) = self.admitted(MAX_WAIT).await?;
        let context = &self.0.context;
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
        let (cluster, definition) = (order.cluster_arn, order.template.task_definition_arn.clone());
        let accepted = context
            .store
            .write(move |connection| {
                Box::pin(async move { commit(connection, &cluster, &definition, token, &entries).await })
            })
            .await;
        if !matches!(accepted, Ok(Accepted::New)) {
            placed.tasks.iter().for_each(|task| pool.release_promise(&pool.subnet_of(task)));
        }
        match accepted.map_err(run::Error::Store)? {
            Accepted::New => {
                self.supervise(&placed);
                Ok(placed)
            }
            Accepted::Before(ran) => Ok(ran),
            Accepted::ClusterInactive => Err(run::Error::ClusterInactive),
            Accepted::DefinitionInactive => Err(run::Error::DefinitionInactive),
            Accepted::Conflict(resource_ids) => Err(run::Error::Conflict { resource_ids }),
        }
    }

    /// Creates the supervisors before the tasks are published, so that a reader of a task finds its supervisor. They run after
    /// that.
    fn supervise(&self, placed: &Ran) {
        let context = &self.0.context;
        let supervisor = |task| Supervisor::new(Arc::clone(context), Arc::clone(task));
        let supervisors: Vec<Supervisor> = placed.tasks.iter().map(supervisor).collect();
        placed.tasks.iter().for_each(|task| context.publish(task));
        for (task, supervisor) in placed.tasks.iter().zip(supervisors) {
            self.keep_alive(task, supervisor.run());
        }
    }

    /// Waits until tasks can be placed, and prevents a reset for as long as the guard is held. The pool is read after the gate
    /// is locked, because a reset in between replaces it.
    async fn admitted(&self, bound: Duration) -> Result<(RwLockReadGuard<'_, ()>, Pool), NotReady> {
        let context = &self.0.context;
        let admitted = async {
            loop {
                context.pool().await;
                let gate = self.0.gate.read().await;
                if let Some(pool) = context.pool_now() {
                    return (gate, pool);
                }
            }
        };
        context.clock.timeout(bound, admitted).await.map_err(|_| context.not_ready())
    }
}

/// The outcome of an order in the store.
enum Accepted {
    New,
    /// The same request was accepted before and returned this.
    Before(Ran),
    Conflict(Vec<String>),
    ClusterInactive,
    DefinitionInactive,
}

async fn commit(
    connection: &mut store::SqliteConnection,
    cluster_arn: &str,
    task_definition_arn: &str,
    token: Option<client_tokens::Row>,
    entries: &[Entry],
) -> Result<Accepted, store::Error> {
    if let Some(token) = &token {
        let before =
            client_tokens::get(&mut *connection, &token.scope, &token.token, token.created_at).await?;
        if let Some(before) = before {
            if before.digest != token.digest {
                return Ok(Accepted::Conflict(before.task_arns));
            }
            return Ok(Accepted::Before(Ran::read(connection, &before).await?));
        }
    }
    // Read again in this transaction: they may have been deleted since the API read them, and the tasks below need them.
    if !cluster::is_active(&mut *connection, cluster_arn).await? {
        return Ok(Accepted::ClusterInactive);
    }
    if !definition::is_active(&mut *connection, task_definition_arn).await? {
        return Ok(Accepted::DefinitionInactive);
    }
    if let Some(token) = &token {
        client_tokens::put(connection, token).await?;
    }
    ledger::put_new(connection, entries).await?;
    Ok(Accepted::New)
}
