//! The `httpGet` hooks that are under way, each asked once by this process.
//!
//! Kept in memory alone: a provider that starts anew asks again, as a kubelet does, for a hook may be delivered more than once.

use std::{collections::HashMap, time::Duration};

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, PodSpec};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{events::Event, pre_stop};
use crate::probes::Prober;

/// All hooks of a pod have been answered, or have failed.
#[derive(Debug)]
pub(super) struct Answered {
    /// The pod's UID.
    pub(super) uid: String,
    /// What is to be told of those that failed.
    pub(super) failures: Vec<Event>,
}

/// The hooks, by the pod's UID.
#[derive(Debug)]
pub(super) struct Hooks {
    prober: Prober,
    begun: Mutex<HashMap<String, Hook>>,
    answers: mpsc::UnboundedSender<Answered>,
}

#[derive(Debug)]
struct Hook {
    answered: bool,
    _asking: AbortOnDropHandle<()>,
}

impl Hooks {
    /// No hooks yet, and where their answers come out.
    pub(super) fn new(prober: Prober) -> (Self, mpsc::UnboundedReceiver<Answered>) {
        let (answers, answered) = mpsc::unbounded_channel();
        (Self { prober, begun: Mutex::default(), answers }, answered)
    }

    /// Asks the hooks of the pod at `ip`, all at once, each for `time` at most; once, however often it is told to.
    pub(super) fn begin(&self, uid: &str, spec: &PodSpec, ip: &str, time: Duration) {
        let mut begun = self.begun.lock();
        if begun.contains_key(uid) || pre_stop::gets(spec).next().is_none() {
            return;
        }
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
        let asking = tokio::spawn({
            let uid = uid.clone();
            async move {
                let failures = asked.await.into_iter().flatten().collect();
                // Nobody listens any more when the provider stops.
                let _ = answers.send(Answered { uid, failures });
            }
        });
        begun.insert(uid, Hook { answered: false, _asking: AbortOnDropHandle::new(asking) });
    }

    /// Whether all hooks of the pod have been answered.
    pub(super) fn answered(&self, uid: &str) -> bool {
        self.begun.lock().get(uid).is_some_and(|hook| hook.answered)
    }

    /// Takes in an answer.
    pub(super) fn heard(&self, uid: &str) {
        if let Some(hook) = self.begun.lock().get_mut(uid) {
            hook.answered = true;
        }
    }

    /// The pod is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.begun.lock().remove(uid);
    }
}
