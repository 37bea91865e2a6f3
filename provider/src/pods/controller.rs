//! The queue of pods to reconcile, and its sources: pods that changed, tasks that changed, probes and hooks that reported.
//! Each pod is reconciled alone, one step at a time.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Client, ResourceExt,
    runtime::{
        controller::{self, applier},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_stream::wrappers::{IntervalStream, ReceiverStream, UnboundedReceiverStream};
use tracing::Instrument;

use super::{
    context::Context,
    definitions::Definitions,
    garbage::Collector,
    hooks::{Answered, Hooks},
    memory::{Memory, Remembered},
    probing::Probing,
    publisher::{Outbox, Publisher},
    step,
    tasks::Table,
};
use crate::{
    background, clock,
    fargate::ecs::Ecs,
    probes::{self, Prober},
    translate::Settings,
};

/// Pods reconciled at once: enough for a burst of new ones, each of which waits for two or three responses.
const CONCURRENCY: u16 = 64;

/// Between two passes over a pod for which no event arrives. They cost no call: the decision is the same as before.
const FULL_PASS: Duration = Duration::from_secs(60);

/// Runs the node's pods.
pub struct Controller {
    context: Arc<Context>,
    pods: Store<Pod>,
    outbox: Outbox,
    changed: mpsc::UnboundedReceiver<ObjectRef<Pod>>,
    probed: mpsc::Receiver<probes::Event>,
    answered: mpsc::UnboundedReceiver<Answered>,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Controller {
    /// A controller of the pods in `pods`, which a reflector keeps; with its own prober, and what that reports.
    #[must_use]
    pub fn new(
        client: Client,
        ecs: Arc<dyn Ecs>,
        settings: Settings,
        pods: Store<Pod>,
        (prober, probed): (Prober, mpsc::Receiver<probes::Event>),
        clock: clock::Shared,
    ) -> Self {
        let memory = Memory::default();
        let (table, changed) = Table::new(memory.clone(), &settings);
        let (hooks, answered) = Hooks::new(prober.clone(), memory.clone());
        let (publisher, outbox) =
            Publisher::new(client.clone(), &settings.node.name, memory.clone(), clock.clone());
        let context = Context {
            client,
            ecs,
            settings,
            clock,
            table,
            definitions: Definitions::default(),
            probing: Probing::new(prober, memory.clone()),
            hooks,
            publisher,
            memory,
            vanished: Arc::new(Notify::new()),
        };
        Self { context: Arc::new(context), pods, outbox, changed, probed, answered }
    }

    /// Reconciles until `watch`, the reflector's stream of the same pods, ends.
    pub async fn run(self, watch: impl Stream<Item = watcher::Result<watcher::Event<Pod>>> + Send + 'static) {
        let Self { context, pods, outbox, changed, probed, answered } = self;
        let collector = Collector {
            ecs: context.ecs.clone(),
            table: context.table.clone(),
            definitions: context.definitions.clone(),
            memory: context.memory.clone(),
            pods: pods.clone(),
            started_by: context.settings.started_by.clone(),
            vanished: context.vanished.clone(),
        };
        let (queue, queued) = mpsc::unbounded_channel();
        let feeders = Arc::new(Feeders { context: context.clone(), pods: pods.clone(), queue });
        // They end with this future, however it ends.
        let mut beside = JoinSet::new();
        beside.spawn(outbox.run());
        // The watch must run for the store to fill, and nothing may be decided before the tasks are known.
        let feed = feeders.clone();
        beside.spawn(background::each("pods", watch, move |event| {
            feed.seen(event);
            std::future::ready(())
        }));
        if pods.wait_until_ready().await.is_err() {
            return;
        }
        background::keep("recovery", || collector.recover()).await;

        let (table, ecs) = (context.table.clone(), context.ecs.clone());
        beside.spawn(async move { background::keep("tasks", || table.run(ecs.as_ref())).await });
        beside.spawn(async move { background::keep("garbage", || collector.run()).await });
        let feed = feeders.clone();
        let passes = IntervalStream::new(tokio::time::interval(FULL_PASS));
        beside.spawn(background::each("full pass", passes, move |_| {
            feed.everything();
            std::future::ready(())
        }));
        let feed = feeders.clone();
        beside.spawn(background::each("probes", ReceiverStream::new(probed), move |event| {
            feed.probed(&event);
            std::future::ready(())
        }));
        beside.spawn(background::each("hooks", UnboundedReceiverStream::new(answered), move |answered| {
            feeders.answered(&answered);
            std::future::ready(())
        }));
        let queue = futures::stream::select(
            UnboundedReceiverStream::new(queued),
            UnboundedReceiverStream::new(changed),
        );
        let reconcile = |pod: Arc<Pod>, context: Arc<Context>| {
            let span = tracing::info_span!(
                "pod",
                ns = pod.namespace().unwrap_or_default(),
                name = pod.name_any(),
                uid = pod.uid().unwrap_or_default()
            );
            Box::pin(step::reconcile(pod, context).instrument(span))
        };
        let config = controller::Config::default().concurrency(CONCURRENCY);
        applier(reconcile, step::retry, context, pods, queue.map(Ok::<_, std::convert::Infallible>), config)
            .for_each(|result| async move {
                match result {
                    // A pod that was deleted while it was queued.
                    Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
                    Err(error) => tracing::debug!(%error, "a reconcile failed"),
                }
            })
            .await;
    }
}

/// The sources of the queue.
struct Feeders {
    context: Arc<Context>,
    pods: Store<Pod>,
    queue: mpsc::UnboundedSender<ObjectRef<Pod>>,
}

impl Feeders {
    /// The watch has an event: a pod that changed or was deleted, or a whole new listing.
    fn seen(&self, event: watcher::Result<watcher::Event<Pod>>) {
        match event {
            Err(error) => tracing::warn!(%error, "lost the watch of the node's pods; reconnecting"),
            Ok(watcher::Event::Apply(pod)) => {
                self.context.memory.admit(&pod.uid().unwrap_or_default());
                self.queue(&pod);
            }
            Ok(watcher::Event::Delete(pod)) => {
                self.gone(self.context.memory.forget(&pod.uid().unwrap_or_default()));
            }
            // The store shows a new listing when it is complete.
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(watcher::Event::InitDone) => {
                // A pod that is missing in a new listing has no event of its own.
                self.gone(self.context.memory.sync(|| self.pods.state()));
                self.everything();
            }
        }
    }

    /// Queues every pod, and forgets those that are gone.
    fn everything(&self) {
        for pod in self.pods.state() {
            self.queue(&pod);
        }
    }

    fn gone(&self, gone: impl IntoIterator<Item = Remembered>) {
        // One that the controller itself has removed no longer has a task.
        if gone.into_iter().any(|gone| gone.may_run()) {
            self.context.vanished.notify_one();
        }
    }

    /// A probe has something to report.
    fn probed(&self, event: &probes::Event) {
        let published = self.context.probing.handle_event(event);
        if let Some(pod) = self.find(&event.uid) {
            self.queue(&pod);
            self.context.publisher.send(&pod, published.as_slice());
        }
    }

    /// The hooks of a pod have ended.
    fn answered(&self, Answered { uid, failures }: &Answered) {
        self.context.hooks.record_answers(uid);
        if let Some(pod) = self.find(uid) {
            self.queue(&pod);
            self.context.publisher.send(&pod, failures);
        }
    }

    fn find(&self, uid: &str) -> Option<Arc<Pod>> {
        self.pods.find(|pod| pod.metadata.uid.as_deref() == Some(uid))
    }

    fn queue(&self, pod: &Pod) {
        // The receiver is gone when the controller ends.
        let _ = self.queue.send(ObjectRef::from_obj(pod));
    }
}
