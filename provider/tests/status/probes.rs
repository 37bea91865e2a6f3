//! Exec probes: ECS's health check of a container is the verdict on them.

use aws_sdk_ecs::types::HealthStatus;
use neargate_provider::pods::decide::NextAction;
use serde_json::json;

use super::{STARTED, container, decide_at, pod, running, summary, view};

#[test]
fn a_health_check_is_the_exec_readiness_probe_after_its_delay() {
    let mut pod = pod("Always", &["app"]);
    let containers = &mut pod.spec.as_mut().expect("a spec").containers;
    containers[0].readiness_probe = serde_json::from_value(json!({
        "exec": { "command": ["true"] }, "initialDelaySeconds": 30,
    }))
    .expect("a probe");
    let with = |health: HealthStatus| {
        let mut container = container("app", None, None);
        container.health_status = Some(health);
        view(running().containers(container).build())
    };
    let ready = |health, after: i64| {
        let decision = decide_at(&pod, &with(health), STARTED + after);
        (summary(&decision.status.expect("a status")).contains("ready=True"), decision.then)
    };
    assert!(!ready(HealthStatus::UnknownValue, 60).0);
    assert!(!ready(HealthStatus::Unhealthy, 60).0);
    let (early, then) = ready(HealthStatus::Healthy, 10);
    assert!(
        !early && then == NextAction::Wait(Some(std::time::Duration::from_secs(20))),
        "decided again when it is over"
    );
    assert!(ready(HealthStatus::Healthy, 30).0);
    assert!(matches!(ready(HealthStatus::Unhealthy, 60).1, NextAction::Wait(_)), "readiness stops nothing");
}

#[test]
fn an_unhealthy_container_is_stopped_for_its_exec_liveness_probe() {
    let mut pod = pod("Always", &["app"]);
    pod.spec.as_mut().expect("a spec").containers[0].liveness_probe =
        serde_json::from_value(json!({ "exec": { "command": ["true"] } })).expect("a probe");
    let mut unhealthy = container("app", None, None);
    unhealthy.health_status = Some(HealthStatus::Unhealthy);
    let decision = decide_at(&pod, &view(running().containers(unhealthy).build()), STARTED + 60);
    assert!(matches!(decision.then, NextAction::Stop { .. }), "ECS does not stop it: {:?}", decision.then);
    let reasons: Vec<_> = decision.events.iter().map(|event| event.reason).collect();
    assert_eq!(reasons, ["Unhealthy", "Killing"]);
}
