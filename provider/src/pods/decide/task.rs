//! The fields of a task, read as the provider needs them.

use aws_sdk_ecs::types::{Container, Task, TaskStopCode};
use aws_smithy_types::DateTime;
use jiff::Timestamp;

use crate::translate::{
    init,
    run::{ATTEMPT_TAG, POD_UID_TAG},
    size::Size,
};

/// The state of a task; ECS's `lastStatus`, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// PROVISIONING, PENDING, ACTIVATING: on its way up.
    Starting,
    /// RUNNING.
    Running,
    /// DEACTIVATING, STOPPING, DEPROVISIONING: on its way down.
    Stopping,
    /// STOPPED, or DELETED.
    Stopped,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every container exited with 0.
    Completed,
    /// A container exited otherwise, or no one knows how.
    Failed,
    /// No container ever ran.
    NotStarted,
    /// Fargate took it back.
    Interrupted,
    /// ECS no longer knows it.
    Lost,
}

/// The task's ARN.
#[must_use]
pub fn arn(task: &Task) -> &str {
    task.task_arn().unwrap_or_default()
}

/// Its state. A status that ECS may add counts as on its way up until it has started, on its way down after.
#[must_use]
pub fn status(task: &Task) -> Status {
    match task.last_status().unwrap_or_default() {
        "RUNNING" => Status::Running,
        "DEACTIVATING" | "STOPPING" | "DEPROVISIONING" => Status::Stopping,
        "STOPPED" | "DELETED" => Status::Stopped,
        "PROVISIONING" | "PENDING" | "ACTIVATING" => Status::Starting,
        _ if task.started_at().is_some() => Status::Stopping,
        _ => Status::Starting,
    }
}

/// Whether it is to stop, for any reason.
#[must_use]
pub fn is_stopping(task: &Task) -> bool {
    task.desired_status() == Some("STOPPED") || status(task) >= Status::Stopping
}

/// The pod's own containers: all but the one that writes a kubelet's files, whose exit does not matter to the pod.
pub fn containers(task: &Task) -> impl Iterator<Item = &Container> {
    task.containers().iter().filter(|container| container.name() != Some(init::NAME))
}

/// Whether nothing of it runs any more: STOPPED, or every container has exited and ECS only removes its interface.
#[must_use]
pub fn has_ended(task: &Task) -> bool {
    match status(task) {
        Status::Stopped => true,
        Status::Stopping => {
            let mut containers = containers(task).peekable();
            containers.peek().is_some() && containers.all(|container| container.exit_code().is_some())
        }
        Status::Starting | Status::Running => false,
    }
}

/// Whether nothing of it runs any more except its network: it has ended, or ECS removes its interface, which it does last. A
/// container that never started has no exit code.
#[must_use]
pub fn nothing_runs(task: &Task) -> bool {
    has_ended(task) || task.last_status() == Some("DEPROVISIONING")
}

/// How it ended; meant for one that [`has_ended`].
#[must_use]
pub fn end(task: &Task) -> End {
    let codes = || containers(task).map(Container::exit_code);
    match task.stop_code() {
        Some(TaskStopCode::SpotInterruption | TaskStopCode::TerminationNotice) => End::Interrupted,
        Some(TaskStopCode::TaskFailedToStart) => End::NotStarted,
        _ if task.started_at().is_none() && codes().all(|code| code.is_none()) => End::NotStarted,
        _ if codes().all(|code| code == Some(0)) => End::Completed,
        _ => End::Failed,
    }
}

/// When it ended: when its containers had exited, as far as ECS reports it.
#[must_use]
pub fn ended_at(task: &Task) -> Option<Timestamp> {
    task.execution_stopped_at()
        .or_else(|| task.stopped_at())
        .or_else(|| task.stopping_at())
        .and_then(timestamp)
}

/// When its containers started.
#[must_use]
pub fn started_at(task: &Task) -> Option<Timestamp> {
    task.started_at().and_then(timestamp)
}

/// When ECS created it.
#[must_use]
pub fn created_at(task: &Task) -> Option<Timestamp> {
    task.created_at().and_then(timestamp)
}

/// The container of that name.
#[must_use]
pub fn container<'a>(task: &'a Task, name: &str) -> Option<&'a Container> {
    task.containers().iter().find(|container| container.name() == Some(name))
}

