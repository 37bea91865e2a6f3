//! The tasks as readers see them: committed, in memory, behind a lock that is held only briefly.
//!
//! The store is authoritative; a task is added here only after its commit. Reads of tasks never touch SQLite.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::engine::changes::{Change, Reader};
use crate::engine::task::{Desired, Status, Task};

#[derive(Debug, Default)]
pub(in crate::engine) struct Registry {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// ARN → the task and its place in the order of creation.
    by_arn: HashMap<String, (u64, Arc<Task>)>,
    /// Cluster ARN → place → task.
    by_cluster: HashMap<String, BTreeMap<u64, Arc<Task>>>,
    next_place: u64,
}

impl Reader for Registry {
    fn read(&self, change: &Change) {
        match change {
            Change::Task(task) => self.show(Arc::clone(task)),
            Change::Forgotten(arns) => self.forget(arns),
            Change::Reset => *self.inner.write() = Inner::default(),
        }
    }
}

impl Registry {
    fn show(&self, task: Arc<Task>) {
        let mut guard = self.inner.write();
        let inner = &mut *guard;
        let place = inner.by_arn.get(&task.arn).map_or(inner.next_place, |(place, _)| *place);
        if place == inner.next_place {
            inner.next_place += 1;
        }
        inner.by_cluster.entry(task.cluster_arn.clone()).or_default().insert(place, Arc::clone(&task));
        inner.by_arn.insert(task.arn.clone(), (place, task));
    }

    pub(in crate::engine) fn get(&self, arn: &str) -> Option<Arc<Task>> {
        self.inner.read().by_arn.get(arn).map(|(_, task)| Arc::clone(task))
    }

    pub(in crate::engine) fn all(&self) -> Vec<Arc<Task>> {
        self.inner.read().by_arn.values().map(|(_, task)| Arc::clone(task)).collect()
    }

    /// The tasks that have not stopped.
    pub(in crate::engine) fn live(&self) -> Vec<Arc<Task>> {
        let inner = self.inner.read();
        let tasks = inner.by_arn.values().map(|(_, task)| task);
        tasks.filter(|task| !task.is_stopped()).cloned().collect()
    }

    pub(in crate::engine) fn of_cluster(&self, cluster_arn: &str) -> Vec<Arc<Task>> {
        let inner = self.inner.read();
        inner.by_cluster.get(cluster_arn).map(|tasks| tasks.values().cloned().collect()).unwrap_or_default()
    }

    pub(in crate::engine) fn counts(&self, cluster_arn: &str) -> Counts {
        let inner = self.inner.read();
        let mut counts = Counts::default();
        for task in inner.by_cluster.get(cluster_arn).into_iter().flat_map(BTreeMap::values) {
            counts.add(task);
        }
        counts
    }

    pub(in crate::engine) fn total(&self) -> Counts {
        let inner = self.inner.read();
        let mut counts = Counts::default();
        for task in inner.by_cluster.values().flat_map(BTreeMap::values) {
            counts.add(task);
        }
        counts
    }

    fn forget(&self, arns: &[String]) {
        let mut guard = self.inner.write();
        let inner = &mut *guard;
        for arn in arns {
            let Some((place, task)) = inner.by_arn.remove(arn) else { continue };
            if let Entry::Occupied(mut tasks) = inner.by_cluster.entry(task.cluster_arn.clone()) {
                tasks.get_mut().remove(&place);
                if tasks.get().is_empty() {
                    tasks.remove();
                }
            }
        }
    }
}

/// Tasks of a cluster, as DescribeClusters counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// RUNNING.
    pub running_tasks_count: u32,
    /// On the way to RUNNING.
    pub pending_tasks_count: u32,
}

impl Counts {
    fn add(&mut self, task: &Task) {
        match task.last_status {
            Status::Running => self.running_tasks_count += 1,
            Status::Provisioning | Status::Pending | Status::Activating
                if task.desired_status == Desired::Running =>
            {
                self.pending_tasks_count += 1;
            }
            _ => {}
        }
    }
}
