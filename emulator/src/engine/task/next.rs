//! The lifecycle: a task and an event give the next task. A function of values.
//!
//! Every event is first applied ([`apply`]), then its consequences follow ([`settle`]). If a client could see the
//! difference, the version grows by one.

use std::net::Ipv4Addr;

use super::model::{AttachmentStatus, Connectivity, Health, Status, StopCode, Tag, Task};
use super::plan::may_be_starting;
use super::{ContainerStatus, Desired, depends, reason};
use crate::clock::Timestamp;
use crate::runtime::Exit;

/// Something that happened to a task. Containers are named by their index.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A sandbox is claimed: the task's ENI has its address.
    Connected(Claim),
    /// The shared parts and the log streams exist.
    Initialized,
    /// The first image is being resolved.
    PullStarted {
        at: Timestamp,
    },
    Pulled {
        container: usize,
        digest: String,
    },
    Created {
        container: usize,
        container_id: String,
        runtime_id: String,
    },
    Started {
        container: usize,
        at: Timestamp,
    },
    Health {
        container: usize,
        healthy: bool,
    },
    Exited {
        container: usize,
        exit: Exit,
    },
    /// The runtime no longer has the container, or never started it.
    Gone {
        container: usize,
    },
    /// Something that the task needs to start failed, in ECS's words. `container` if only one container needs it.
    StartFailed {
        container: Option<usize>,
        reason: String,
    },
    /// The container could not be stopped, in ECS's words: whether it still runs is not known.
    StopFailed {
        container: usize,
        reason: String,
    },
    /// The sandbox of this id no longer runs.
    SandboxLost {
        sandbox_id: String,
    },
    /// A client or the emulator asks the task to stop.
    Stop {
        code: StopCode,
        reason: String,
    },
    /// SIGTERM is on its way to the containers.
    Stopping,
    /// Logs are committed, containers and sandbox are removed, except what is `left`, with the reason.
    Released {
        left: Option<String>,
    },
    Tagged(Vec<Tag>),
    /// Only time has passed.
    Tick,
}

impl Event {
    /// The container that it is about, by its index; `None` if it is about the task.
    pub fn container(&self) -> Option<usize> {
        match self {
            Self::Pulled { container, .. }
            | Self::Created { container, .. }
            | Self::Started { container, .. }
            | Self::Health { container, .. }
            | Self::Exited { container, .. }
            | Self::StopFailed { container, .. }
            | Self::Gone { container } => Some(*container),
            Self::StartFailed { container, .. } => *container,
            _ => None,
        }
    }
}

/// The sandbox that a task got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub sandbox_id: String,
    pub network_interface_id: String,
    pub mac_address: String,
    pub private_dns_name: String,
    pub address: Ipv4Addr,
}

/// An event that cannot happen to a task in its state: a fault of the caller.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{event} cannot happen to a task that is {status:?}")]
pub struct Illegal {
    pub event: String,
    pub status: Status,
}

/// The task after `event`. Repeated events change nothing: an exit of a stopped container or of an earlier run of it, a
/// stop of a stopping task.
pub fn next(task: &Task, event: &Event, now: Timestamp) -> Result<Task, Illegal> {
    let mut after = task.clone();
    apply(&mut after, event, now)?;
    settle(&mut after, now);
    if published(task) != published(&after) {
        after.version += 1;
    }
    Ok(after)
}

/// The fields whose change is published.
fn published(task: &Task) -> (Status, Desired, Health, Option<Connectivity>) {
    (task.last_status, task.desired_status, task.health, task.connectivity)
}

