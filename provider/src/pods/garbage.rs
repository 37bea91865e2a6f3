//! Reconciles tasks, pods and what is remembered of them: at the start, every ten seconds, and when a pod is gone.
//!
//! Only tasks whose `startedBy` is this provider's and that carry a pod's UID are ever touched: a task that a user runs by hand, or
//! another cluster's provider, has neither. A task in a listing that is new to the table is one of four:
//!
//! | the task's pod | the task is |
//! | --- | --- |
//! | gone, by UID | stopped |
//! | exists, at a later attempt | stopped: it is out of date |
//! | exists, and runs this attempt as another task | stopped |
//! | exists, and has no task of this attempt | adopted |
//!
//! The listing is also the heartbeat: without any pod, it shows whether AWS responds.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use aws_sdk_ecs::types::{DesiredStatus, Task};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::sync::Notify;

use super::{
    decide::{self, task},
    definitions::Definitions,
    describe,
    memory::{Memory, Remembered},
    tasks::Table,
};
use crate::fargate::ecs::{Ecs, Error};

/// Between two listings. Four of them fit into the 40 s after which a node that gets no response from AWS is NotReady.
const PERIOD: Duration = Duration::from_secs(10);

/// Pauses before the first listing is retried.
const TROUBLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Reconciles tasks and pods.
#[derive(Debug)]
pub(super) struct Collector {
    /// ECS.
    pub(super) ecs: Arc<dyn Ecs>,
    /// The tasks that are known.
    pub(super) table: Table,
    /// The task definitions that are known.
    pub(super) definitions: Definitions,
    /// What is remembered of the pods.
    pub(super) memory: Memory,
    /// The pods of the node.
    pub(super) pods: Store<Pod>,
    /// The `startedBy` of our tasks.
    pub(super) started_by: String,
    /// Notified when a pod is gone.
    pub(super) vanished: Arc<Notify>,
}

/// What is to be done about a task in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It is not ours, or known already.
    Leave,
    /// The pod runs as this task.
    Adopt(ObjectRef<Pod>),
    /// Nothing wants it any more.
    Stop(&'static str),
}

impl Collector {
    /// Finds every task of ours that ECS still knows, running or not, and adopts them for their pods. To be done before any pod is
    /// reconciled: a pod without annotation may still have a task.
    pub(super) async fn recover(&self) {
        let mut pause = TROUBLE.0;
        loop {
            match self.adopt_all().await {
                Ok(adopted) => {
                    tracing::info!(adopted, "reconciled the node's tasks with its pods");
                    return;
                }
                Err(error) => {
                    tracing::warn!(
                        %error,
                        ?pause,
                        "could not list the node's tasks; no pod is reconciled until it succeeds; retrying after the pause"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(TROUBLE.1);
                }
            }
        }
    }

    async fn adopt_all(&self) -> Result<usize, Error> {
        let mut arns = self.ecs.list_tasks(&self.started_by, DesiredStatus::Running).await?;
        arns.extend(self.ecs.list_tasks(&self.started_by, DesiredStatus::Stopped).await?);
        // The pods of the first listing may not have been admitted yet.
        self.memory.sync(|| self.pods.state());
        let pods = self.pods_by_uid();
        let mut latest: HashMap<String, Task> = HashMap::new();
        for task in describe::tasks(self.ecs.as_ref(), &arns).await?.tasks {
            let Some(uid) = task::pod_uid(&task).filter(|uid| pods.contains_key(*uid)) else { continue };
            let newer = latest.get(uid).is_none_or(|known| task::attempt(known) < task::attempt(&task));
            if self.is_ours(&task) && newer {
                latest.insert(uid.to_owned(), task);
            }
        }
        let adopted = latest.len();
        for (uid, task) in latest {
            if let Some(pod) = pods.get(&uid) {
                self.table.put(&uid, ObjectRef::from_obj(pod.as_ref()), None, task);
            }
        }
        Ok(adopted)
    }

    /// Sweeps for ever.
    pub(super) async fn run(&self) {
        loop {
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "could not compare the node's tasks with its pods; retrying in 10 s");
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = self.vanished.notified() => {}
            }
        }
    }

    /// Forgets what belongs to no pod of the node, in case an event was missed.
    fn compare(&self) {
        self.memory.sync(|| self.pods.state());
        let used = self
            .memory
            .each(|remembered| remembered.filter_map(|(_, remembered)| remembered.family.clone()).collect());
        self.definitions.retain(&used);
    }

    /// One listing, and what follows from it.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        self.compare();
        let listed = self.ecs.list_tasks(&self.started_by, DesiredStatus::Running).await?;
        let pods = self.pods_by_uid();
        let known: HashSet<String> = self.memory.each(|remembered| {
            let arn = |remembered: &Remembered| remembered.following.as_ref()?.wanted().map(str::to_owned);
            remembered.filter_map(|(_, remembered)| arn(remembered)).collect()
        });
        let strangers: Vec<String> =
            listed.iter().filter(|arn| !known.contains(arn.as_str())).cloned().collect();
        let mut trouble = None;
        for task in describe::tasks(self.ecs.as_ref(), &strangers).await?.tasks {
            match self.judge(&task, &pods) {
                Verdict::Leave => {}
                Verdict::Adopt(pod) => {
                    let uid = task::pod_uid(&task).unwrap_or_default().to_owned();
                    tracing::info!(task = task::arn(&task), %pod, "adopting a task");
                    self.table.put(&uid, pod, None, task);
                }
                Verdict::Stop(why) => {
                    tracing::info!(task = task::arn(&task), why, "stopping a task");
                    match self.ecs.stop_task(task::arn(&task), why).await {
                        // The next sweep retries it; the others are stopped now.
                        Err(error @ (Error::Trouble { .. } | Error::Denied { .. })) => {
                            trouble.get_or_insert(error);
                        }
                        Err(error) => {
                            tracing::warn!(%error, "could not stop a task; the next comparison retries it")
                        }
                        Ok(_) => {}
                    }
                }
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    fn judge(&self, task: &Task, pods: &HashMap<String, Arc<Pod>>) -> Verdict {
        let Some(uid) = task::pod_uid(task).filter(|_| self.is_ours(task)) else { return Verdict::Leave };
        if task::is_stopping(task) {
            return Verdict::Leave;
        }
        let Some(pod) = pods.get(uid) else { return Verdict::Stop("The pod is gone from Kubernetes") };
        let Some(attempt) = task::attempt(task) else { return Verdict::Leave };
        let known = self.memory.of(uid, |remembered| {
            let following = remembered.following.as_ref()?;
            Some((following.attempt(), following.arn() == task::arn(task)))
        });
        match known.flatten() {
            Some((_, true)) => Verdict::Leave,
            _ if attempt < decide::attempt(pod) => Verdict::Stop("The pod has been run again since"),
            Some((Some(latest), false)) if attempt <= latest => Verdict::Stop("The pod runs as another task"),
            _ => Verdict::Adopt(ObjectRef::from_obj(pod.as_ref())),
        }
    }

    fn is_ours(&self, task: &Task) -> bool {
        task.started_by() == Some(self.started_by.as_str())
    }

    fn pods_by_uid(&self) -> HashMap<String, Arc<Pod>> {
        self.pods.state().into_iter().filter_map(|pod| Some((pod.uid()?, pod))).collect()
    }
}
