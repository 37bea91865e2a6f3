//! The tasks of the node's pods, as ECS last described them: one table, one ticker for all.
//!
//! ```text
//! step --view, put---> Table --due ids, packed by 100--> DescribeTasks
//!     ^                  ^                                    |
//!     '-- changed pods --+------------------ tasks, MISSING --'
//! ```
//!
//! A task in transition is polled often, a steady one seldom; see [`Following::due`]. A request costs the same for one id as for
//! a hundred, so each is filled up with those that are due next. What is known is kept in the pods' [`Memory`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use aws_sdk_ecs::types::Task;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{
    decide::{self, TaskView, annotations, claim::Home, following::Following, task},
    describe::{self, Answer},
    memory::{Memory, Remembered},
};
use crate::{
    fargate::ecs::{Ecs, MOST_IDS},
    translate::Settings,
};

/// Pauses while AWS is in trouble: doubled from the first to the last.
const TROUBLE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

#[derive(Debug)]
struct Shared {
    memory: Memory,
    wake: Notify,
    home: Mutex<Home>,
    started_by: String,
    changes: mpsc::UnboundedSender<ObjectRef<Pod>>,
}

/// The table; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Table {
    shared: Arc<Shared>,
}

impl Table {
    /// The table of the tasks that the provider with these settings starts, and the stream of pods whose task changes from now
    /// on.
    pub(super) fn new(
        memory: Memory,
        settings: &Settings,
    ) -> (Self, mpsc::UnboundedReceiver<ObjectRef<Pod>>) {
        let (changes, changed) = mpsc::unbounded_channel();
        let home = Mutex::new(Home::new(&settings.region, &settings.fargate.cluster));
        let started_by = settings.started_by.clone();
        let shared = Shared { memory, wake: Notify::new(), home, started_by, changes };
        (Self { shared: Arc::new(shared) }, changed)
    }

    /// What is known of the task of the pod's attempt. If the pod's annotation names a task that was not requested yet, it is
    /// followed from now on. Nothing is known about a pod that is gone, and nothing is to be done for it.
    pub(super) fn view(&self, pod: &Pod) -> TaskView {
        let look = |following: &mut Option<Following>| {
            if let Some(following) = following {
                return following.view(decide::attempt(pod));
            }
            let Some(arn) = pod.annotations().get(annotations::TASK_ARN) else { return TaskView::None };
            let (now, pod) = (Instant::now(), ObjectRef::from_obj(pod));
            if !self.shared.home.lock().may_have(arn) {
                tracing::warn!(task = arn, %pod, "the pod's annotation can't name a task of this node; ignoring it");
                *following = Some(Following::foreign(arn, pod, now));
                return TaskView::None;
            }
            *following = Some(Following::claimed(arn, pod, now));
            self.shared.wake.notify_one();
            TaskView::Unknown
        };
        let uid = pod.uid().unwrap_or_default();
        self.shared.memory.of(&uid, |remembered| look(&mut remembered.following)).unwrap_or(TaskView::Unknown)
    }

    /// Takes in a task that RunTask, StopTask or a listing has returned. Returns whether its pod still exists.
    ///
    /// `attempt` if the caller knows it; the response of RunTask has no tags.
    pub(super) fn put(&self, uid: &str, pod: ObjectRef<Pod>, attempt: Option<u32>, task: Task) -> bool {
        let now = Instant::now();
        self.shared.home.lock().learn(task::arn(&task));
        let put = self.shared.memory.of(uid, |remembered| {
            let known = remembered.following.as_mut().filter(|known| known.arn() == task::arn(&task));
            let news = match known {
                Some(known) => known.take(task, attempt, now),
                None => {
                    remembered.following = Some(Following::of(task, attempt, pod.clone(), now));
                    true
                }
            };
            if news {
                self.announce(pod);
            }
        });
        self.shared.wake.notify_one();
        put.is_some()
    }

    /// The pod's attempt has had its task, and ECS has forgotten it. Returns whether the pod still exists.
    pub(super) fn spent(&self, uid: &str, pod: ObjectRef<Pod>, attempt: u32) -> bool {
        let spent = Following::spent(attempt, pod, Instant::now());
        self.shared.memory.of(uid, |remembered| remembered.following = Some(spent)).is_some()
    }

    /// Polls ECS for what is due, for ever.
    pub(super) async fn run(&self, ecs: &dyn Ecs) {
        let mut pause = TROUBLE.0;
        loop {
            match self.due(Instant::now()) {
                Due::Now(arns) => match describe::tasks(ecs, &arns).await {
                    Ok(answer) => {
                        self.take_in(&arns, &answer, Instant::now());
                        pause = TROUBLE.0;
                    }
                    Err(error) => {
                        tracing::warn!(%error, tasks = arns.len(), ?pause, "could not describe the node's tasks; retrying after the pause");
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

    /// The ids to request: those that are due, filled up with those that are due next.
    fn due(&self, now: Instant) -> Due {
        let mut waiting: Vec<(Instant, String)> = self.shared.memory.each(|pods| {
            let due = |remembered: &mut Remembered| {
                let following = remembered.following.as_ref()?;
                Some((following.due()?, following.wanted()?.to_owned()))
            };
            pods.filter_map(|(_, remembered)| due(remembered)).collect()
        });
        waiting.sort_unstable();
        match waiting.first() {
            None => Due::Never,
            Some(&(first, _)) if first > now => Due::At(first),
            Some(_) => {
                // Several pods may claim one task.
                let mut packed = HashSet::new();
                let arns = waiting.into_iter().map(|(_, arn)| arn).filter(|arn| packed.insert(arn.clone()));
                Due::Now(arns.take(MOST_IDS).collect())
            }
        }
    }

    fn take_in(&self, asked: &[String], answer: &Answer, now: Instant) {
        let asked: HashSet<&str> = asked.iter().map(String::as_str).collect();
        let missing: HashSet<&str> = answer.missing.iter().map(String::as_str).collect();
        let refused: HashSet<&str> = answer.refused.iter().map(String::as_str).collect();
        let tasks: HashMap<&str, &Task> = answer.tasks.iter().map(|task| (task::arn(task), task)).collect();
        self.shared.memory.each(|pods| {
            for (uid, remembered) in pods {
                let Some(following) = &mut remembered.following else { continue };
                let Some(arn) = following.wanted().filter(|arn| asked.contains(arn)) else { continue };
                let (task, missing, refused) = (tasks.get(arn), missing.contains(arn), refused.contains(arn));
                following.asked(now);
                let news = match task {
                    Some(task) => following.describe(task, self.is_of(task, uid), now),
                    None if missing => following.missing(now),
                    None if refused => following.refused(),
                    None => following.silent(now),
                };
                if news {
                    self.announce(following.pod().clone());
                }
            }
        });
    }

    /// Whether this provider started the task for the pod of that UID.
    pub(super) fn is_of(&self, task: &Task, uid: &str) -> bool {
        task.started_by() == Some(self.shared.started_by.as_str()) && task::pod_uid(task) == Some(uid)
    }

    fn announce(&self, pod: ObjectRef<Pod>) {
        // The receiver is gone when the provider stops.
        let _ = self.shared.changes.send(pod);
    }
}

enum Due {
    Now(Vec<String>),
    At(Instant),
    Never,
}
