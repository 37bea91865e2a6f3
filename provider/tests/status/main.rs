//! Task to pod status, row by row: what ECS returns, and what the pod then shows.

mod probes;
mod properties;

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use aws_sdk_ecs::types::{Attachment, Container, KeyValuePair, Task, TaskStopCode, builders::TaskBuilder};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use neargate_provider::nodes::Node;
use neargate_provider::pods::decide::{self, Decision, NextAction, Question, Readiness, Seen, TaskView};
use neargate_provider::translate::init;
use serde_json::{Value, json};

static NODE: LazyLock<Node> =
    LazyLock::new(|| Node { name: "fargate".to_owned(), ip: Ipv4Addr::new(192, 0, 2, 1).into() });
const CREATED: i64 = 1_790_000_000;
const STARTED: i64 = CREATED + 10;
const ENDED: i64 = CREATED + 20;

fn pod(policy: &str, containers: &[&str]) -> Pod {
    let containers: Vec<Value> = containers
        .iter()
        .map(|name| json!({ "name": name, "image": "registry:5000/app:1", "resources": { "requests": { "cpu": "100m" } } }))
        .collect();
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "default", "uid": "uid" },
        "spec": { "restartPolicy": policy, "containers": containers },
        "status": { "phase": "Pending", "qosClass": "Burstable" },
    }))
    .expect("a pod")
}

fn task(last: &str) -> TaskBuilder {
    let desired = if matches!(last, "PROVISIONING" | "PENDING" | "ACTIVATING" | "RUNNING") {
        "RUNNING"
    } else {
        "STOPPED"
    };
    Task::builder()
        .task_arn("arn:aws:ecs:us-east-1:000000000000:task/default/0123")
        .cluster_arn("arn:aws:ecs:us-east-1:000000000000:cluster/default")
        .last_status(last)
        .desired_status(desired)
        .created_at(DateTime::from_secs(CREATED))
        .attachments(
            Attachment::builder()
                .r#type("ElasticNetworkInterface")
                .details(KeyValuePair::builder().name("privateIPv4Address").value("10.0.0.7").build())
                .build(),
        )
}

fn container(name: &str, code: Option<i32>, reason: Option<&str>) -> Container {
    Container::builder()
        .name(name)
        .image("registry:5000/app:1")
        .image_digest("sha256:abc")
        .runtime_id("0123-9")
        .set_exit_code(code)
        .set_reason(reason.map(str::to_owned))
        .build()
}

fn running() -> TaskBuilder {
    task("RUNNING").started_at(DateTime::from_secs(STARTED))
}

fn stopped(code: TaskStopCode, reason: &str) -> TaskBuilder {
    task("STOPPED")
        .stop_code(code)
        .stopped_reason(reason)
        .execution_stopped_at(DateTime::from_secs(ENDED))
        .stopped_at(DateTime::from_secs(ENDED + 1))
}

fn exited(codes: &[(&str, i32, Option<&str>)]) -> Task {
    let mut task = stopped(TaskStopCode::EssentialContainerExited, "Essential container in task exited")
        .started_at(DateTime::from_secs(STARTED));
    for (name, code, reason) in codes {
        task = task.containers(container(name, Some(*code), *reason));
    }
    task.build()
}

fn unstarted(reason: &str) -> Task {
    stopped(TaskStopCode::TaskFailedToStart, reason).containers(container("app", None, None)).build()
}

fn started_with_init(init: Option<i32>, app: i32) -> Task {
    stopped(TaskStopCode::EssentialContainerExited, "Essential container in task exited")
        .started_at(DateTime::from_secs(STARTED))
        .containers(container(init::NAME, init, None))
        .containers(container("app", Some(app), None))
        .build()
}

/// ECS's reason for a container that never ran because the previous one failed; ECS still gives it a code.
const WAITED_IN_VAIN: &str = "CannotStartContainerError: dependency graph: failed to resolve container ordering \
    dependency [neargate-init] for target [app] as dependency did not exit successfully.";

fn init_failed(code: Option<i32>, reason: Option<&str>, app: Option<&str>) -> Task {
    let stopped_reason = reason.or(app).unwrap_or_default();
    let never = Container::builder().name("app").exit_code(143).set_reason(app.map(str::to_owned));
    stopped(TaskStopCode::TaskFailedToStart, stopped_reason)
        .containers(container(init::NAME, code, reason))
        .containers(never.build())
        .build()
}

#[test]
fn a_failure_of_the_providers_own_container_is_reported_by_name_and_image() {
    let failed = view(init_failed(Some(1), None, Some(WAITED_IN_VAIN)));
    let status = decide_at(&pod("Always", &["app"]), &failed, ENDED).status.expect("a status");
    let waiting = status.container_statuses.expect("one")[0].state.clone().and_then(|state| state.waiting);
    assert_eq!(
        waiting.and_then(|waiting| waiting.message).as_deref(),
        Some(
            "container neargate-init (image registry:5000/app:1), which writes the pod's resolv.conf, hosts and \
             hostname, failed: it exited with 1"
        )
    );
}

