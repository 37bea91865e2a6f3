//! Accepting an order: what RunTask asks for is committed, supervised and shown before it is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::RwLockReadGuard;

use super::engine::{Engine, finish};
use super::ledger::{self, Entry};
use super::network::pool::Pool;
use super::readiness::{NotReady, PATIENCE};
use super::run::{self, Order, Ran};
use super::work::supervisor::Supervisor;
use super::{cluster, definition, place};
use crate::store::{self, client_tokens};

impl Engine {
    /// Accepts tasks: they are committed when this returns, and their supervisors are at work. A caller that goes away
    /// meanwhile changes nothing: what is committed is supervised.
    ///
    /// # Errors
    /// Nothing was written. An engine that is not ready says so after 20 s, with its reason.
    pub async fn run(&self, order: Order) -> Result<Ran, run::Error> {
        let engine = self.clone();
        finish(async move { engine.accept(order).await }).await
    }

    async fn accept(&self, order: Order) -> Result<Ran, run::Error> {
        let (_gate, pool) = self.admitted(PATIENCE).await?;
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
        let kept = context
            .store
            .write(move |connection| {
                Box::pin(async move { keep(connection, &cluster, &definition, token, &entries).await })
            })
            .await;
        if !matches!(kept, Ok(Kept::New)) {
            placed.tasks.iter().for_each(|task| pool.release_promise(&pool.subnet_of(task)));
        }
        match kept.map_err(run::Error::Store)? {
            Kept::New => {
                self.supervise(&placed);
                Ok(placed)
            }
            Kept::Before(answer) => Ok(answer),
            Kept::ClusterInactive => Err(run::Error::ClusterInactive),
            Kept::DefinitionInactive => Err(run::Error::DefinitionInactive),
            Kept::Conflict(resource_ids) => Err(run::Error::Conflict { resource_ids }),
        }
    }

    /// Supervisors first: whoever sees a task finds its supervisor. They go to work once their tasks are shown.
    fn supervise(&self, placed: &Ran) {
        let context = &self.0.context;
        let supervisor = |task| Supervisor::new(Arc::clone(context), Arc::clone(task));
        let supervisors: Vec<Supervisor> = placed.tasks.iter().map(supervisor).collect();
        placed.tasks.iter().for_each(|task| context.publish(task));
        for (task, supervisor) in placed.tasks.iter().zip(supervisors) {
            self.keep_alive(task, supervisor.run());
        }
    }

    /// Waits until tasks can be placed, and keeps a reset away for as long as the guard is held. The pool is taken behind the
    /// gate: a reset may have come in between, and there is another pool after it.
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
