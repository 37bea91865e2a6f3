//! The actions of a plan, carried out on the runtime. Each ends with what happened; none decides.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use super::awslogs::{self, Follower, Source};
use super::mailbox::{Message, Route};
use super::seen::{runtime_id, seen};
use crate::engine::context::Context;
use crate::engine::task::{Action, ContainerStatus, Event, Task, depends, reason};
use crate::runtime::{self, ContainerSpec, Observed, State, TaskSpec};

/// After so long, a pull is told of before it is done.
const LONG_PULL: Duration = Duration::from_millis(200);

/// What came of an action.
#[derive(Debug)]
pub(in crate::engine) enum Outcome {
    Happened(Vec<Event>),
    /// Nothing of the task is left on the runtime, and its output is committed.
    Released,
    /// The runtime was in trouble: the plan will name the action again.
    Again,
}

/// One action's view of its task.
pub(in crate::engine) struct Work {
    pub(in crate::engine) context: Arc<Context>,
    pub(in crate::engine) task: Arc<Task>,
    pub(in crate::engine) route: mpsc::UnboundedSender<Message>,
}

impl Work {
    /// Carries `action` out. `followers` are those of the task's containers, for [`Action::Release`] to wait for.
    pub(in crate::engine) async fn carry_out(
        &self,
        action: Action,
        followers: HashMap<usize, Follower>,
    ) -> Outcome {
        match action {
            Action::Initialize => self.initialize().await,
            Action::Pull(container) => self.pull(container).await,
            Action::Start(container) => self.start(container).await,
            Action::Stop(container) => self.stop(container).await,
            Action::Release => self.release(followers).await,
            // The supervisor does these itself: they are state, not work.
            Action::Claim | Action::AnnounceStop => Outcome::Happened(Vec::new()),
        }
    }

    async fn initialize(&self) -> Outcome {
        for container in 0..self.task.containers.len() {
            let Some(source) = source_of(&self.task, container, String::new()) else { continue };
            match awslogs::ensure_stream(&self.context.store, &self.context.clock, &source).await {
                Ok(true) => {}
                Ok(false) => return failed(None, reason::log_group_missing()),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "could not make a log stream");
                    return Outcome::Again;
                }
            }
        }
        let spec = TaskSpec {
            task_id: self.task.id.clone(),
            cpu: self.task.cpu,
            memory: self.task.memory,
            volumes: self.task.spec.volumes.clone(),
        };
        match self.context.runtime.prepare_task(&spec).await {
            Ok(()) => Outcome::Happened(vec![Event::Initialized]),
            Err(error) => failed(None, reason::cannot_initialize(&error)),
        }
    }

    async fn pull(&self, container: usize) -> Outcome {
        let started = Event::PullStarted { at: self.context.clock.now() };
        let mut resolve =
            pin!(self.context.runtime.resolve_image(&self.task.spec.containers[container].image));
        let resolved = tokio::select! {
            resolved = &mut resolve => resolved,
            // A long pull is seen, and billed, while it lasts; one of an image that is there costs no commit of its own.
            () = self.context.clock.sleep(LONG_PULL) => {
                let _ = self.route.send(Message::Happened(started.clone()));
                resolve.await
            }
        };
        match resolved {
            Ok(image) => Outcome::Happened(vec![started, Event::Pulled { container, digest: image.digest }]),
            Err(error) => Outcome::Happened(vec![
                started,
                Event::StartFailed { container: Some(container), reason: reason::cannot_pull(&error) },
            ]),
        }
    }

    async fn start(&self, container: usize) -> Outcome {
        let mut events = Vec::new();
        let existing = self.task.containers[container].container_id.clone();
        let container_id = match existing {
            Some(container_id) => container_id,
            None => match self.context.runtime.create_container(&spec_of(&self.task, container)).await {
                Ok(container_id) => {
                    let runtime_id = runtime_id(&self.task);
                    events.push(Event::Created { container, container_id: container_id.clone(), runtime_id });
                    container_id
                }
                Err(error) => return failed(Some(container), reason::cannot_create(&error)),
            },
        };
        let route = Route { supervisor: self.route.clone(), container };
        self.context.routes.lock().insert(container_id.clone(), route);
        if let Some(sandbox_id) = &self.task.attachment.sandbox_id
            && let Err(error) = self.context.pool().await.filters().ready(sandbox_id).await
        {
            let reason = reason::cannot_provision(&error);
            events.push(Event::StartFailed { container: Some(container), reason });
            return Outcome::Happened(events);
        }
        events.push(match self.context.runtime.start_container(&container_id).await {
            Ok(()) => Event::Started { container, at: self.context.clock.now() },
            Err(error) => {
                Event::StartFailed { container: Some(container), reason: reason::cannot_start(&error) }
            }
        });
        Outcome::Happened(events)
    }

    async fn stop(&self, container: usize) -> Outcome {
        let Some(container_id) = &self.task.containers[container].container_id else {
            return Outcome::Happened(vec![Event::Gone { container }]);
        };
        let timeout = Duration::from_secs(u64::from(self.task.spec.containers[container].stop_timeout));
        if let Err(error) = self.context.runtime.stop_container(container_id, timeout).await {
            warn!(%error, "could not stop a container; trying again");
            return Outcome::Again;
        }
        // The exit is an event of the runtime as well; whichever comes first counts.
        match self.context.runtime.inspect_container(container_id).await {
            Ok(observed) => Outcome::Happened(ended(container, observed.as_ref())),
            Err(_) => Outcome::Again,
        }
    }

    async fn release(&self, mut followers: HashMap<usize, Follower>) -> Outcome {
        for container in 0..self.task.containers.len() {
            match (followers.remove(&container), source(&self.task, container)) {
                (Some(follower), _) => follower.finished().await,
                // An earlier process followed it; what it did not commit is still in the container's log.
                (None, Some(source)) => {
                    let context = &self.context;
                    Follower::spawn(
                        context.store.clone(),
                        Arc::clone(&context.runtime),
                        context.clock.clone(),
                        source,
                        None,
                    )
                    .finished()
                    .await;
                }
                (None, None) => {}
            }
        }
        match self.remove().await {
            Ok(()) => Outcome::Released,
            Err(error) => {
                warn!(%error, "could not remove what a stopped task leaves; trying again");
                Outcome::Again
            }
        }
    }

    async fn remove(&self) -> Result<(), runtime::Error> {
        let runtime = &self.context.runtime;
        let containers =
            self.task.containers.iter().filter_map(|container| container.container_id.as_deref());
        futures::future::try_join_all(containers.map(|id| runtime.remove_container(id))).await?;
        if let Some(sandbox_id) = &self.task.attachment.sandbox_id {
            self.context.pool().await.filters().leave(sandbox_id);
            runtime.remove_sandbox(sandbox_id).await?;
        }
        runtime.release_task(&self.task.id).await
    }
}

