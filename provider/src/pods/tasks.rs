//! The tasks of the node's pods, as ECS last described them: one table, one ticker for all.
//!
//! ```text
//! reconcile --follow, put--> Table --due ids, packed by 100--> DescribeTasks
//!     ^                        ^                                    |
//!     '---- changed pods ------+------------------ tasks, MISSING --'
//! ```
//!
//! What is in transition is asked for often, what is steady seldom; see [`cadence`]. A request costs the same for one
//! id as for a hundred, so each is filled up with those that are due next. The table is a cache: a provider that
//! starts anew fills it from ECS and the pods.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_sdk_ecs::types::Task;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{
    annotations,
    decide::Sight,
    status,
    task::{self, Status},
};
use crate::fargate::ecs::{Described, Ecs, MOST_IDS};

/// How often a task is asked for that has just changed or is about to. Twice the rate that the quota sustains: the burst
/// carries it for five seconds, which is longer than a local start takes; then the bucket slows it down.
const FAST: Duration = Duration::from_millis(50);

/// How often one that has been on its way for longer than [`RECENT`].
const PATIENT: Duration = Duration::from_secs(1);

/// How often one that runs and has not changed for [`SETTLED`].
const SLOW: Duration = Duration::from_secs(2);

/// How long a transition counts as recent. A local start takes under a second, one on AWS half a minute.
const RECENT: Duration = Duration::from_secs(60);

/// How long a task that runs is watched closely: most that crash do so at once.
const SETTLED: Duration = Duration::from_secs(5);

/// How long ECS may not know a task yet that it has just made (its API is eventually consistent).
const GRACE: Duration = Duration::from_secs(60);

/// Pauses while AWS is in trouble: doubled from the first to the last.
const TROUBLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What is known of a task.
#[derive(Debug, Clone)]
enum Found {
    NotYet,
    Task(Arc<Task>),
    Missing,
    /// Somebody else's: the pod's annotation is not to be believed.
    Foreign,
}

impl Found {
    fn may_run(&self) -> bool {
        match self {
            Self::NotYet => true,
            Self::Missing | Self::Foreign => false,
            Self::Task(task) => !task::is_stopping(task),
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    arn: String,
    pod: ObjectRef<Pod>,
    /// The pod's attempt that it runs, where it is known: from RunTask, or from the task's tag.
    attempt: Option<u32>,
    found: Found,
    followed: Instant,
    changed: Instant,
    asked: Option<Instant>,
    /// Whether DescribeTasks has known it.
    described: bool,
}

impl Entry {
    fn due(&self) -> Option<Instant> {
        let last = match self.asked {
            None => return Some(self.followed),
            Some(asked) => asked,
        };
        cadence(&self.found, last.saturating_duration_since(self.changed)).map(|pause| last + pause)
    }
}

/// How long until a task is asked for again, by what it was and how long it has been that; `None` for never.
fn cadence(found: &Found, unchanged: Duration) -> Option<Duration> {
    let on_its_way = if unchanged < RECENT { FAST } else { PATIENT };
    match found {
        Found::NotYet => Some(PATIENT),
        Found::Missing | Found::Foreign => None,
        Found::Task(task) => match task::status(task) {
            Status::Stopped => None,
            Status::Running if !task::is_stopping(task) => {
                Some(if unchanged < SETTLED { FAST } else { SLOW })
            }
            Status::Starting | Status::Running | Status::Stopping => Some(on_its_way),
        },
    }
}

#[derive(Debug)]
struct Shared {
    /// By the pod's UID.
    entries: Mutex<HashMap<String, Entry>>,
    wake: Notify,
    started_by: String,
    changes: mpsc::UnboundedSender<ObjectRef<Pod>>,
}

/// The table; cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    shared: Arc<Shared>,
}

impl Table {
    /// An empty table of the tasks that are started by `started_by`, and the pods whose task changes from now on.
    #[must_use]
    pub fn new(started_by: String) -> (Self, mpsc::UnboundedReceiver<ObjectRef<Pod>>) {
        let (changes, changed) = mpsc::unbounded_channel();
        let shared = Shared { entries: Mutex::default(), wake: Notify::new(), started_by, changes };
        (Self { shared: Arc::new(shared) }, changed)
    }

    /// What is known of the task of the pod's attempt. A pod whose annotation names a task that nobody has asked for
    /// yet is followed from now on.
    #[must_use]
    pub fn sight(&self, pod: &Pod) -> Sight {
        let uid = pod.uid().unwrap_or_default();
        let mut entries = self.shared.entries.lock();
        let Some(entry) = entries.get(&uid) else {
            let Some(arn) = pod.annotations().get(annotations::TASK_ARN) else { return Sight::None };
            entries.insert(uid, entry(arn.clone(), ObjectRef::from_obj(pod), None, Found::NotYet));
            drop(entries);
            self.shared.wake.notify_one();
            return Sight::Unknown;
        };
        let wanted = status::attempt(pod);
        match &entry.found {
            Found::NotYet => Sight::Unknown,
            Found::Foreign => Sight::None,
            Found::Missing if entry.attempt.is_none_or(|attempt| attempt >= wanted) => Sight::Missing,
            Found::Task(task) if entry.attempt.is_none_or(|attempt| attempt >= wanted) => {
                Sight::Task(task.clone())
            }
            // An attempt that the status has left behind: the next one is to be run.
            Found::Missing | Found::Task(_) => Sight::None,
        }
    }

