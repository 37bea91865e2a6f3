//! The engine's handle: what the API calls. The rest of it is in other files: [`super::accept`] accepts orders,
//! [`super::request`] handles requests for a task, [`super::lifetime`] starts and ends everything.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::changes::Subscription;
use super::cluster::Clusters;
use super::context::Context;
use super::definition::Definitions;
use super::network::ports::Binding;
use super::readiness::NotReady;
use super::run::{self, Ran};
use super::task::Task;
use super::usage;
use super::work::idle;
use super::work::registry::Counts;
use crate::clock::{Clock, Elapsed};
use crate::cost::Usage;
use crate::runtime::{self, Runtime};
use crate::store::{self, Store};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read or write the state")]
    Store(#[from] store::Error),
    #[error("the container runtime failed")]
    Runtime(#[from] runtime::Error),
    #[error("could not set up the VPC")]
    Vpc(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("could not remove the idle sandboxes")]
    Idle(#[source] idle::Error),
    #[error("the engine did not finish in time")]
    Unanswered(#[source] Elapsed),
    #[error(transparent)]
    NotReady(#[from] NotReady),
    #[error("the engine is ending")]
    Ending,
    /// After a shutdown.
    #[error(
        "could not remove everything of the instance {instance} from the container engine; `neargate clean` removes the rest"
    )]
    Left { instance: String, source: Box<Self> },
}

/// The engine. Cheap to clone; its background work ends with [`Engine::shutdown`].
#[derive(Clone, Debug)]
pub struct Engine(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) context: Arc<Context>,
    /// Everything that runs: supervisors, loops.
    pub(super) running: Mutex<JoinSet<()>>,
    /// Held for reading while tasks are accepted, for writing during a reset or a shutdown.
    pub(super) gate: Arc<tokio::sync::RwLock<()>>,
    /// The shutdown has begun.
    pub(super) ending: CancellationToken,
}

impl Inner {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let (running, gate) = (Mutex::new(JoinSet::new()), Arc::default());
        Self { context, running, gate, ending: CancellationToken::new() }
    }
}

impl Engine {
    pub fn clock(&self) -> &Clock {
        &self.0.context.clock
    }

    pub fn store(&self) -> &Store {
        &self.0.context.store
    }

    pub fn runtime(&self) -> &dyn Runtime {
        &*self.0.context.runtime
    }

    pub fn clusters(&self) -> &Clusters {
        &self.0.context.clusters
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

    /// The last committed state of the task. Stopped tasks are shown for an hour.
    pub fn task(&self, arn: &str) -> Option<Arc<Task>> {
        self.0.context.registry.get(arn)
    }

    /// The tasks of a cluster in the order in which they were created.
    pub fn tasks(&self, cluster_arn: &str) -> Vec<Arc<Task>> {
        self.0.context.registry.of_cluster(cluster_arn)
    }

    /// The addresses of the task's ports on this machine, by the index of the container.
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

    /// The running and pending tasks of all clusters.
    pub fn total(&self) -> Counts {
        self.0.context.registry.total()
    }
}

/// Runs `work` to its end, even if the caller goes away.
pub(super) async fn run_detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        // It is never aborted, so it panicked: the caller panics as well.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
