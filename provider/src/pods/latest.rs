//! The newest version of each pod that this process has seen: from the watch, or from its own writes.
//!
//! A write is answered before the watch tells of it. Without its answer, the next decision would be made from the pod as
//! it was before, and its write would be refused for its version.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use parking_lot::Mutex;

/// Answers to this process's writes, by UID, until the watch has caught up.
#[derive(Debug, Default)]
pub(super) struct Latest {
    written: Mutex<HashMap<String, Arc<Pod>>>,
}

impl Latest {
    /// The newer of the watch's pod and the last answer.
    pub(super) fn of(&self, watched: Arc<Pod>) -> Arc<Pod> {
        let Some(uid) = watched.uid() else { return watched };
        let mut written = self.written.lock();
        match written.get(&uid) {
            Some(answer) if version(answer) > version(&watched) => answer.clone(),
            Some(_) => {
                written.remove(&uid);
                watched
            }
            None => watched,
        }
    }

    /// Notes the answer to a write.
    pub(super) fn note(&self, answer: Pod) -> Arc<Pod> {
        let answer = Arc::new(answer);
        if let Some(uid) = answer.uid() {
            self.written.lock().insert(uid, answer.clone());
        }
        answer
    }

    /// The pod is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.written.lock().remove(uid);
    }
}

/// Versions of one resource compare as integers (KEP-5504); one that is none counts as oldest, and the watch's wins.
fn version(pod: &Pod) -> u64 {
    pod.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}