/// The addresses of its network interface, IPv4 first; none before it has one.
///
/// A task may have attachments of other kinds, so the interface is found by its type, never by its position.
#[must_use]
pub fn addresses(task: &Task) -> Vec<String> {
    let details = task
        .attachments()
        .iter()
        .filter(|attachment| attachment.r#type() == Some("ElasticNetworkInterface"))
        .flat_map(|attachment| attachment.details());
    let named = |name: &str| {
        details
            .clone()
            .filter(|pair| pair.name() == Some(name))
            .find_map(|pair| pair.value().map(str::to_owned))
    };
    [named("privateIPv4Address"), named("ipv6Address")]
        .into_iter()
        .flatten()
        .filter(|ip| !ip.is_empty())
        .collect()
}

/// The UID of the pod that it runs.
#[must_use]
pub fn pod_uid(task: &Task) -> Option<&str> {
    tag(task, POD_UID_TAG)
}

/// Which of the pod's attempts it is.
#[must_use]
pub fn attempt(task: &Task) -> Option<u32> {
    tag(task, ATTEMPT_TAG)?.parse().ok()
}

/// Its size.
#[must_use]
pub fn size(task: &Task) -> Option<Size> {
    Some(Size { cpu: task.cpu()?.parse().ok()?, memory: task.memory()?.parse().ok()? })
}

fn tag<'a>(task: &'a Task, key: &str) -> Option<&'a str> {
    task.tags().iter().find(|tag| tag.key() == Some(key))?.value()
}

/// The container's id as Kubernetes writes it: `ecs://<cluster>/<task>/<runtime id>`; empty before it has one.
#[must_use]
pub fn container_id(task: &Task, container: &Container) -> String {
    let last = |arn: Option<&str>| arn.and_then(|arn| arn.rsplit('/').next()).unwrap_or_default().to_owned();
    match container.runtime_id().filter(|id| !id.is_empty()) {
        Some(runtime) => format!("ecs://{}/{}/{runtime}", last(task.cluster_arn()), last(task.task_arn())),
        None => String::new(),
    }
}

/// The image by its digest, as Kubernetes writes it: `repository@sha256:…`; empty before it is known.
#[must_use]
pub fn image_id(container: &Container) -> String {
    let (Some(image), Some(digest)) = (container.image(), container.image_digest()) else {
        return String::new();
    };
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon after the last slash is the tag's; one before it is a registry's port.
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let repository = name[slash..].find(':').map_or(name, |at| &name[..slash + at]);
    format!("{repository}@{digest}")
}

/// Why a container did not start: the kubelet's reason, and ECS's message.
#[must_use]
pub fn start_failure(task: &Task, container: Option<&Container>) -> (&'static str, String) {
    let own = container.and_then(Container::reason).filter(|reason| !reason.is_empty());
    if let Some(message) = init_failure(task, own) {
        return ("CreateContainerConfigError", message);
    }
    let message =
        own.or_else(|| task.stopped_reason()).unwrap_or("the task stopped before its containers ran");
    let reason = if message.starts_with("CannotPull") {
        "ErrImagePull"
    } else if message.starts_with("ResourceInitializationError") {
        "CreateContainerConfigError"
    } else if message.starts_with("CannotCreate") {
        "CreateContainerError"
    } else {
        "RunContainerError"
    };
    (reason, message.to_owned())
}

/// How the container that writes a kubelet's files failed, if it did and `own`, ECS's reason for a container after it, is not about
/// something else.
fn init_failure(task: &Task, own: Option<&str>) -> Option<String> {
    let init = container(task, init::NAME)?;
    if own.is_some_and(|own| !own.contains(init::NAME)) {
        return None;
    }
    let what = match (init.reason().filter(|reason| !reason.is_empty()), init.exit_code()) {
        (_, Some(0)) => return None,
        (Some(reason), _) => reason.to_owned(),
        (None, Some(code)) => format!("it exited with {code}"),
        (None, None) => return None,
    };
    let image = init.image().unwrap_or_default();
    Some(format!(
        "container {} (image {image}), which writes the pod's resolv.conf, hosts and hostname, failed: {what}",
        init::NAME
    ))
}

/// Whether ECS reports that the container ran out of memory. The code must match, too: a sibling that is stopped because of it exits
/// with 0 or 143.
#[must_use]
pub fn is_out_of_memory(task: &Task, container: &Container) -> bool {
    let says = |reason: Option<&str>| reason.is_some_and(|reason| reason.contains("OutOfMemoryError"));
    let alone = containers(task).count() == 1;
    container.exit_code() == Some(137) && (says(container.reason()) || alone && says(task.stopped_reason()))
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_nanosecond(time.as_nanos()).ok()
}
