//! What every part of a running engine shares.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::changes::{Change, Changes};
use super::network::pool::Pool;
use super::network::ports::Ports;
use super::options::Options;
use super::task::Task;
use super::work::mailbox::{Message, Route};
use super::work::registry::Registry;
use crate::clock::Clock;
use crate::runtime::Runtime;
use crate::store::Store;

#[derive(Debug)]
pub(super) struct Context {
    pub(super) options: Options,
    pub(super) store: Store,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Clock,
    pub(super) changes: Changes,
    pub(super) registry: Arc<Registry>,
    pub(super) ports: Arc<Ports>,
    /// There once the network is made and what an earlier process left is adopted.
    pub(super) pool: watch::Sender<Option<Pool>>,
    /// Task ARN → its supervisor.
    pub(super) supervisors: Mutex<HashMap<String, mpsc::UnboundedSender<Message>>>,
    /// Held while tasks that have stopped are changed or forgotten, until that is published: no supervisor orders it.
    pub(super) stopped_tasks: tokio::sync::Mutex<()>,
    /// Container id → whose it is.
    pub(super) routes: Mutex<HashMap<String, Route>>,
}

impl Context {
    /// The pool, as soon as the engine is ready to place tasks.
    pub(super) async fn pool(&self) -> Pool {
        let mut ready = self.pool.subscribe();
        loop {
            if let Some(pool) = ready.borrow_and_update().as_ref() {
                return pool.clone();
            }
            // The sender lives in `self`, so the wait cannot end for want of one.
            let _ = ready.changed().await;
        }
    }

    /// Shows a committed task.
    pub(super) fn publish(&self, task: &Arc<Task>) {
        self.changes.publish(Change::Task(Arc::clone(task)));
    }
}
