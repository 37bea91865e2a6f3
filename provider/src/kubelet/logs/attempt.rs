//! Which task's output a request means, and whether more of it can follow.
//!
//! The rules and the wording are the kubelet's (`validateContainerLogStatus` in `pkg/kubelet/kubelet_pods.go`): the container id in
//! the status decides whose log it is, and ours names the task. Only the status is trusted: a user who may write a pod's
//! annotations could make them name another pod's task, and so read its log.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

/// Why a pod's container has no log to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::kubelet) enum Error {
    /// The pod has no such container.
    #[error("container {container:?} not found in pod {pod:?}")]
    NoContainer {
        /// The container.
        container: String,
        /// The pod's name.
        pod: String,
    },
    /// The container has no status yet.
    #[error("container {container:?} in pod {pod:?} is not available")]
    NoStatus {
        /// The container.
        container: String,
        /// The pod's name.
        pod: String,
    },
    /// The container has not run yet.
    #[error("container {container:?} in pod {pod:?} is waiting to start: {why}")]
    Waiting {
        /// The container.
        container: String,
        /// The pod's name.
        pod: String,
        /// Why it waits, in the kubelet's words.
        why: String,
    },
    /// The container ended without having run.
    #[error("container {container:?} in pod {pod:?} is terminated")]
    NeverRan {
        /// The container.
        container: String,
        /// The pod's name.
        pod: String,
    },
    /// There was no attempt before this one.
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious {
        /// The container.
        container: String,
        /// The pod's name.
        pod: String,
    },
}

/// The id of the task that has the requested output.
pub(super) fn choose(pod: &Pod, container: &str, previous: bool) -> Result<String, Error> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let at = || (container.to_owned(), name.clone());
    if !has_container(pod, container) {
        let (container, pod) = at();
        return Err(Error::NoContainer { container, pod });
    }
    let Some(status) = status_of(pod, container) else {
        let (container, pod) = at();
        return Err(Error::NoStatus { container, pod });
    };
    let state = status.state.clone().unwrap_or_default();
    if previous {
        return ended_task(status.last_state.as_ref()).ok_or_else(|| {
            let (container, pod) = at();
            Error::NoPrevious { container, pod }
        });
    }
    if state.running.is_some() {
        return current_task(status).ok_or_else(|| {
            let (container, pod) = at();
            Error::Waiting { container, pod, why: "no logs yet".to_owned() }
        });
    }
    if state.terminated.is_some() {
        // If an attempt never ran, the previous one is shown.
        let ended = ended_task(Some(&state)).or_else(|| ended_task(status.last_state.as_ref()));
        return ended.ok_or_else(|| {
            let (container, pod) = at();
            Error::NeverRan { container, pod }
        });
    }
    // Between two attempts the last one's output is shown.
    if let Some(last) = ended_task(status.last_state.as_ref()) {
        return Ok(last);
    }
    let (container, pod) = at();
    Err(match state.waiting.and_then(|waiting| waiting.reason) {
        Some(reason) if reason == "ErrImagePull" => {
            Error::Waiting { container, pod, why: "image can't be pulled".to_owned() }
        }
        Some(reason) if reason == "ImagePullBackOff" => {
            Error::Waiting { container, pod, why: "trying and failing to pull image".to_owned() }
        }
        Some(why) => Error::Waiting { container, pod, why },
        None => Error::Waiting { container, pod, why: "no logs yet".to_owned() },
    })
}

/// Whether the container of that task has ended, so that its stream is complete. `pod` is the object that the API server now has
/// under the pod's name.
#[must_use]
pub(super) fn has_ended(pod: Option<&Pod>, uid: Option<&str>, container: &str, task: &str) -> bool {
    let Some(pod) = pod.filter(|pod| pod.metadata.uid.as_deref() == uid) else {
        return true;
    };
    let Some(status) = status_of(pod, container) else {
        return false;
    };
    let state = status.state.clone().unwrap_or_default();
    if state.terminated.is_some() {
        return true;
    }
    if state.running.is_some() {
        return current_task(status).is_some_and(|current| current != task);
    }
    ended_task(status.last_state.as_ref()).is_some_and(|last| last == task)
}

/// Whether the pod's spec names the container, of whichever kind.
fn has_container(pod: &Pod, container: &str) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| &container.name);
        let init = spec.init_containers.iter().flatten().map(|container| &container.name);
        spec.containers
            .iter()
            .map(|container| &container.name)
            .chain(init)
            .chain(ephemeral)
            .any(|name| name == container)
    })
}

fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses]
        .into_iter()
        .flatten()
        .flatten()
        .find(|status| status.name == container)
}

