//! The loop that keeps the Node up to date.

use std::{pin::pin, sync::Arc, time::Duration};

use aws_sdk_ecs::types::DesiredStatus;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    FIELD_MANAGER, Options, lease, object,
    readiness::{Readiness, Standing},
};
use crate::{
    clock,
    fargate::{Ecs, Health, Outcome},
};

/// Between two checks of AWS's health: the longest delay of a change.
const LOOK: Duration = Duration::from_secs(1);

/// Between two reports of an unchanged status.
const REPORT: Duration = Duration::from_secs(60);

/// Between two attempts of a report that failed.
const RETRY: Duration = Duration::from_secs(2);

/// How long one call to the API server may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// AWS is called if nothing else has called it for so long.
const PING: Duration = Duration::from_secs(10);

/// The same while it is in trouble, so that its recovery is seen soon.
const PING_IN_TROUBLE: Duration = Duration::from_secs(2);

/// Why the node can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name belongs to another node: writing on it would take a machine's pods.
    #[error("a node {0:?} exists that is not a virtual one; choose another name with --node-name")]
    Foreign(String),
    /// The API server refuses or does not respond.
    #[error("{0}")]
    Api(&'static str, #[source] Box<kube::Error>),
    /// The API server takes too long.
    #[error("{0}: the API server did not respond in time")]
    Timeout(&'static str),
}

/// The virtual node.
pub struct Service {
    options: Options,
    client: Client,
    nodes: Api<Node>,
    health: Health,
    ecs: Arc<dyn Ecs>,
    started_by: String,
    clock: clock::Shared,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Service {
    /// A node whose readiness follows `health`. ECS is asked for the tasks of `started_by` if nothing else calls it, so that
    /// `health` is never out of date.
    #[must_use]
    pub fn new(
        options: Options,
        client: Client,
        health: Health,
        ecs: Arc<dyn Ecs>,
        started_by: String,
        clock: clock::Shared,
    ) -> Self {
        let nodes = Api::all(client.clone());
        Self { options, client, nodes, health, ecs, started_by, clock }
    }

    /// Keeps the node until `shutdown`; the Node itself stays. Fails only if the name is a machine's.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let (uid, uids) = watch::channel(None);
        let lease =
            lease::keep(self.client.clone(), self.options.node.name.clone(), Arc::clone(&self.clock), uids);
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = self.keep(uid) => ended,
            () = lease => Ok(()),
            () = self.ping() => Ok(()),
        }
    }

    /// Registers, reports and registers again, for ever.
    async fn keep(&self, uid: watch::Sender<Option<String>>) -> Result<(), Error> {
        let mut readiness = Readiness::default();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = pin!(self.watch());
        let mut known: Option<Node> = None;
        let mut last_reported: Option<Standing> = None;
        // The next report, and the earliest time of one that can't wait for that.
        let (mut due, mut urgent) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                // Deleted by another client: it is created again. (The watch itself never ends.)
                change = changes.next() => known = change.flatten(),
                _ = looks.tick() => {}
            }
            let latest = self.health.latest();
            let standing = readiness.observe(self.clock.now(), self.health.last_success(), latest.as_ref());
            let changed = !last_reported.as_ref().is_some_and(|last| last.is_like(&standing));
            let overwritten = known.as_ref().is_none_or(|known| !object::is_current(known, &standing));
            if Instant::now() < if changed || overwritten { urgent } else { due } {
                continue;
            }
            let reported = self.report(known.take(), &standing, &uid).await;
            (due, urgent) = (Instant::now() + REPORT, Instant::now() + RETRY);
            match reported {
                Ok(node) => {
                    if changed {
                        tracing::info!(?standing, "reported the node's status");
                    }
                    (known, last_reported) = (Some(node), Some(standing));
                }
                Err(error @ Error::Foreign(_)) => return Err(error),
                // Nothing is known now, so that the node is read, and reported, as soon as possible.
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "could not write the status of the node; retrying in {RETRY:?}"
                    );
                }
            }
        }
    }

    /// Writes the status; creates the node first if there is none.
    async fn report(
        &self,
        known: Option<Node>,
        standing: &Standing,
        uid: &watch::Sender<Option<String>>,
    ) -> Result<Node, Error> {
        let known = match known {
            Some(known) => known,
            None => self.register(uid).await?,
        };
        let name = &self.options.node.name;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let body = object::status(&self.options, standing, &known, self.clock.now());
        in_time("writing the node's status", self.nodes.patch_status(name, &params, &Patch::Apply(&body)))
            .await
    }

    /// Creates the node, or takes over the one that an earlier start created. Its `uid` is sent as soon as it is known: the
    /// lease is renewed even if the rest fails.
    async fn register(&self, uid: &watch::Sender<Option<String>>) -> Result<Node, Error> {
        let name = &self.options.node.name;
        let existing = match in_time("reading the node", self.nodes.get_opt(name)).await? {
            Some(existing) if !object::is_virtual(&existing) => return Err(Error::Foreign(name.clone())),
            Some(existing) => existing,
            None => {
                let params =
                    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
                let seed = object::seed(&self.options);
                in_time("creating the node", self.nodes.create(&params, &seed)).await?
            }
        };
        uid.send_if_modified(|uid| {
            let new = *uid != existing.metadata.uid;
            uid.clone_from(&existing.metadata.uid);
            new
        });
        if let Some(taints) = object::taints(&self.options, &existing) {
            // Taints are one list to the API server, and others write to it: the version read must be the one replaced.
            let patch = json!({
                "metadata": { "resourceVersion": existing.metadata.resource_version },
                "spec": { "taints": taints },
            });
            let params =
                PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            in_time("tainting the node", self.nodes.patch(name, &params, &Patch::Merge(&patch))).await?;
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let labels = object::labels(&self.options);
        in_time("labelling the node", self.nodes.patch(name, &params, &Patch::Apply(&labels))).await
    }

    /// The node as it changes; `None` when it is gone.
    fn watch(&self) -> impl Stream<Item = Option<Node>> + Send + use<> {
        watcher(self.nodes.clone(), self.options.node.itself()).default_backoff().filter_map(async |event| {
            match event {
                Ok(watcher::Event::Apply(node) | watcher::Event::InitApply(node)) => Some(Some(node)),
                Ok(watcher::Event::Delete(_)) => Some(None),
                Ok(watcher::Event::Init | watcher::Event::InitDone) => None,
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "could not watch the node; retrying"
                    );
                    None
                }
            }
        })
    }

    /// Calls AWS if nothing else does; the client records the outcome.
    async fn ping(&self) {
        loop {
            let in_trouble = !matches!(self.health.latest(), Some(Outcome::Answered));
            let quiet = self
                .health
                .last_success()
                .is_none_or(|success| self.clock.now().duration_since(success).unsigned_abs() >= PING);
            if in_trouble || quiet {
                // Every response counts.
                let _ = self.ecs.list_tasks(&self.started_by, DesiredStatus::Running).await;
            }
            tokio::time::sleep(PING_IN_TROUBLE).await;
        }
    }
}

async fn in_time<T>(
    attempt: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|source| Error::Api(attempt, Box::new(source))),
        Err(_) => Err(Error::Timeout(attempt)),
    }
}

#[cfg(test)]
mod tests;