fn failed(container: Option<usize>, reason: String) -> Outcome {
    Outcome::Happened(vec![Event::StartFailed { container, reason }])
}

/// [`seen`] of a container that was told to stop: one that never started will not.
fn ended(container: usize, observed: Option<&Observed>) -> Vec<Event> {
    match observed.map(|observed| &observed.state) {
        Some(State::Created) => vec![Event::Gone { container }],
        _ => seen(container, observed),
    }
}

/// Where the output of a container goes; `None` where it has no log configuration or was never created.
pub(in crate::engine) fn source(task: &Task, container: usize) -> Option<Source> {
    source_of(task, container, task.containers[container].container_id.clone()?)
}

fn source_of(task: &Task, container: usize, container_id: String) -> Option<Source> {
    let spec = &task.spec.containers[container];
    let options = spec.log.clone()?;
    let stream = format!("{}/{}/{}", options.stream_prefix, spec.name, task.id);
    let account = task.arn.split(':').nth(4).unwrap_or_default().to_owned();
    Some(Source { container_id, account, stream, options })
}

fn spec_of(task: &Task, container: usize) -> ContainerSpec {
    let spec = task.spec.containers[container].clone();
    // A namespace ends with its holder: there is nothing left to join.
    let share_pid_with = depends::pid_holder(&task.spec, container)
        .map(|holder| &task.containers[holder])
        .filter(|holder| holder.last_status == ContainerStatus::Running)
        .map(|holder| holder.name.clone());
    ContainerSpec {
        task_id: task.id.clone(),
        sandbox_id: task.attachment.sandbox_id.clone().unwrap_or_default(),
        name: spec.name,
        image: spec.image,
        entry_point: spec.entry_point,
        command: spec.command,
        environment: spec.environment,
        user: spec.user,
        working_directory: spec.working_directory,
        readonly_root_filesystem: spec.readonly_root_filesystem,
        interactive: spec.interactive,
        pseudo_terminal: spec.pseudo_terminal,
        init_process: spec.init_process,
        share_pid_with,
        add_capabilities: spec.add_capabilities,
        drop_capabilities: spec.drop_capabilities,
        ulimits: spec.ulimits,
        sysctls: spec.sysctls,
        labels: spec.docker_labels,
        health_check: spec.health_check,
        mounts: spec.mounts,
        volumes_from: spec.volumes_from,
        cpu: spec.cpu,
        memory: spec.memory,
        memory_reservation: spec.memory_reservation,
        task_cpu: task.cpu,
        task_memory: task.memory,
    }
}