/// The task of a container that runs.
fn current_task(status: &ContainerStatus) -> Option<String> {
    status.container_id.as_deref().and_then(task_in).map(ToOwned::to_owned)
}

/// The task that a terminated state names.
fn ended_task(state: Option<&ContainerState>) -> Option<String> {
    let id = state?.terminated.as_ref()?.container_id.as_deref()?;
    task_in(id).map(ToOwned::to_owned)
}

/// The task in a container's id, `ecs://cluster/task/runtime-id`.
fn task_in(container_id: &str) -> Option<&str> {
    let mut parts = container_id.strip_prefix("ecs://")?.split('/');
    parts.nth(1).filter(|task| !task.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A pod with one container, in that status.
    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "web", "namespace": "default", "uid": "u1",
                "annotations": { "neargate.dev/task-arn": "arn:aws:ecs:eu-west-1:000000000000:task/pods/theirs" },
            },
            "spec": { "containers": [{ "name": "main" }, { "name": "late" }] },
            "status": { "containerStatuses": [status] },
        }))
        .unwrap()
    }

    fn status(state: Value, last: Value) -> Value {
        json!({
            "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "containerID": "ecs://pods/now/r0",
            "state": state, "lastState": last,
        })
    }

    fn terminated(id: &str) -> Value {
        json!({ "terminated": { "exitCode": 1, "containerID": id } })
    }

    #[test]
    fn the_task_is_the_one_that_a_kubelet_would_show_the_log_of() {
        let running = json!({ "running": {} });
        let waiting = |reason: &str| json!({ "waiting": { "reason": reason } });
        let says = |why: &str| Err(format!("container \"main\" in pod \"web\" is waiting to start: {why}"));
        let task = |id: &str| Ok(id.to_owned());
        let cases = [
            // state, last state, current, previous
            (running.clone(), json!({}), task("now"), None),
            (running, terminated("ecs://pods/first/r1"), task("now"), Some("first")),
            (terminated("ecs://pods/second/r2"), json!({}), task("second"), None),
            (terminated(""), terminated("ecs://pods/first/r1"), task("first"), Some("first")),
            (
                terminated(""),
                json!({}),
                Err("container \"main\" in pod \"web\" is terminated".to_owned()),
                None,
            ),
            (waiting("CrashLoopBackOff"), terminated("ecs://pods/third/r3"), task("third"), Some("third")),
            (waiting("CrashLoopBackOff"), terminated(""), says("CrashLoopBackOff"), None),
            (waiting("ContainerCreating"), json!({}), says("ContainerCreating"), None),
            (waiting("ErrImagePull"), json!({}), says("image can't be pulled"), None),
            (waiting("ImagePullBackOff"), json!({}), says("trying and failing to pull image"), None),
            (json!({}), json!({}), says("no logs yet"), None),
        ];
        for (state, last, current, previous) in cases {
            let pod = pod(status(state.clone(), last.clone()));
            let named = |previous| choose(&pod, "main", previous).map_err(|error| error.to_string());
            assert_eq!(named(false), current, "{state} {last}");
            let missing = "previous terminated container \"main\" in pod \"web\" not found".to_owned();
            assert_eq!(named(true), previous.map(ToOwned::to_owned).ok_or(missing), "{state} {last}");
        }
    }

    #[test]
    fn a_container_without_status_is_not_available_and_one_without_spec_is_not_found() {
        let pod = pod(status(json!({}), json!({})));
        let error = |container| choose(&pod, container, false).unwrap_err().to_string();
        assert_eq!(error("late"), "container \"late\" in pod \"web\" is not available");
        assert_eq!(error("none"), "container \"none\" not found in pod \"web\"");
    }

    #[test]
    fn an_attempt_has_ended_once_nothing_of_its_task_can_run() {
        let ended = |pod: &Pod, uid, task| has_ended(Some(pod), Some(uid), "main", task);
        let running = pod(status(json!({ "running": {} }), terminated("ecs://pods/before/r1")));
        assert!(!ended(&running, "u1", "now"));
        assert!(ended(&running, "u1", "before"), "an attempt before the current one");
        assert!(ended(&running, "u2", "now"), "a pod of the same name");
        assert!(has_ended(None, Some("u1"), "main", "now"), "a pod that is gone");
        assert!(ended(&pod(status(terminated("ecs://pods/now/r1"), json!({}))), "u1", "now"));
        let backoff = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        assert!(ended(&pod(status(backoff, terminated("ecs://pods/now/r1"))), "u1", "now"));
        let creating = pod(status(json!({ "waiting": { "reason": "ContainerCreating" } }), json!({})));
        assert!(!ended(&creating, "u1", "now"), "a status that steps back does not end a reader");
    }
}
