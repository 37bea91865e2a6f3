//! The pods that the prober watches, and what it says of them.

use std::collections::HashMap;

use aws_sdk_ecs::types::Task;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use kube::ResourceExt;
use parking_lot::Mutex;

use super::{
    decide::Sight,
    events::Event,
    status::{self, Readiness},
    task,
};
use crate::probes::{self, Kind, Prober, Target, Verdict};

/// A container that a probe has given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condemned {
    /// Its name.
    pub container: String,
    /// `liveness` or `startup`.
    pub probe: &'static str,
    /// What the probe saw last.
    pub message: String,
}

/// The prober, and whom it has given up.
#[derive(Debug)]
pub(super) struct Probing {
    prober: Prober,
    /// By the pod's UID, with the attempt that was given up.
    condemned: Mutex<HashMap<String, (u32, Condemned)>>,
}

impl Probing {
    pub(super) fn new(prober: Prober) -> Self {
        Self { prober, condemned: Mutex::default() }
    }

    /// Watches the pod while its task runs, and no longer.
    pub(super) fn follow(&self, pod: &Pod, sight: &Sight) {
        let target = match sight {
            Sight::Task(task) => target(pod, task),
            // Until AWS has said so, what ran still runs.
            Sight::Unknown => return,
            Sight::None | Sight::Missing => None,
        };
        match target {
            Some(target) => self.prober.watch(target),
            None => self.prober.forget(&pod.uid().unwrap_or_default()),
        }
    }

    pub(super) fn readiness(&self, uid: &str, container: &str) -> Readiness {
        let Verdict { started, ready } = self.prober.verdict(uid, container);
        Readiness { started, ready }
    }

    /// Whom a probe has given up in the pod's present attempt.
    pub(super) fn condemned(&self, pod: &Pod) -> Option<Condemned> {
        let condemned = self.condemned.lock();
        let (attempt, condemned) = condemned.get(&pod.uid()?)?;
        (*attempt == status::attempt(pod)).then(|| condemned.clone())
    }

    /// Takes in what the prober says. The event to be sent, if any; any event at all is a reason to look at the pod.
    pub(super) fn heard(&self, event: &probes::Event) -> Option<Event> {
        let probe = match event.kind {
            Kind::ReadinessChanged => return None,
            Kind::Unhealthy => {
                return Some(
                    Event::warning("Unhealthy", "Probing", event.message.clone()).of(&event.container),
                );
            }
            Kind::Warning => {
                return Some(
                    Event::warning("ProbeWarning", "Probing", event.message.clone()).of(&event.container),
                );
            }
            Kind::LivenessFailed => "liveness",
            Kind::StartupFailed => "startup",
        };
        let condemned =
            Condemned { container: event.container.clone(), probe, message: event.message.clone() };
        self.condemned.lock().insert(event.uid.clone(), (event.attempt, condemned));
        None
    }

    /// The pod is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.prober.forget(uid);
        self.condemned.lock().remove(uid);
    }
}

/// What is to be probed of the pod: the containers that run, once the task has its address.
fn target(pod: &Pod, task: &Task) -> Option<Target> {
    if task::status(task) != task::Status::Running || task::is_stopping(task) {
        return None;
    }
    let started_at = task::started_at(task)?;
    let statuses =
        pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let known = |container: &Container| {
        let before = statuses.iter().find(|status| status.name == container.name);
        before.filter(|before| is_running(before)).map_or_else(Verdict::default, |before| Verdict {
            started: before.started == Some(true),
            ready: before.ready,
        })
    };
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    Some(Target {
        uid: pod.uid()?,
        attempt: status::attempt(pod),
        ip: task::addresses(task).into_iter().next()?,
        containers: containers
            .map(|container| probes::Container {
                name: container.name.clone(),
                readiness: container.readiness_probe.clone(),
                liveness: container.liveness_probe.clone(),
                startup: container.startup_probe.clone(),
                ports: container.ports.clone().unwrap_or_default(),
                started_at,
                known: known(container),
            })
            .collect(),
    })
}

fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}
