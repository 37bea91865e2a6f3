//! A pod's conditions, as the kubelet keeps them (`pkg/kubelet/status/generate.go`).

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::phase::Phase;

/// The conditions that the provider keeps; all others on the pod (readiness gates, `DisruptionTarget`) belong to
/// others and stay as they are.
const OURS: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// What the conditions are computed from.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    pub(super) phase: Phase,
    /// Whether the task has its network interface.
    pub(super) networked: bool,
    /// Containers that are not ready.
    pub(super) unready: Vec<&'a str>,
    /// Why Fargate took the task back, if it did.
    pub(super) disrupted: Option<&'a str>,
    pub(super) now: Timestamp,
}

struct ConditionValue {
    status: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

/// All conditions of the pod: the provider's own, then the others'.
pub(super) fn conditions(pod: &Pod, inputs: &Inputs<'_>) -> Vec<PodCondition> {
    let current = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = || match containers_ready(inputs) {
        containers if containers.status => gates(pod, current).unwrap_or(containers),
        containers => containers,
    };
    let mut conditions: Vec<_> = OURS
        .into_iter()
        .map(|kind| {
            let value = match kind {
                "PodReadyToStartContainers" => value(inputs.networked && !inputs.phase.is_final()),
                "Initialized" if inputs.phase == Phase::Succeeded => because(true, "PodCompleted", None),
                "Ready" => ready(),
                "ContainersReady" => containers_ready(inputs),
                _ => value(true),
            };
            condition(current, kind, value, inputs.now)
        })
        .collect();
    let others = current.iter().filter(|condition| !OURS.contains(&condition.type_.as_str()));
    match inputs.disrupted {
        None => conditions.extend(others.cloned()),
        Some(message) => {
            conditions.extend(others.filter(|condition| condition.type_ != "DisruptionTarget").cloned());
            let disrupted = because(true, "TerminationByKubelet", Some(message.to_owned()));
            conditions.push(condition(current, "DisruptionTarget", disrupted, inputs.now));
        }
    }
    conditions
}

fn value(status: bool) -> ConditionValue {
    ConditionValue { status, reason: None, message: None }
}

fn because(status: bool, reason: &'static str, message: Option<String>) -> ConditionValue {
    ConditionValue { status, reason: Some(reason), message }
}

fn containers_ready(inputs: &Inputs<'_>) -> ConditionValue {
    match inputs.phase {
        Phase::Succeeded => because(false, "PodCompleted", None),
        Phase::Failed => because(false, "PodFailed", None),
        Phase::Pending | Phase::Running if inputs.unready.is_empty() => value(true),
        Phase::Pending | Phase::Running => {
            let message = format!("containers with unready status: [{}]", inputs.unready.join(" "));
            because(false, "ContainersNotReady", Some(message))
        }
    }
}

/// The value for a readiness gate that is not True; `None` if all are.
fn gates(pod: &Pod, current: &[PodCondition]) -> Option<ConditionValue> {
    let gates = pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    let unmet: Vec<String> = gates
        .iter()
        .filter_map(|gate| {
            let kind = &gate.condition_type;
            match current.iter().find(|condition| condition.type_ == *kind) {
                None => {
                    Some(format!("corresponding condition of pod readiness gate {kind:?} does not exist."))
                }
                Some(condition) if condition.status != "True" => Some(format!(
                    "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                    condition.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    (!unmet.is_empty()).then(|| because(false, "ReadinessGatesNotReady", Some(unmet.join(", "))))
}

/// Kubernetes stores times in whole seconds; a status with more would always differ from what is stored.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The condition, its transition time kept if its status is what it was.
fn condition(current: &[PodCondition], kind: &str, value: ConditionValue, now: Timestamp) -> PodCondition {
    let status = if value.status { "True" } else { "False" };
    let before = current.iter().find(|condition| condition.type_ == kind);
    let unchanged = before.filter(|before| before.status == status);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: value.reason.map(str::to_owned),
        message: value.message,
        last_transition_time: unchanged
            .and_then(|before| before.last_transition_time.clone())
            .or_else(|| Some(Time(whole_seconds(now)))),
        last_probe_time: before.and_then(|before| before.last_probe_time.clone()),
        observed_generation: before.and_then(|before| before.observed_generation),
    }
}
