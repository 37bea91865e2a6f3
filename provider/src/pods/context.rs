//! What every step shares, and why a step failed.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};
use tokio::sync::Notify;

use super::{
    definitions::Definitions, hooks::Hooks, memory::Memory, probing::Probing, publisher::Publisher,
    tasks::Table,
};
use crate::{
    clock,
    fargate::ecs::{self, Ecs},
    translate::Settings,
};

/// Why a step failed. Each is retried.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The status was not written; a conflict says that the pod has changed since it was read.
    #[error("writing the pod's status")]
    WriteStatus(#[source] kube::Error),
    /// The annotations were not written.
    #[error("annotating the pod")]
    Annotate(#[source] kube::Error),
    /// The pod object was not removed.
    #[error("removing the pod object")]
    Delete(#[source] kube::Error),
    /// AWS fails or does not respond.
    #[error("calling AWS")]
    Aws(#[source] ecs::Error),
    /// A bug: the step panicked.
    #[error("a panic: {0}")]
    Panic(String),
}

/// What every step shares.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) ecs: Arc<dyn Ecs>,
    pub(super) settings: Settings,
    pub(super) clock: clock::Shared,
    pub(super) memory: Memory,
    pub(super) table: Table,
    pub(super) definitions: Definitions,
    pub(super) probing: Probing,
    pub(super) hooks: Hooks,
    pub(super) publisher: Publisher,
    /// Wakes the collector: a pod is gone, and its task may still run.
    pub(super) vanished: Arc<Notify>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("settings", &self.settings)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Records the response to a write of the pod.
    pub(super) fn note(&self, answer: Pod) -> Arc<Pod> {
        let answer = Arc::new(answer);
        self.memory.of(&answer.uid().unwrap_or_default(), |remembered| remembered.note(answer.clone()));
        answer
    }
}