fn decide_at(pod: &Pod, view: &TaskView, seconds: i64) -> Decision {
    let readiness = |_: &str| Readiness { started: true, ready: true };
    decide::decide(&Question {
        pod,
        view,
        readiness: &readiness,
        condemned: None,
        answered: false,
        node: &NODE,
        init: false,
        seen: Seen::default(),
        now: Timestamp::from_second(seconds).expect("a time"),
    })
}

fn view(task: Task) -> TaskView {
    TaskView::Task(Arc::new(task))
}

/// One line of a status: phase and reason, Ready, the address, then each container's state, last state and restarts.
fn summary(status: &PodStatus) -> String {
    let ready =
        status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready").expect("Ready");
    let mut line = format!(
        "{}{} ready={} ip={}",
        status.phase.as_deref().unwrap_or("-"),
        status.reason.as_ref().map(|reason| format!("({reason})")).unwrap_or_default(),
        ready.status,
        status.pod_ip.as_deref().unwrap_or("-"),
    );
    for container in status.container_statuses.iter().flatten() {
        let say = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
            let state = state.as_ref()?;
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            state
                .waiting
                .as_ref()
                .map(|waiting| format!("waiting {}", text(&waiting.reason)))
                .or_else(|| state.running.as_ref().map(|_| "running".to_owned()))
                .or_else(|| {
                    state
                        .terminated
                        .as_ref()
                        .map(|t| format!("terminated {} {}", text(&t.reason), t.exit_code))
                })
        };
        line.push_str(&format!("; {}: {}", container.name, say(&container.state).unwrap_or_default()));
        if let Some(last) = say(&container.last_state) {
            line.push_str(&format!(", last {last}"));
        }
        line.push_str(&format!(", restarts {}", container.restart_count));
    }
    line
}

