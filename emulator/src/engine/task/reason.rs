//! The sentences that ECS gives as `stoppedReason` and `reason`.
//!
//! Source: Amazon ECS developer guide, "Stopped task error messages", and amazon-ecs-agent `agent/dockerapi/errors.go`
//! and `agent/engine/dependencygraph/graph.go`.

use crate::runtime;

pub const ESSENTIAL_CONTAINER_EXITED: &str = "Essential container in task exited";
pub const STOPPED_BY_USER: &str = "Task stopped by user";
pub const FAILED_TO_START: &str = "Task failed to start";
pub const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
/// The container disappeared from the runtime unobserved, so its exit code is lost.
pub const LOST: &str = "InternalError: The container is no longer known to the container runtime";

/// The data directory is a copy, and the task runs under the original.
pub const COPIED: &str = "InternalError: The data directory was copied from one whose instance runs the task";

/// The task's network namespace no longer exists.
pub const SANDBOX_LOST: &str = "InternalError: The network interface of the task is no longer there";

/// The log group of a container does not exist, and is not to be created.
pub fn log_group_missing() -> String {
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to \
     create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1"
        .to_owned()
}

/// Why an image could not be pulled.
pub fn cannot_pull(error: &runtime::Error) -> String {
    let attempts = match error {
        runtime::Error::ImageUnreachable { .. } => 5,
        _ => 1,
    };
    let image = match error {
        runtime::Error::ImageNotFound { image, .. } | runtime::Error::ImageUnreachable { image, .. } => {
            image.as_str()
        }
        _ => "",
    };
    format!(
        "CannotPullContainerError: pull image manifest has been retried {attempts} time(s): failed to resolve ref \
         {image}: {error}"
    )
}

/// The container could not be created.
pub fn cannot_create(error: &runtime::Error) -> String {
    format!("CannotCreateContainerError: {error}")
}

/// The container could not be started. If its OCI runtime refused it (the image lacks the program, it may not be run),
/// the runtime's text follows that of Fargate's containerd.
pub fn cannot_start(error: &runtime::Error) -> String {
    const RUNC: &str = "runc create failed: ";
    let reason = error.reason();
    match error {
        runtime::Error::NoAnswer { .. } => format!(
            "ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting: {reason}"
        ),
        _ => match reason.find(RUNC) {
            Some(at) => format!(
                "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime \
                 task: failed to create shim task: OCI runtime create failed: {}",
                &reason[at..]
            ),
            None => format!(
                "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime \
                 task: {reason}"
            ),
        },
    }
}

/// The container could not be stopped.
pub fn cannot_stop(error: &runtime::Error) -> String {
    format!("CannotStopContainerError: failed sending SIGTERM to container: {}", error.reason())
}

/// What the task's containers share could not be created.
pub fn cannot_initialize(error: &runtime::Error) -> String {
    match error {
        runtime::Error::Volume { .. } => format!("CannotCreateVolumeError: {error}"),
        _ => format!("ResourceInitializationError: failed to set up the task: {error}"),
    }
}

/// Why the task stopped, and what could not be removed.
pub fn left_behind(stopped: &str, left: &str) -> String {
    let left = format!("InternalError: not everything could be removed: {left}");
    if stopped.is_empty() { left } else { format!("{stopped} ({left})") }
}

/// No sandbox could be created for the task: with all causes.
pub fn cannot_provision(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    format!("ResourceInitializationError: failed to configure ENI: {}", causes.join(": "))
}

/// A dependency can never reach its condition.
pub fn dependency_failed(dependency: &str, target: &str, because: &str) -> String {
    format!(
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [{dependency}] \
         for target [{target}] {because}"
    )
}