fn apply(task: &mut Task, event: &Event, now: Timestamp) -> Result<(), Illegal> {
    let illegal = |task: &Task| Illegal { event: format!("{event:?}"), status: task.last_status };
    if task.is_stopped() && !matches!(event, Event::Tagged(_) | Event::Tick | Event::Stop { .. }) {
        return Err(illegal(task));
    }
    if let Some(index) = event.container()
        && index >= task.containers.len()
    {
        return Err(illegal(task));
    }
    match event {
        Event::Connected(claim) => {
            if task.attachment.sandbox_id.is_some() {
                return Err(illegal(task));
            }
            let attachment = &mut task.attachment;
            attachment.status = AttachmentStatus::Attached;
            attachment.sandbox_id = Some(claim.sandbox_id.clone());
            attachment.network_interface_id = Some(claim.network_interface_id.clone());
            attachment.mac_address = Some(claim.mac_address.clone());
            attachment.private_dns_name = Some(claim.private_dns_name.clone());
            attachment.private_ipv4_address = Some(claim.address);
            task.connectivity = Some(Connectivity::Connected);
            task.connectivity_at = Some(now);
            if task.last_status == Status::Provisioning {
                task.last_status = Status::Pending;
            }
        }
        Event::Initialized => task.initialized = true,
        Event::PullStarted { at } => {
            task.pull_started_at = Some(task.pull_started_at.map_or(*at, |before| before.min(*at)));
        }
        Event::Pulled { container, digest } => {
            task.containers[*container].image_digest = Some(digest.clone())
        }
        Event::Created { container, container_id, runtime_id } => {
            let container = &mut task.containers[*container];
            container.container_id = Some(container_id.clone());
            container.runtime_id = Some(runtime_id.clone());
        }
        Event::Started { container, at } => {
            let container = &mut task.containers[*container];
            // A container that waits for its restart has ended since an older start, so that start is ignored.
            let is_old = container.stopped_at.is_some_and(|ended| *at < ended);
            if container.last_status == ContainerStatus::Pending && !is_old {
                container.last_status = ContainerStatus::Running;
                container.started_at = Some(*at);
                container.stopped_at = None;
            }
        }
        Event::Health { container, healthy } => {
            let container = &mut task.containers[*container];
            if container.last_status == ContainerStatus::Running {
                container.health = if *healthy { Health::Healthy } else { Health::Unhealthy };
            }
        }
        Event::Exited { container, exit } => exited(task, *container, *exit),
        Event::Gone { container } => {
            let container = &mut task.containers[*container];
            if container.last_status == ContainerStatus::Running {
                container.reason.get_or_insert_with(|| reason::LOST.to_owned());
            }
            if !container.is_stopped() {
                container.last_status = ContainerStatus::Stopped;
                container.stopped_at = Some(now);
            }
        }
        Event::StartFailed { container, reason } => {
            if let Some(index) = container {
                let container = &mut task.containers[*index];
                container.last_status = ContainerStatus::Stopped;
                container.stopped_at = Some(now);
                container.reason = Some(reason.clone());
            }
            // In a running task, it is a container that could not be restarted: it has ended, essential or not.
            if task.started_at.is_none() {
                stop(task, StopCode::TaskFailedToStart, reason, now);
            }
        }
        Event::StopFailed { container, reason } => {
            let container = &mut task.containers[*container];
            if !container.is_stopped() {
                container.last_status = ContainerStatus::Stopped;
                container.stopped_at = Some(now);
                container.reason = Some(reason.clone());
            }
        }
        Event::SandboxLost { sandbox_id } => sandbox_lost(task, sandbox_id, now),
        Event::Stop { code, reason } => {
            if !task.is_stopped() {
                stop(task, *code, reason, now);
            }
        }
        Event::Stopping => {
            if task.desired_status != Desired::Stopped {
                return Err(illegal(task));
            }
            task.last_status = task.last_status.max(Status::Stopping);
        }
        Event::Released { left } => {
            if task.last_status != Status::Deprovisioning {
                return Err(illegal(task));
            }
            if let Some(left) = left {
                let stopped = task.stopped_reason.get_or_insert_default();
                *stopped = reason::left_behind(stopped, left);
            }
            task.last_status = Status::Stopped;
            task.stopped_at = Some(now);
            task.attachment.status = AttachmentStatus::Deleted;
        }
        Event::Tagged(tags) => task.tags.clone_from(tags),
        Event::Tick => {}
    }
    Ok(())
}

/// How many lost sandboxes of a task in which nothing ran yet are replaced. More than that are a repeated fault.
const REPLACEMENTS: u32 = 3;

/// A task in which nothing has run yet gets another sandbox: the loss is no failure of the task. Any other task stops,
/// because its containers no longer have a network.
fn sandbox_lost(task: &mut Task, sandbox_id: &str, now: Timestamp) {
    let its_own = task.attachment.sandbox_id.as_deref() == Some(sandbox_id);
    if !its_own || task.desired_status == Desired::Stopped {
        return;
    }
    let ran = task.containers.iter().any(|container| container.started_at.is_some());
    if ran || task.attachment.replaced >= REPLACEMENTS {
        return stop(task, StopCode::InfrastructureHealth, reason::SANDBOX_LOST, now);
    }
    // Containers that were created belong to the old network namespace, so they are created again.
    for container in &mut task.containers {
        container.container_id = None;
        container.runtime_id = None;
    }
    let attachment = &mut task.attachment;
    attachment.replaced += 1;
    attachment.status = AttachmentStatus::Precreated;
    attachment.sandbox_id = None;
    attachment.network_interface_id = None;
    attachment.mac_address = None;
    attachment.private_dns_name = None;
    attachment.private_ipv4_address = None;
}

/// The first cause of a stop is kept; later ones change nothing.
fn stop(task: &mut Task, code: StopCode, reason: &str, now: Timestamp) {
    if task.desired_status == Desired::Stopped {
        return;
    }
    task.desired_status = Desired::Stopped;
    task.stop_code = Some(code);
    task.stopped_reason = Some(reason.to_owned());
    task.stopping_at = Some(now);
}

