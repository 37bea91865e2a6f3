//! Sends events to the API server.
//!
//! They repeat for people what the status has, so nothing waits for them and only the event itself can be lost: a queue with a
//! bound, a bound per pod (`decide::allowance`), and a deadline for each. client-go does the same (`maxQueuedEvents`, the spam filter).

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{
    Client, ResourceExt,
    runtime::events::{self, Recorder, Reporter},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{decide::events::Event, memory::Memory};
use crate::{background, clock};

/// Events that may wait (client-go's `maxQueuedEvents`).
const QUEUE: usize = 1_000;

/// How long the API server may take for one event.
const DEADLINE: Duration = Duration::from_secs(10);

type Queued = (events::Event, ObjectReference);

/// The handle that queues events.
#[derive(Debug)]
pub(super) struct Publisher {
    queue: mpsc::Sender<Queued>,
    memory: Memory,
    clock: clock::Shared,
}

/// The receiving side of the queue.
pub(super) struct Outbox {
    recorder: Arc<Recorder>,
    queued: mpsc::Receiver<Queued>,
}

impl Publisher {
    /// A publisher of the node's events, and its outbox, which is to be run.
    pub(super) fn new(client: Client, node: &str, memory: Memory, clock: clock::Shared) -> (Self, Outbox) {
        let reporter =
            Reporter { controller: "neargate-provider".to_owned(), instance: Some(node.to_owned()) };
        let (queue, queued) = mpsc::channel(QUEUE);
        let recorder = Arc::new(Recorder::new(client, reporter));
        (Self { queue, memory, clock }, Outbox { recorder, queued })
    }

    /// Queues events of the pod. Never waits: an event past a bound is logged and dropped, and so are those of a pod that is gone.
    pub(super) fn send(&self, pod: &Pod, events: &[Event]) {
        for event in events {
            let uid = pod.uid().unwrap_or_default();
            let allowed = self.memory.of(&uid, |remembered| remembered.events.take(self.clock.now()));
            let why = match allowed {
                Some(true) => match self.queue.try_send(event.to_published(pod)) {
                    Ok(()) => continue,
                    Err(_) => "1,000 events are waiting",
                },
                Some(false) => "the pod has had too many",
                None => "the pod is gone",
            };
            tracing::debug!(pod = %pod.name_any(), uid, reason = event.reason, why, "dropped an event");
        }
    }
}

impl Outbox {
    /// Sends what is queued, one after the other, until the publisher is gone.
    pub(super) async fn run(self) {
        let Self { recorder, queued } = self;
        background::each("events", ReceiverStream::new(queued), |(event, reference)| {
            let recorder = recorder.clone();
            async move {
                let sent = tokio::time::timeout(DEADLINE, recorder.publish(&event, &reference)).await;
                let pod = reference.name.as_deref().unwrap_or_default();
                match sent {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(%error, pod, reason = event.reason, "could not send an event; dropped it");
                    }
                    Err(_) => tracing::warn!(
                        pod,
                        reason = event.reason,
                        "the API server did not respond to an event within 10 s; dropped it"
                    ),
                }
            }
        })
        .await;
    }
}
