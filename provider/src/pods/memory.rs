//! What this process remembers of each pod of the node, in one place, so that nothing of a pod outlives it.
//!
//! A pod is remembered from the moment the watch shows it until the watch shows that it is gone. What is not remembered can't be
//! changed: a step that is still running when its pod is deleted leaves nothing behind. A pod's probes and hooks stop when its
//! memory is dropped.
//!
//! All of it is a cache: a provider that has just started fills it from ECS and from the pods.

use std::{
    collections::{HashMap, HashSet, hash_map::IterMut},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::decide::{Condemned, Seen, allowance::Allowance, following::Following, refusal::Refusal};
use crate::probes;

/// What is remembered of one pod.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// The response to this process's last write, until the watch has caught up.
    written: Option<Arc<Pod>>,
    /// Its task.
    pub(super) following: Option<Following>,
    /// The family of the task definition that it last ran.
    pub(super) family: Option<String>,
    /// When facts about it were first seen.
    pub(super) seen: Seen,
    /// The refusals of its RunTask.
    pub(super) refusal: Option<Refusal>,
    /// Consecutive failures of its reconcile.
    pub(super) failures: u32,
    /// Its `httpGet` hooks, once they have begun.
    pub(super) hooks: Option<Asking>,
    /// Its probes, while its task runs.
    pub(super) watched: Option<probes::Watched>,
    /// The attempt in which a probe has given up a container, and which container.
    pub(super) condemned: Option<(u32, Condemned)>,
    /// How many events it may still send.
    pub(super) events: Allowance,
}

/// `httpGet` hooks that have begun.
#[derive(Debug)]
pub(super) struct Asking {
    /// Whether all have been answered, or have failed.
    pub(super) answered: bool,
    /// They are sent until this is dropped.
    pub(super) _asking: AbortOnDropHandle<()>,
}

impl Remembered {
    /// The newer of the watch's pod and the response to the last write.
    ///
    /// A write is answered before the watch shows it. Without that response the next decision would be made from the pod as it was
    /// before, and its write would be refused because of its version.
    pub(super) fn newest(&mut self, watched: Arc<Pod>) -> Arc<Pod> {
        match &self.written {
            Some(answer) if version(answer) > version(&watched) => answer.clone(),
            _ => {
                self.written = None;
                watched
            }
        }
    }

    /// Records the response to a write.
    pub(super) fn note(&mut self, answer: Arc<Pod>) {
        self.written = Some(answer);
    }

    /// Forgets the response to the last write.
    pub(super) fn forget_written(&mut self) {
        self.written = None;
    }

    /// Whether its task may still run.
    pub(super) fn may_run(&self) -> bool {
        self.following.as_ref().is_some_and(Following::may_run)
    }
}

/// Versions of one resource compare as integers (KEP-5504); an invalid one counts as oldest, and the watch's wins.
fn version(pod: &Pod) -> u64 {
    pod.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// The memory of all pods, by UID; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    pods: Arc<Mutex<HashMap<String, Remembered>>>,
}

impl Memory {
    /// The pod of that UID exists.
    pub(super) fn admit(&self, uid: &str) {
        self.pods.lock().entry(uid.to_owned()).or_default();
    }

    /// The pod of that UID is gone; returns what was remembered of it.
    pub(super) fn forget(&self, uid: &str) -> Option<Remembered> {
        self.pods.lock().remove(uid)
    }

    /// Makes this the memory of exactly the pods that `live` lists. Returns what was remembered of those that are gone.
    ///
    /// `live` is called under the lock: a pod that is created or deleted after its listing is admitted or forgotten after this.
    pub(super) fn sync(&self, live: impl FnOnce() -> Vec<Arc<Pod>>) -> Vec<Remembered> {
        let mut pods = self.pods.lock();
        let live: HashSet<String> = live().iter().filter_map(|pod| pod.uid()).collect();
        let gone = pods.extract_if(|uid, _| !live.contains(uid)).map(|(_, gone)| gone).collect();
        for uid in live {
            pods.entry(uid).or_default();
        }
        gone
    }

    /// Reads or changes what is remembered of the pod of that UID; `None` if it is gone.
    pub(super) fn of<T>(&self, uid: &str, change: impl FnOnce(&mut Remembered) -> T) -> Option<T> {
        self.pods.lock().get_mut(uid).map(change)
    }

    /// Reads or changes what is remembered of each pod, by its UID.
    pub(super) fn each<T>(&self, visit: impl FnOnce(IterMut<'_, String, Remembered>) -> T) -> T {
        visit(self.pods.lock().iter_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.uid = Some(uid.to_owned());
        Arc::new(pod)
    }

    #[test]
    fn a_pod_that_is_gone_is_not_remembered_again_by_a_step_that_still_works_on_it() {
        let memory = Memory::default();
        memory.admit("a");
        memory.of("a", |remembered| remembered.failures = 3);
        memory.admit("a");
        assert_eq!(memory.of("a", |remembered| remembered.failures), Some(3));
        assert!(memory.forget("a").is_some());
        assert_eq!(memory.of("a", |remembered| remembered.failures = 1), None);
        assert_eq!(memory.each(|pods| pods.count()), 0);
    }

    #[test]
    fn a_listing_forgets_those_that_it_lacks_and_admits_those_that_are_new() {
        let memory = Memory::default();
        memory.admit("stays");
        memory.admit("goes");
        memory.of("stays", |remembered| remembered.failures = 3);
        assert_eq!(memory.sync(|| vec![pod("stays"), pod("comes")]).len(), 1);
        let failures = |uid| memory.of(uid, |remembered| remembered.failures);
        assert_eq!((failures("stays"), failures("comes"), failures("goes")), (Some(3), Some(0), None));
    }
}
