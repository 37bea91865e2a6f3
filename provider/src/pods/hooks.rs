//! The `httpGet` hooks in progress, each sent once by this process.
//!
//! Kept in memory only: a restarted provider sends them again, as a kubelet does, because a hook may be delivered more than
//! once.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, PodSpec};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    decide::{events::Event, pre_stop},
    memory::{Asking, Memory},
};
use crate::probes::Prober;

/// All hooks of a pod have been answered, or have failed.
#[derive(Debug)]
pub(super) struct Answered {
    /// The pod's UID.
    pub(super) uid: String,
    /// The events for those that failed.
    pub(super) failures: Vec<Event>,
}

/// Sends the hooks, and records that they were sent.
#[derive(Debug)]
pub(super) struct Hooks {
    prober: Prober,
    memory: Memory,
    answers: mpsc::UnboundedSender<Answered>,
}

impl Hooks {
    /// Without any hooks yet, and the receiver of their answers.
    pub(super) fn new(prober: Prober, memory: Memory) -> (Self, mpsc::UnboundedReceiver<Answered>) {
        let (answers, answered) = mpsc::unbounded_channel();
        (Self { prober, memory, answers }, answered)
    }

    /// Sends the hooks of the pod at `ip`, all at once, each for `time` at most; once, even if called again.
    pub(super) fn begin(&self, uid: &str, spec: &PodSpec, ip: &str, time: Duration) {
        if pre_stop::gets(spec).next().is_none() {
            return;
        }
        self.memory.of(uid, |remembered| {
            remembered.hooks.get_or_insert_with(|| self.ask(uid, spec, ip, time));
        });
    }

    fn ask(&self, uid: &str, spec: &PodSpec, ip: &str, time: Duration) -> Asking {
        let ask = |(container, action): (&Container, &HTTPGetAction)| {
            let (prober, ip) = (self.prober.clone(), ip.to_owned());
            let (container, action) = (container.clone(), action.clone());
            async move {
                let ports = container.ports.as_deref().unwrap_or_default();
                let why = prober.hook(&action, &ip, ports, time).await.err()?;
                let message = format!("PreStopHook failed: {why}");
                Some(Event::warning("FailedPreStopHook", "Stopping", message).of(&container.name))
            }
        };
        let asked = futures::future::join_all(pre_stop::gets(spec).map(ask));
        let (answers, uid) = (self.answers.clone(), uid.to_owned());
        let asking = tokio::spawn(async move {
            let failures = asked.await.into_iter().flatten().collect();
            // The receiver is gone when the provider stops.
            let _ = answers.send(Answered { uid, failures });
        });
        Asking { answered: false, _asking: AbortOnDropHandle::new(asking) }
    }

    /// Whether all hooks of the pod have been answered.
    pub(super) fn answered(&self, uid: &str) -> bool {
        let hooks = self.memory.of(uid, |remembered| remembered.hooks.as_ref().map(|hooks| hooks.answered));
        hooks.flatten().unwrap_or(false)
    }

    /// Records an answer.
    pub(super) fn record_answers(&self, uid: &str) {
        self.memory.of(uid, |remembered| {
            if let Some(hooks) = &mut remembered.hooks {
                hooks.answered = true;
            }
        });
    }
}