#[test]
fn every_state_of_a_task_is_a_state_of_the_pod() {
    let oom = "OutOfMemoryError: Container killed due to memory usage";
    let rows: Vec<(&str, &str, Task, &str)> = vec![
        (
            "PROVISIONING",
            "Always",
            task("PROVISIONING").containers(container("app", None, None)).build(),
            "Pending ready=False ip=10.0.0.7; app: waiting ContainerCreating, restarts 0",
        ),
        (
            "PENDING",
            "Always",
            task("PENDING").containers(container("app", None, None)).build(),
            "Pending ready=False ip=10.0.0.7; app: waiting ContainerCreating, restarts 0",
        ),
        (
            "ACTIVATING",
            "Always",
            task("ACTIVATING").containers(container("app", None, None)).build(),
            "Pending ready=False ip=10.0.0.7; app: waiting ContainerCreating, restarts 0",
        ),
        (
            "RUNNING",
            "Always",
            running().containers(container("app", None, None)).build(),
            "Running ready=True ip=10.0.0.7; app: running, restarts 0",
        ),
        (
            "DEACTIVATING",
            "Always",
            task("DEACTIVATING")
                .started_at(DateTime::from_secs(STARTED))
                .containers(container("app", None, None))
                .build(),
            "Running ready=False ip=10.0.0.7; app: running, restarts 0",
        ),
        (
            "STOPPING",
            "Always",
            task("STOPPING")
                .started_at(DateTime::from_secs(STARTED))
                .containers(container("app", None, None))
                .build(),
            "Running ready=False ip=10.0.0.7; app: running, restarts 0",
        ),
        (
            "stopping, still RUNNING",
            "Always",
            running().desired_status("STOPPED").containers(container("app", None, None)).build(),
            "Running ready=False ip=10.0.0.7; app: running, restarts 0",
        ),
        (
            "DEPROVISIONING, every container has exited",
            "Never",
            task("DEPROVISIONING")
                .started_at(DateTime::from_secs(STARTED))
                .containers(container("app", Some(0), None))
                .build(),
            "Succeeded ready=False ip=10.0.0.7; app: terminated Completed 0, restarts 0",
        ),
        (
            "STOPPED, exit 0",
            "Never",
            exited(&[("app", 0, None)]),
            "Succeeded ready=False ip=10.0.0.7; app: terminated Completed 0, restarts 0",
        ),
        (
            "STOPPED, exit 0",
            "OnFailure",
            exited(&[("app", 0, None)]),
            "Succeeded ready=False ip=10.0.0.7; app: terminated Completed 0, restarts 0",
        ),
        (
            "STOPPED, exit 3",
            "Never",
            exited(&[("app", 3, None)]),
            "Failed ready=False ip=10.0.0.7; app: terminated Error 3, restarts 0",
        ),
        (
            "STOPPED, out of memory",
            "Never",
            exited(&[("app", 137, Some(oom))]),
            "Failed ready=False ip=10.0.0.7; app: terminated OOMKilled 137, restarts 0",
        ),
        (
            "STOPPED, killed, not out of memory",
            "Never",
            exited(&[("app", 137, None)]),
            "Failed ready=False ip=10.0.0.7; app: terminated Error 137, restarts 0",
        ),
        (
            "STOPPED, started, no code",
            "Never",
            stopped(TaskStopCode::InfrastructureHealth, "InternalError")
                .started_at(DateTime::from_secs(STARTED))
                .containers(container("app", None, None))
                .build(),
            "Failed ready=False ip=10.0.0.7; app: terminated ContainerStatusUnknown 137, restarts 0",
        ),
        (
            "STOPPED, exit 0, and how the provider's own container ended is unknown",
            "Never",
            started_with_init(None, 0),
            "Succeeded ready=False ip=10.0.0.7; app: terminated Completed 0, restarts 0",
        ),
        (
            "STOPPED, out of memory, alone beside the provider's own container",
            "Never",
            stopped(TaskStopCode::EssentialContainerExited, oom)
                .started_at(DateTime::from_secs(STARTED))
                .containers(container(init::NAME, Some(0), None))
                .containers(container("app", Some(137), None))
                .build(),
            "Failed ready=False ip=10.0.0.7; app: terminated OOMKilled 137, restarts 0",
        ),
        (
            "the provider's own container failed",
            "Always",
            init_failed(Some(1), None, Some(WAITED_IN_VAIN)),
            "Pending ready=False ip=-; app: waiting CreateContainerConfigError, restarts 0",
        ),
        (
            "the provider's own container failed",
            "Never",
            init_failed(Some(1), None, Some(WAITED_IN_VAIN)),
            "Failed(TaskFailedToStart) ready=False ip=10.0.0.7; app: waiting CreateContainerConfigError, restarts 0",
        ),
        (
            "the image of the provider's own container absent",
            "Always",
            init_failed(None, Some("CannotPullContainerError: not found"), None),
            "Pending ready=False ip=-; app: waiting CreateContainerConfigError, restarts 0",
        ),
        (
            "image absent, the provider's own container stopped for it",
            "Always",
            init_failed(Some(137), None, Some("CannotPullContainerError: not found")),
            "Pending ready=False ip=-; app: waiting ErrImagePull, restarts 0",
        ),
        (
            "image absent",
            "Never",
            unstarted("CannotPullContainerError: not found"),
            "Failed(TaskFailedToStart) ready=False ip=10.0.0.7; app: waiting ErrImagePull, restarts 0",
        ),
        (
            "image absent",
            "Always",
            unstarted("CannotPullContainerError: not found"),
            "Pending ready=False ip=-; app: waiting ErrImagePull, restarts 0",
        ),
        (
            "log group absent",
            "OnFailure",
            unstarted("ResourceInitializationError: failed to validate logger args"),
            "Pending ready=False ip=-; app: waiting CreateContainerConfigError, restarts 0",
        ),
        (
            "runtime timeout",
            "Always",
            unstarted("ContainerRuntimeTimeoutError: Could not transition to running"),
            "Pending ready=False ip=-; app: waiting RunContainerError, restarts 0",
        ),
        (
            "Spot",
            "Always",
            stopped(TaskStopCode::SpotInterruption, "Your Spot Task was interrupted.")
                .started_at(DateTime::from_secs(STARTED))
                .containers(container("app", Some(143), None))
                .build(),
            "Failed(Terminated) ready=False ip=10.0.0.7; app: terminated Error 143, restarts 0",
        ),
        (
            "retired",
            "OnFailure",
            stopped(TaskStopCode::TerminationNotice, "retired")
                .started_at(DateTime::from_secs(STARTED))
                .containers(container("app", Some(0), None))
                .build(),
            "Failed(Terminated) ready=False ip=10.0.0.7; app: terminated Completed 0, restarts 0",
        ),
        (
            "exit 0, run again",
            "Always",
            exited(&[("app", 0, None)]),
            "Running ready=False ip=-; app: waiting ContainerCreating, last terminated Completed 0, restarts 1",
        ),
        (
            "exit 3, run again",
            "OnFailure",
            exited(&[("app", 3, None)]),
            "Running ready=False ip=-; app: waiting ContainerCreating, last terminated Error 3, restarts 1",
        ),
    ];
    for (name, policy, task, expected) in rows {
        let decision = decide_at(&pod(policy, &["app"]), &view(task), ENDED + 1);
        let status = decision.status.unwrap_or_else(|| panic!("{name}: no status"));
        let line = summary(&status);
        assert!(
            line.starts_with(expected),
            "{name} under {policy}:\n  is       {line}\n  expected {expected}"
        );
        assert_eq!(status.qos_class.as_deref(), Some("Burstable"), "{name}: what the API server set stays");
        assert_eq!(
            status.host_ip.as_deref(),
            Some("192.0.2.1"),
            "{name}: hostIP is the node's, not the pod's"
        );
        assert_eq!(status.start_time.as_ref().map(|at| at.0.as_second()), Some(CREATED), "{name}");
    }
}