    /// Takes in a task that RunTask, StopTask or a listing has answered.
    ///
    /// `attempt` where the caller knows it; RunTask's answer carries no tags.
    pub fn put(&self, uid: &str, pod: ObjectRef<Pod>, attempt: Option<u32>, task: Task) {
        let mut entries = self.shared.entries.lock();
        let attempt = attempt.or_else(|| task::attempt(&task));
        let known = entries.get_mut(uid).filter(|known| known.arn == task::arn(&task));
        match known {
            Some(known) => {
                known.attempt = known.attempt.or(attempt);
                refresh(known, task, &self.shared.changes);
            }
            None => {
                let arn = task::arn(&task).to_owned();
                entries.insert(uid.to_owned(), entry(arn, pod.clone(), attempt, Found::Task(Arc::new(task))));
                announce(&self.shared.changes, pod);
            }
        }
        drop(entries);
        self.shared.wake.notify_one();
    }

    /// The pod of that UID is gone, or runs under another task.
    pub fn forget(&self, uid: &str) {
        self.shared.entries.lock().remove(uid);
    }

    /// Every pod's UID and its task's ARN, and whether that may still run.
    #[must_use]
    pub fn followed(&self) -> Vec<(String, String, bool)> {
        let entries = self.shared.entries.lock();
        entries.iter().map(|(uid, entry)| (uid.clone(), entry.arn.clone(), entry.found.may_run())).collect()
    }

    /// Whether the pod of that UID has a task that may still run.
    #[must_use]
    pub fn may_run(&self, uid: &str) -> bool {
        self.shared.entries.lock().get(uid).is_some_and(|entry| entry.found.may_run())
    }

    /// The attempt and the ARN of the task that the table knows, for the pod of that UID.
    #[must_use]
    pub fn latest(&self, uid: &str) -> Option<(Option<u32>, String)> {
        self.shared.entries.lock().get(uid).map(|entry| (entry.attempt, entry.arn.clone()))
    }

    /// Asks ECS for what is due, for ever.
    pub async fn run(self, ecs: Arc<dyn Ecs>) {
        let mut pause = TROUBLE.0;
        loop {
            match self.due(Instant::now()) {
                Due::Now(arns) => match ecs.describe_tasks(&arns).await {
                    Ok(described) => {
                        self.take_in(&arns, described, Instant::now());
                        pause = TROUBLE.0;
                    }
                    Err(error) => {
                        tracing::warn!(%error, tasks = arns.len(), "the tasks could not be described");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(TROUBLE.1);
                    }
                },
                Due::At(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.shared.wake.notified() => {}
                    }
                }
                Due::Never => self.shared.wake.notified().await,
            }
        }
    }

    /// The ids to ask for: those that are due, filled up with those that are due next.
    fn due(&self, now: Instant) -> Due {
        let entries = self.shared.entries.lock();
        let mut waiting: Vec<(Instant, &str)> =
            entries.values().filter_map(|entry| entry.due().map(|due| (due, entry.arn.as_str()))).collect();
        waiting.sort_unstable();
        match waiting.first() {
            None => Due::Never,
            Some(&(first, _)) if first > now => Due::At(first),
            Some(_) => Due::Now(waiting.into_iter().take(MOST_IDS).map(|(_, arn)| arn.to_owned()).collect()),
        }
    }

    fn take_in(&self, asked: &[String], described: Described, now: Instant) {
        let mut entries = self.shared.entries.lock();
        let mut by_arn: HashMap<String, (&String, &mut Entry)> =
            entries.iter_mut().map(|(uid, entry)| (entry.arn.clone(), (uid, entry))).collect();
        for arn in asked {
            if let Some((_, entry)) = by_arn.get_mut(arn) {
                entry.asked = Some(now);
            }
        }
        for task in described.tasks {
            if let Some((uid, entry)) = by_arn.get_mut(task::arn(&task)) {
                let ours = task.started_by() == Some(self.shared.started_by.as_str());
                if !ours || task::pod_uid(&task) != Some(uid.as_str()) {
                    tracing::warn!(task = entry.arn, pod = %entry.pod, "the pod's annotation names somebody else's task");
                    entry.found = Found::Foreign;
                    announce(&self.shared.changes, entry.pod.clone());
                    continue;
                }
                entry.described = true;
                entry.attempt = entry.attempt.or_else(|| task::attempt(&task));
                refresh(entry, task, &self.shared.changes);
            }
        }
        for arn in described.missing {
            let Some((_, entry)) = by_arn.get_mut(&arn) else { continue };
            // A task may be too new for ECS to know it everywhere; only then is MISSING not believed.
            let too_new = !entry.described && now.saturating_duration_since(entry.followed) < GRACE;
            if too_new || matches!(entry.found, Found::Missing) {
                continue;
            }
            entry.found = Found::Missing;
            entry.changed = now;
            announce(&self.shared.changes, entry.pod.clone());
        }
    }
}

enum Due {
    Now(Vec<String>),
    At(Instant),
    Never,
}

fn entry(arn: String, pod: ObjectRef<Pod>, attempt: Option<u32>, found: Found) -> Entry {
    let now = Instant::now();
    Entry { arn, pod, attempt, found, followed: now, changed: now, asked: None, described: false }
}

/// Takes the newer of the two, by ECS's version, and tells of a change.
fn refresh(entry: &mut Entry, task: Task, changes: &mpsc::UnboundedSender<ObjectRef<Pod>>) {
    if let Found::Task(known) = &entry.found
        && (known.version() > task.version() || **known == task)
    {
        return;
    }
    entry.found = Found::Task(Arc::new(task));
    entry.changed = Instant::now();
    announce(changes, entry.pod.clone());
}

fn announce(changes: &mpsc::UnboundedSender<ObjectRef<Pod>>, pod: ObjectRef<Pod>) {
    // Nobody listens any more when the provider stops.
    let _ = changes.send(pod);
}
