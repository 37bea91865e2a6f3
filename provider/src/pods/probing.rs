//! The pods that are probed, and the results of their probes.

use aws_sdk_ecs::types::Task;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use kube::ResourceExt;

use super::{
    decide::{self, Condemned, Readiness, TaskView, events::Event, task},
    memory::Memory,
};
use crate::probes::{self, Kind, Prober, Target, Verdict};

/// The prober, and the memory that has its probes and verdicts.
#[derive(Debug)]
pub(super) struct Probing {
    prober: Prober,
    memory: Memory,
}

impl Probing {
    pub(super) fn new(prober: Prober, memory: Memory) -> Self {
        Self { prober, memory }
    }

    /// Probes the pod while its task runs, and no longer; not at all if the pod is gone.
    pub(super) fn follow(&self, pod: &Pod, view: &TaskView) {
        let target = match view {
            TaskView::Task(task) => target(pod, task),
            // Until AWS reports otherwise, what ran still runs.
            TaskView::Unknown => return,
            TaskView::None | TaskView::Missing => None,
        };
        self.memory.of(&pod.uid().unwrap_or_default(), |remembered| match target {
            Some(target) => self.prober.watch(&mut remembered.watched, target),
            None => remembered.watched = None,
        });
    }

    pub(super) fn readiness(&self, uid: &str, container: &str) -> Readiness {
        let verdict = self
            .memory
            .of(uid, |remembered| remembered.watched.as_ref().map(|watched| watched.verdict(container)));
        let Verdict { started, ready } = verdict.flatten().unwrap_or_default();
        Readiness { started, ready }
    }

    /// The container that a probe has given up in the pod's current attempt.
    pub(super) fn condemned(&self, pod: &Pod) -> Option<Condemned> {
        let condemned = self.memory.of(&pod.uid()?, |remembered| remembered.condemned.clone());
        let (attempt, condemned) = condemned.flatten()?;
        (attempt == decide::attempt(pod)).then_some(condemned)
    }

    /// Handles a report of the prober. Returns the event to be sent, if any; every report is a reason to reconcile the
    /// pod.
    pub(super) fn handle_event(&self, event: &probes::Event) -> Option<Event> {
        let warning = |reason| {
            let warning = Event::warning(reason, "Probing", event.message.clone());
            Some(warning.of(&event.container))
        };
        let probe = match event.kind {
            Kind::ReadinessChanged => return None,
            Kind::Unhealthy => return warning("Unhealthy"),
            Kind::Warning => return warning("ProbeWarning"),
            Kind::LivenessFailed => "liveness",
            Kind::StartupFailed => "startup",
        };
        let condemned =
            Condemned { container: event.container.clone(), probe, message: event.message.clone() };
        self.memory.of(&event.uid, |remembered| remembered.condemned = Some((event.attempt, condemned)));
        None
    }
}

/// What is to be probed of the pod: the running containers, once the task has its address.
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
        attempt: decide::attempt(pod),
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