fn exited(task: &mut Task, index: usize, exit: Exit) {
    let wanted = task.desired_status == Desired::Running;
    let policy = task.spec.containers[index].restart_policy.as_ref();
    let container = &mut task.containers[index];
    // An exit is reported again after a lost connection and by a look at the container. It is ignored if it is older than
    // the start, or while the container waits for its restart. Once the task is to stop, nothing restarts the container: its
    // last exit is final.
    let is_old = match container.last_status {
        ContainerStatus::Pending => container.restart_count > 0 && wanted,
        ContainerStatus::Running => container.started_at.is_some_and(|started| exit.at < started),
        ContainerStatus::Stopped => true,
    };
    if is_old {
        return;
    }
    let started_at = *container.started_at.get_or_insert(exit.at);
    container.stopped_at = Some(exit.at);
    let restarts = wanted
        && policy.is_some_and(|policy| {
            !policy.ignored_exit_codes.contains(&exit.code)
                && exit.at.since(started_at).as_secs() >= u64::from(policy.restart_attempt_period)
        });
    if restarts {
        container.last_status = ContainerStatus::Pending;
        container.restart_count += 1;
        container.health = Health::Unknown;
        return;
    }
    container.last_status = ContainerStatus::Stopped;
    container.exit_code = Some(exit.code);
    if exit.oom_killed {
        container.reason = Some(reason::OUT_OF_MEMORY.to_owned());
    }
}

/// Applies all consequences of an event.
fn settle(task: &mut Task, now: Timestamp) {
    if task.is_stopped() {
        return;
    }
    if task.pull_started_at.is_some()
        && task.containers.iter().all(|container| container.image_digest.is_some())
    {
        task.pull_stopped_at.get_or_insert(now);
    }
    if task.desired_status == Desired::Running {
        give_up_on_dependencies(task, now);
        stop_without_essential(task, now);
    }
    record_end_of_execution(task);
    match task.desired_status {
        Desired::Running => advance(task, now),
        Desired::Stopped => retreat(task, now),
    }
    task.health = health(task);
}

/// A container whose dependency can never be satisfied is stopped without a start. It is given exit code 143,
/// as amazon-ecs-agent gives it (`handleTerminalDependencyError`).
fn give_up_on_dependencies(task: &mut Task, now: Timestamp) {
    while let Some((index, reason)) = depends::hopeless(task, now) {
        let container = &mut task.containers[index];
        container.last_status = ContainerStatus::Stopped;
        container.stopped_at = Some(now);
        container.exit_code = Some(143);
        container.reason = Some(reason);
    }
}

/// Any essential container that stops ends the task.
fn stop_without_essential(task: &mut Task, now: Timestamp) {
    let ended = task
        .containers
        .iter()
        .zip(&task.spec.containers)
        .find(|(container, spec)| spec.essential && container.is_stopped())
        .map(|(container, _)| container.started_at.is_some());
    match ended {
        Some(true) => stop(task, StopCode::EssentialContainerExited, reason::ESSENTIAL_CONTAINER_EXITED, now),
        Some(false) => stop(task, StopCode::TaskFailedToStart, reason::FAILED_TO_START, now),
        None => {}
    }
}

/// `executionStoppedAt`: when the first essential container that ever ran stopped.
fn record_end_of_execution(task: &mut Task) {
    if task.execution_stopped_at.is_none() {
        task.execution_stopped_at = task
            .containers
            .iter()
            .zip(&task.spec.containers)
            .filter(|(container, spec)| {
                spec.essential && container.is_stopped() && container.started_at.is_some()
            })
            .filter_map(|(container, _)| container.stopped_at)
            .min();
    }
}

fn advance(task: &mut Task, now: Timestamp) {
    if task.last_status == Status::Pending
        && task.shows_activating
        && task.initialized
        && task.pull_stopped_at.is_some()
    {
        task.last_status = Status::Activating;
    }
    if matches!(task.last_status, Status::Pending | Status::Activating)
        && task.containers.iter().all(super::Container::has_started)
    {
        task.last_status = Status::Running;
        task.started_at = Some(now);
    }
}

fn retreat(task: &mut Task, now: Timestamp) {
    // A container whose start is under way is stopped after the start: it gets its signal, and has an exit code.
    let may_be_starting = may_be_starting(task);
    for container in task.containers.iter_mut().filter(|_| !may_be_starting) {
        // Never created: there is nothing to stop and no exit code to report.
        if container.last_status == ContainerStatus::Pending && container.container_id.is_none() {
            container.last_status = ContainerStatus::Stopped;
            container.stopped_at = Some(now);
        }
    }
    if task.containers.iter().all(super::Container::is_stopped) && task.last_status < Status::Deprovisioning {
        task.last_status = Status::Deprovisioning;
        if task.attachment.sandbox_id.is_some() {
            task.attachment.status = AttachmentStatus::Detaching;
        }
    }
}

/// The health of a task is that of its essential containers with a health check.
fn health(task: &Task) -> Health {
    let mut checked = task
        .containers
        .iter()
        .zip(&task.spec.containers)
        .filter(|(_, spec)| spec.essential && spec.process.health_check.is_some())
        .map(|(container, _)| container.health)
        .peekable();
    if checked.peek().is_none() {
        return Health::Unknown;
    }
    let all: Vec<Health> = checked.collect();
    if all.contains(&Health::Unhealthy) {
        Health::Unhealthy
    } else if all.contains(&Health::Unknown) {
        Health::Unknown
    } else {
        Health::Healthy
    }
}
