//! The parts of a status, and how it is built: one place writes the fields, so that no situation forgets one.
//!
//! The parts of the status that are not the provider's (others' conditions, the QoS class that the API server sets) stay.

use aws_sdk_ecs::types::Task;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
        Pod, PodIP, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{
    conditions::{self, Inputs, whole_seconds},
    phase::Phase,
    recorded, task,
};
use crate::nodes::Node;

/// The prober's verdict on a container; both `true` if it has nothing to probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// Its startup probe has succeeded.
    pub started: bool,
    /// Its readiness probe succeeds.
    pub ready: bool,
}

/// What a status is computed from, in addition to the task.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The pod as it is.
    pub pod: &'a Pod,
    /// The pod's node.
    pub node: &'a Node,
    /// The current instant.
    pub now: Timestamp,
    /// The prober's verdicts, by container.
    pub readiness: &'a (dyn Fn(&str) -> Readiness + Sync),
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").field("node", &self.node).field("now", &self.now).finish_non_exhaustive()
    }
}

pub(super) fn time(at: Timestamp) -> Time {
    Time(whole_seconds(at))
}

/// One container in the status.
pub(super) struct ContainerView {
    pub(super) state: ContainerState,
    /// `None` keeps what the pod has.
    pub(super) last: Option<ContainerState>,
    pub(super) ready: bool,
    pub(super) started: bool,
    pub(super) container_id: String,
    pub(super) image_id: String,
}

impl ContainerView {
    pub(super) fn waiting(reason: &str, message: Option<String>) -> Self {
        let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
        let state = ContainerState { waiting: Some(waiting), ..ContainerState::default() };
        Self {
            state,
            last: None,
            ready: false,
            started: false,
            container_id: String::new(),
            image_id: String::new(),
        }
    }

    pub(super) fn terminated(terminated: ContainerStateTerminated) -> Self {
        let container_id = terminated.container_id.clone().unwrap_or_default();
        let state = ContainerState { terminated: Some(terminated), ..ContainerState::default() };
        Self { state, last: None, ready: false, started: false, container_id, image_id: String::new() }
    }

    /// With the image from the task.
    pub(super) fn of(mut self, container: Option<&aws_sdk_ecs::types::Container>) -> Self {
        self.image_id = container.map(task::image_id).unwrap_or_default();
        self
    }
}

/// Everything that a status contains.
pub(super) struct Shape<'a> {
    pub(super) phase: Phase,
    pub(super) attempt: u32,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) shown: Vec<ContainerView>,
    /// The task whose interface the pod has.
    pub(super) networked: Option<&'a Task>,
    pub(super) created: Option<Timestamp>,
    pub(super) disrupted: Option<&'a str>,
}

impl<'a> Shape<'a> {
    pub(super) fn new(facts: &Facts<'_>, phase: Phase, shown: Vec<ContainerView>) -> Self {
        Self {
            phase,
            attempt: recorded::attempt(facts.pod),
            reason: None,
            message: None,
            shown,
            networked: None,
            created: None,
            disrupted: None,
        }
    }

    pub(super) fn on(mut self, task: &'a Task) -> Self {
        self.networked = Some(task);
        self.created = task::created_at(task);
        self
    }

    pub(super) fn render(self, facts: &Facts<'_>) -> PodStatus {
        let mut status = facts.pod.status.clone().unwrap_or_default();
        let containers = containers(facts.pod);
        let unready: Vec<&str> = containers
            .iter()
            .zip(&self.shown)
            .filter_map(|(container, shown)| (!shown.ready).then_some(container.name.as_str()))
            .collect();
        let ips = self.networked.map(task::addresses).unwrap_or_default();
        status.conditions = Some(conditions::conditions(
            facts.pod,
            &Inputs {
                phase: self.phase,
                networked: !ips.is_empty(),
                unready,
                disrupted: self.disrupted,
                now: facts.now,
            },
        ));
        let current = recorded::statuses(facts.pod);
        let restarts = i32::try_from(self.attempt).unwrap_or(i32::MAX);
        let rendered = containers.iter().zip(self.shown).map(|(container, shown)| {
            let before = current.iter().find(|status| status.name == container.name);
            let last = shown.last.or_else(|| before.and_then(|before| before.last_state.clone()));
            ContainerStatus {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
                image_id: shown.image_id,
                container_id: Some(shown.container_id).filter(|id| !id.is_empty()),
                state: Some(shown.state),
                last_state: last.filter(|last| *last != ContainerState::default()),
                ready: shown.ready,
                started: Some(shown.started),
                restart_count: restarts,
                allocated_resources: container
                    .resources
                    .as_ref()
                    .and_then(|resources| resources.requests.clone()),
                resources: container.resources.clone(),
                ..before.cloned().unwrap_or_default()
            }
        });
        status.container_statuses = Some(rendered.collect());
        status.phase = Some(self.phase.as_str().to_owned());
        status.reason = self.reason;
        status.message = self.message;
        status.host_ip = Some(facts.node.ip.to_string());
        status.host_ips = Some(vec![HostIP { ip: facts.node.ip.to_string() }]);
        status.pod_ip = ips.first().cloned();
        status.pod_ips =
            Some(ips.into_iter().map(|ip| PodIP { ip }).collect::<Vec<_>>()).filter(|ips| !ips.is_empty());
        status.start_time = status.start_time.or_else(|| Some(time(self.created.unwrap_or(facts.now))));
        status
    }
}

pub(super) fn containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default()
}

pub(super) fn each<'a>(
    facts: &'a Facts<'_>,
    show: impl Fn(&'a Container) -> ContainerView,
) -> Vec<ContainerView> {
    containers(facts.pod).iter().map(show).collect()
}
