//! The loop: pods that changed, tasks that changed, probes that changed, each reconciled alone and one at a time a pod.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Client, ResourceExt,
    runtime::{
        controller::{self, Action, applier},
        events::{Recorder, Reporter},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tracing::Instrument;

use super::{
    act, annotations,
    decide::{self, Decision, Question, Sight, Then},
    definitions::Definitions,
    events::Event,
    garbage::Collector,
    hooks::{Answered, Hooks},
    latest::Latest,
    patience::Patience,
    probing::Probing,
    status::{self, Facts, Readiness},
    task,
    tasks::Table,
};
use crate::{
    clock,
    fargate::ecs::{self, Ecs},
    probes::{self, Prober},
    translate::{self, Settings},
};

/// Pods reconciled at once: enough for a burst of new ones, each of which waits for two or three answers.
const CONCURRENCY: u16 = 64;

/// Pauses after a reconcile that failed: doubled from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Until a pod that is to be run again is looked at again, while AWS is in trouble.
const TROUBLE: Duration = Duration::from_secs(1);

/// Why a reconcile did not get through. Each is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The status was not written; a conflict says that the pod has changed since it was read.
    #[error("writing the pod's status")]
    WriteStatus(#[source] kube::Error),
    /// The annotations were not written.
    #[error("annotating the pod")]
    Annotate(#[source] kube::Error),
    /// The pod object was not removed.
    #[error("removing the pod object")]
    Delete(#[source] kube::Error),
    /// AWS is in trouble.
    #[error("calling AWS")]
    Aws(#[source] ecs::Error),
}

/// What every reconcile shares.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) ecs: Arc<dyn Ecs>,
    pub(super) recorder: Recorder,
    pub(super) definitions: Definitions,
    pub(super) latest: Latest,
    settings: Settings,
    table: Table,
    patience: Patience,
    probing: Probing,
    hooks: Hooks,
    failures: Mutex<HashMap<String, u32>>,
    clock: clock::Shared,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("settings", &self.settings)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// Runs the node's pods.
#[derive(Debug)]
pub struct Controller {
    context: Arc<Context>,
    pods: Store<Pod>,
    changed: mpsc::UnboundedReceiver<ObjectRef<Pod>>,
    probed: mpsc::Receiver<probes::Event>,
    answered: mpsc::UnboundedReceiver<Answered>,
    vanished: Arc<Notify>,
}

impl Controller {
    /// A controller of the pods in `pods`, which a reflector keeps; with a prober of its own, and what that says.
    #[must_use]
    pub fn new(
        client: Client,
        ecs: Arc<dyn Ecs>,
        settings: Settings,
        pods: Store<Pod>,
        (prober, probed): (Prober, mpsc::Receiver<probes::Event>),
        clock: clock::Shared,
    ) -> Self {
        let (hooks, answered) = Hooks::new(prober.clone());
        let (table, changed) = Table::new(settings.started_by.clone());
        let reporter = Reporter {
            controller: "neargate-provider".to_owned(),
            instance: Some(settings.node_name.clone()),
        };
        let context = Context {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            ecs,
            definitions: Definitions::default(),
            latest: Latest::default(),
            settings,
            table,
            patience: Patience::default(),
            probing: Probing::new(prober),
            hooks,
            failures: Mutex::default(),
            clock,
        };
        Self { context: Arc::new(context), pods, changed, probed, answered, vanished: Arc::default() }
    }

    /// Reconciles until `watch`, the reflector's stream of the same pods, ends.
    pub async fn run(self, watch: impl Stream<Item = watcher::Result<watcher::Event<Pod>>> + Send + 'static) {
        let Self { context, pods, changed, probed, answered, vanished } = self;
        let collector = Collector {
            ecs: context.ecs.clone(),
            table: context.table.clone(),
            pods: pods.clone(),
            started_by: context.settings.started_by.clone(),
            vanished: vanished.clone(),
        };
        // The watch must run for the store to fill, and nothing may be decided before the tasks are known.
        let (seen, seen_pods) = mpsc::unbounded_channel();
        // They end with this future, however it ends.
        let mut beside = JoinSet::new();
        beside.spawn(forward(watch, seen.clone(), context.clone(), vanished));
        if pods.wait_until_ready().await.is_err() {
            return;
        }
        collector.recover().await;

        beside.spawn(context.table.clone().run(context.ecs.clone()));
        beside.spawn(collector.run());
        beside.spawn(listen(probed, seen.clone(), context.clone(), pods.clone()));
        beside.spawn(hear(answered, seen, context.clone(), pods.clone()));
        let queue = futures::stream::select(
            UnboundedReceiverStream::new(seen_pods),
            UnboundedReceiverStream::new(changed),
        );
        let reconcile = |pod: Arc<Pod>, context: Arc<Context>| {
            let span = tracing::info_span!(
                "pod",
                ns = pod.namespace().unwrap_or_default(),
                name = pod.name_any(),
                uid = pod.uid().unwrap_or_default()
            );
            Box::pin(reconcile(pod, context).instrument(span))
        };
        let config = controller::Config::default().concurrency(CONCURRENCY);
        applier(reconcile, retry, context, pods, queue.map(Ok::<_, std::convert::Infallible>), config)
            .for_each(|result| async move {
                match result {
                    // A pod that went while it was queued.
                    Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
                    Err(error) => tracing::debug!(%error, "a reconcile failed"),
                }
            })
            .await;
    }
}

/// Queues every pod that the watch tells of, and wakes the collector for those that are gone.
async fn forward(
    watch: impl Stream<Item = watcher::Result<watcher::Event<Pod>>> + Send + 'static,
    seen: mpsc::UnboundedSender<ObjectRef<Pod>>,
    context: Arc<Context>,
    vanished: Arc<Notify>,
) {
    let mut watch = std::pin::pin!(watch);
    loop {
        match watch.try_next().await {
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "the watch of the node's pods broke; it is taken up again"),
            Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => {
                if seen.send(ObjectRef::from_obj(&pod)).is_err() {
                    return;
                }
            }
            Ok(Some(watcher::Event::Delete(pod))) => {
                // One that the controller itself has removed has no task any more.
                if context.table.may_run(&pod.uid().unwrap_or_default()) {
                    vanished.notify_one();
                }
                context.pod_is_gone(&pod);
            }
            // What is gone from a new listing has no event of its own.
            Ok(Some(watcher::Event::InitDone)) => vanished.notify_one(),
            Ok(Some(watcher::Event::Init)) => {}
        }
    }
}

/// Queues the pods that the prober speaks of, and passes on what is to be told of them.
async fn listen(
    mut probed: mpsc::Receiver<probes::Event>,
    seen: mpsc::UnboundedSender<ObjectRef<Pod>>,
    context: Arc<Context>,
    pods: Store<Pod>,
) {
    while let Some(heard) = probed.recv().await {
        let event = context.probing.heard(&heard);
        let Some(pod) = pods.find(|pod| pod.metadata.uid.as_deref() == Some(heard.uid.as_str())) else {
            continue;
        };
        if seen.send(ObjectRef::from_obj(pod.as_ref())).is_err() {
            return;
        }
        act::publish(&context, &pod, event.as_slice()).await;
    }
}

/// Tells of the `preStop` hooks that failed, and queues the pods whose hooks have ended.
async fn hear(
    mut answered: mpsc::UnboundedReceiver<Answered>,
    seen: mpsc::UnboundedSender<ObjectRef<Pod>>,
    context: Arc<Context>,
    pods: Store<Pod>,
) {
    while let Some(Answered { uid, failures }) = answered.recv().await {
        context.hooks.heard(&uid);
        let Some(pod) = pods.find(|pod| pod.metadata.uid.as_deref() == Some(uid.as_str())) else { continue };
        if seen.send(ObjectRef::from_obj(pod.as_ref())).is_err() {
            return;
        }
        act::publish(&context, &pod, &failures).await;
    }
}

impl Context {
    fn pod_is_gone(&self, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        self.latest.forget(&uid);
        self.patience.forget(&uid);
        self.probing.forget(&uid);
        self.hooks.forget(&uid);
        self.failures.lock().remove(&uid);
    }
}

/// One pod: look, decide, write the status, act.
async fn reconcile(pod: Arc<Pod>, context: Arc<Context>) -> Result<Action, Error> {
    let uid = pod.uid().unwrap_or_default();
    let result = step(context.latest.of(pod), &context).await;
    if result.is_ok() {
        context.failures.lock().remove(&uid);
    }
    result
}

async fn step(mut pod: Arc<Pod>, context: &Context) -> Result<Action, Error> {
    let uid = pod.uid().unwrap_or_default();
    let now = context.clock.now();
    let sight = context.table.sight(&pod);
    if let Sight::Task(task) = &sight {
        let annotations = annotations::for_task(&pod, task, context.settings.deletion_cost);
        pod = act::annotate(context, pod, annotations).await?;
    }
    context.probing.follow(&pod, &sight);
    let readiness = |container: &str| context.probing.readiness(&uid, container);
    let condemned = context.probing.condemned(&pod);
    let question = Question {
        pod: &pod,
        sight: &sight,
        readiness: &readiness,
        condemned: condemned.as_ref(),
        answered: context.hooks.answered(&uid),
        node_ip: context.settings.node_ip,
        init: context.settings.init.is_some(),
        now,
    };
    let Decision { status, events, then } = decide::decide(&question);

    if let Then::Run { .. } = then
        && let Some(left) = context.patience.left(&uid, now)
    {
        return Ok(Action::requeue(left));
    }
    // The next attempt is on the status before its RunTask: it waits until that can follow.
    if let (Then::Run { .. }, Some(_), true) = (&then, &status, context.ecs.is_in_trouble()) {
        return Ok(Action::requeue(TROUBLE));
    }
    if let Some(status) = status {
        pod = act::write_status(context, pod, status).await?;
    }
    let action = match then {
        Then::Wait(None) => Action::await_change(),
        Then::Wait(Some(again)) => Action::requeue(again),
        Then::Run { attempt } => run(context, pod.clone(), attempt).await?,
        Then::PreStop { left } => {
            let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).unwrap_or_default();
            if let Some(spec) = &pod.spec {
                context.hooks.begin(&uid, spec, ip, left);
            }
            Action::requeue(left)
        }
        Then::Stop { arn, reason } => {
            tracing::info!(task = arn, reason, "stopping the task");
            match context.ecs.stop_task(&arn, &reason).await.map_err(Error::Aws)? {
                Some(task) => context.table.put(&uid, ObjectRef::from_obj(pod.as_ref()), None, task),
                // ECS has forgotten it; the table will hear MISSING.
                None => tracing::info!(task = arn, "the task was gone"),
            }
            Action::await_change()
        }
        Then::Delete => {
            act::delete(context, &pod).await?;
            context.table.forget(&uid);
            context.latest.forget(&uid);
            Action::await_change()
        }
    };
    // Told once it is done: a step that fails is taken again.
    act::publish(context, &pod, &events).await;
    Ok(action)
}

/// Runs the attempt, and says on the pod which task that is.
async fn run(context: &Context, pod: Arc<Pod>, attempt: u32) -> Result<Action, Error> {
    let uid = pod.uid().unwrap_or_default();
    let now = context.clock.now();
    let readiness = |_: &str| Readiness { started: false, ready: false };
    let facts = Facts { pod: &pod, node_ip: context.settings.node_ip, now, readiness: &readiness };
    let translation = match translate::translate(&pod, attempt, &context.settings) {
        Ok(translation) => translation,
        Err(unsupported) => {
            let status = status::unsupported(&facts, &unsupported.to_string());
            act::write_status(context, pod.clone(), status).await?;
            return Ok(Action::await_change());
        }
    };
    let (status, event) = match act::run(context, &translation).await {
        Ok(task) => {
            tracing::info!(task = task::arn(&task), attempt, size = %translation.size, "the pod runs");
            context.patience.forget(&uid);
            let annotations = annotations::for_task(&pod, &task, context.settings.deletion_cost);
            context.table.put(&uid, ObjectRef::from_obj(pod.as_ref()), Some(attempt), task);
            let pod = act::annotate(context, pod, annotations).await?;
            if attempt == 0 {
                act::publish(context, &pod, &act::notes(&translation.notes)).await;
            }
            return Ok(Action::requeue(Duration::ZERO));
        }
        Err(error @ (ecs::Error::Trouble { .. } | ecs::Error::Conflict { .. })) => {
            return Err(Error::Aws(error));
        }
        Err(ecs::Error::NoCapacity { reason }) => {
            let message = format!("Fargate capacity is not available: {reason}");
            (
                status::without_task(&facts, "ContainerCreating", &message),
                Event::warning("FailedScheduling", "RunTask", message),
            )
        }
        Err(error @ ecs::Error::Refused { .. }) => {
            let message = error.to_string();
            (
                status::without_task(&facts, "CreateContainerError", &message),
                Event::warning("FailedRunTask", "RunTask", message),
            )
        }
    };
    let pause = context.patience.refused(&uid, now);
    let pod = act::write_status(context, pod.clone(), status).await?;
    act::publish(context, &pod, &[event]).await;
    Ok(Action::requeue(pause))
}

/// When a failed reconcile is tried again. A conflict means that a newer pod is on its way.
fn retry(pod: Arc<Pod>, error: &Error, context: Arc<Context>) -> Action {
    if let Error::WriteStatus(kube::Error::Api(status)) | Error::Annotate(kube::Error::Api(status)) = error {
        match status.code {
            404 => return Action::await_change(),
            409 => {
                context.latest.forget(&pod.uid().unwrap_or_default());
                return Action::requeue(RETRY.0);
            }
            _ => {}
        }
    }
    let mut failures = context.failures.lock();
    let times = failures.entry(pod.uid().unwrap_or_default()).or_insert(0);
    let pause = RETRY.0.saturating_mul(2u32.saturating_pow(*times)).min(RETRY.1);
    *times = times.saturating_add(1);
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(pod = %pod.name_any(), %error, source, ?pause, "the pod is tried again");
    Action::requeue(pause)
}