#[test]
fn times_and_names_are_the_tasks_own() {
    let decision = decide_at(&pod("Never", &["app"]), &view(exited(&[("app", 3, None)])), ENDED + 500);
    let status = serde_json::to_value(decision.status.expect("a status")).expect("plain JSON");
    let container = &status["containerStatuses"][0];
    let instant = |seconds: i64| json!(Timestamp::from_second(seconds).expect("a time").to_string());
    assert_eq!(container["state"]["terminated"]["startedAt"], instant(STARTED));
    assert_eq!(
        container["state"]["terminated"]["finishedAt"],
        instant(ENDED),
        "when it exited, not when it was seen"
    );
    assert_eq!(container["containerID"], "ecs://default/0123/0123-9");
    assert_eq!(container["imageID"], "registry:5000/app@sha256:abc", "a port is not a tag");
    assert_eq!(container["allocatedResources"]["cpu"], "100m");
}

#[test]
fn a_sibling_that_was_stopped_for_anothers_memory_is_not_out_of_memory() {
    let oom = "OutOfMemoryError: Container killed due to memory usage";
    let task = exited(&[("app", 137, Some(oom)), ("sidecar", 143, None)]);
    let status =
        decide_at(&pod("Always", &["app", "sidecar"]), &view(task), ENDED + 1).status.expect("a status");
    assert_eq!(
        summary(&status),
        "Running ready=False ip=-; app: waiting ContainerCreating, last terminated OOMKilled 137, restarts 1; \
         sidecar: waiting ContainerCreating, last terminated Error 143, restarts 1"
    );
}

#[test]
fn a_spot_interruption_shows_why_in_a_condition() {
    let task = stopped(TaskStopCode::SpotInterruption, "Your Spot Task was interrupted.")
        .started_at(DateTime::from_secs(STARTED))
        .containers(container("app", Some(143), None))
        .build();
    let status = decide_at(&pod("Always", &["app"]), &view(task), ENDED).status.expect("a status");
    let conditions = status.conditions.expect("conditions");
    let disrupted =
        conditions.iter().find(|condition| condition.type_ == "DisruptionTarget").expect("the condition");
    assert_eq!(
        (disrupted.status.as_str(), disrupted.reason.as_deref()),
        ("True", Some("TerminationByKubelet"))
    );
}

#[test]
fn a_deadline_stops_the_task_and_fails_the_pod_under_every_policy() {
    let mut pod = pod("Always", &["app"]);
    pod.spec.as_mut().expect("a spec").active_deadline_seconds = Some(60);
    let alive = view(running().containers(container("app", None, None)).build());
    let first = decide_at(&pod, &alive, CREATED + 30);
    pod.status = first.status;
    let again = decide_at(&pod, &alive, CREATED + 30);
    assert_eq!(
        again.then,
        NextAction::Wait(Some(std::time::Duration::from_secs(30))),
        "woken when it is due"
    );
    assert!(matches!(decide_at(&pod, &alive, CREATED + 60).then, NextAction::Stop { .. }));
    let over = decide_at(&pod, &view(exited(&[("app", 143, None)])), CREATED + 70).status.expect("a status");
    assert_eq!(
        summary(&over),
        "Failed(DeadlineExceeded) ready=False ip=10.0.0.7; app: terminated Error 143, restarts 0"
    );
}

#[test]
fn readiness_gates_and_others_conditions_are_kept() {
    let mut pod = pod("Always", &["app"]);
    pod.spec.as_mut().expect("a spec").readiness_gates =
        serde_json::from_value(json!([{ "conditionType": "lb.example.com/attached" }])).expect("gates");
    let alive = view(running().containers(container("app", None, None)).build());
    let ready = |pod: &Pod| {
        let status = decide_at(pod, &alive, STARTED + 1).status.expect("a status");
        let conditions = status.conditions.expect("conditions");
        let of = |kind: &str| conditions.iter().find(|c| c.type_ == kind).map(|c| c.status.clone());
        (of("Ready"), of("ContainersReady"), of("lb.example.com/attached"))
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(ready(&pod), (text("False"), text("True"), None));
    pod.status.as_mut().expect("a status").conditions =
        serde_json::from_value(json!([{ "type": "lb.example.com/attached", "status": "True" }]))
            .expect("conditions");
    assert_eq!(ready(&pod), (text("True"), text("True"), text("True")));
}
