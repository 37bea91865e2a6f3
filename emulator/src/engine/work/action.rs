//! The actions of a plan, carried out on the runtime. Each ends with an outcome and makes no decision.
//!
//! Every call of the runtime has a time limit: an engine may be paused, or wait for a disk forever. What it does after that is
//! found by the next attempt, which begins with what exists, or removed with the task.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use super::awslogs::{self, Follower, Source};
use super::cpu_limit;
use super::mailbox::{Message, Route};
use super::seen::{runtime_id, seen, seen_stopped};
use crate::engine::context::Context;
use crate::engine::task::{Action, ContainerStatus, Event, Task, depends, reason};
use crate::runtime::{self, ContainerSpec, State, TaskSpec};

/// After this time a pull is reported before it is done.
const LONG_PULL: Duration = Duration::from_millis(200);

/// Time limits of the runtime's calls. The runtime has its own for most requests to the engine; these are longer.
const CALL: Duration = Duration::from_mins(3);
const LOOK: Duration = Duration::from_secs(30);
/// A pull that makes no progress is ended by the runtime, much earlier.
const PULL: Duration = Duration::from_hours(1);
/// Beyond the stop timeout.
const STOP_MARGIN: Duration = Duration::from_secs(90);
/// Until the packet filters of the task and of its peers are set.
const FILTERS: Duration = Duration::from_secs(30);

/// The outcome of an action.
#[derive(Debug)]
pub(in crate::engine) enum Outcome {
    Happened(Vec<Event>),
    /// Nothing of the task is left on the runtime but its sandbox, and its output is committed.
    Released,
    /// The runtime failed after these events. The action may be retried; if it never succeeds, `reason` has the cause in
    /// ECS's words.
    Failed {
        events: Vec<Event>,
        reason: String,
    },
    /// The store failed. Without it nothing can be recorded, not even an end, so the action is retried without limit.
    StoreFailed,
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
            Action::Look(container) => self.look(container).await,
            Action::Release => self.release(followers).await,
            // The supervisor does these itself: they are state, not work.
            Action::Claim | Action::AnnounceStop => Outcome::Happened(Vec::new()),
        }
    }

    /// What a call of the runtime returns within `bound`.
    async fn bounded<T>(
        &self,
        bound: Duration,
        attempted: &str,
        call: impl Future<Output = Result<T, runtime::Error>>,
    ) -> Result<T, runtime::Error> {
        let late = |elapsed| {
            let reason = format!("the container runtime did not respond: {elapsed}");
            Err(runtime::Error::NoAnswer { attempted: attempted.to_owned(), reason })
        };
        self.context.clock.timeout(bound, call).await.unwrap_or_else(late)
    }

    async fn initialize(&self) -> Outcome {
        for container in 0..self.task.containers.len() {
            let Some(source) = source_of(&self.task, container, String::new()) else { continue };
            match awslogs::ensure_stream(&self.context.store, &self.context.clock, &source).await {
                Ok(true) => {}
                Ok(false) => return start_failed(Vec::new(), None, reason::log_group_missing()),
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "could not create a log stream; retrying"
                    );
                    return Outcome::StoreFailed;
                }
            }
        }
        let spec = TaskSpec {
            task_id: self.task.id.clone(),
            cpu: self.task.cpu,
            memory: self.task.memory,
            volumes: self.task.spec.volumes.clone(),
            containers: (0..self.task.containers.len()).map(|index| spec_of(&self.task, index)).collect(),
        };
        let prepared = self.context.runtime.prepare_task(&spec);
        match self.bounded(CALL, "prepare the task", prepared).await {
            Ok(()) => Outcome::Happened(vec![Event::Initialized]),
            Err(error) => failed(Vec::new(), None, &error, reason::cannot_initialize(&error)),
        }
    }

    async fn pull(&self, container: usize) -> Outcome {
        let started = Event::PullStarted { at: self.context.clock.now() };
        let image = &self.task.spec.containers[container].process.image;
        let resolved = self.context.runtime.resolve_image(image);
        let mut resolve = pin!(self.bounded(PULL, "pull the image", resolved));
        let resolved = tokio::select! {
            resolved = &mut resolve => resolved,
            // A long pull is shown, and billed, while it lasts; a pull of an existing image costs no extra commit.
            () = self.context.clock.sleep(LONG_PULL) => {
                let _ = self.route.send(Message::Happened(started.clone()));
                resolve.await
            }
        };
        match resolved {
            Ok(image) => Outcome::Happened(vec![started, Event::Pulled { container, digest: image.digest }]),
            Err(error) => failed(vec![started], Some(container), &error, reason::cannot_pull(&error)),
        }
    }

    async fn start(&self, container: usize) -> Outcome {
        let runtime = &self.context.runtime;
        let mut events = Vec::new();
        let existing = self.task.containers[container].container_id.clone();
        let container_id = match existing {
            Some(container_id) => container_id,
            None => {
                let spec = spec_of(&self.task, container);
                match self.bounded(CALL, "create the container", runtime.create_container(&spec)).await {
                    Ok(container_id) => {
                        let runtime_id = runtime_id(&self.task);
                        events.push(Event::Created {
                            container,
                            container_id: container_id.clone(),
                            runtime_id,
                        });
                        container_id
                    }
                    Err(error) => {
                        let reason = reason::cannot_create(&error);
                        return self.not_started(events, container, None, &error, reason).await;
                    }
                }
            }
        };
        let route = Route { supervisor: self.route.clone(), container };
        self.context.routes.lock().insert(container_id.clone(), route);
        if let Some(sandbox_id) = &self.task.attachment.sandbox_id {
            let filters_ready = async { self.context.pool().await.filters().ready(sandbox_id).await };
            if let Err(error) = self.bounded(FILTERS, "set the packet filters", filters_ready).await {
                let reason = reason::cannot_provision(&error);
                return self.not_started(events, container, Some(&container_id), &error, reason).await;
            }
        }
        let before = self.context.clock.now();
        if let Err(error) =
            self.bounded(CALL, "start the container", runtime.start_container(&container_id)).await
        {
            let reason = reason::cannot_start(&error);
            return self.not_started(events, container, Some(&container_id), &error, reason).await;
        }
        // When it started by the engine's clock, to distinguish its exit from one of an earlier run.
        let known = &self.task.containers[container];
        let (observed, ()) = tokio::join!(
            self.bounded(LOOK, "inspect the container", runtime.inspect_container(&container_id)),
            cpu_limit::set(&self.context, &self.task),
        );
        match observed.map(|observed| seen(container, known, observed.as_ref())) {
            Ok(seen) if !seen.is_empty() => events.extend(seen),
            _ => {
                // Later than the last exit: an exit at that time is the earlier one, reported again.
                let at = known.stopped_at.map_or(before, |ended| before.max(ended.next()));
                events.push(Event::Started { container, at });
            }
        }
        Outcome::Happened(events)
    }

    /// A start has failed after `events`. If the task's sandbox is lost, that is not the container's fault. `created` is the
    /// container, if it exists: it belongs to the lost network namespace.
    async fn not_started(
        &self,
        events: Vec<Event>,
        container: usize,
        created: Option<&str>,
        error: &runtime::Error,
        reason: String,
    ) -> Outcome {
        let pool = self.context.pool().await;
        let Some(sandbox_id) = &self.task.attachment.sandbox_id else {
            return failed(events, Some(container), error, reason);
        };
        if pool.sandbox_runs(sandbox_id).await {
            return failed(events, Some(container), error, reason);
        }
        // A container that ran before is kept until the task ends, because it has the exit code of that run.
        let is_new = self.task.containers[container].restart_count == 0;
        if let Some(container_id) = created.filter(|_| is_new) {
            let removed = self.context.runtime.remove_container(container_id);
            if let Err(error) = self.bounded(CALL, "remove the container", removed).await {
                return Outcome::Failed { events, reason: error.to_string() };
            }
        }
        Outcome::Happened(vec![Event::SandboxLost { sandbox_id: sandbox_id.clone() }])
    }

    async fn stop(&self, container: usize) -> Outcome {
        let Some(container_id) = &self.task.containers[container].container_id else {
            return Outcome::Happened(vec![Event::Gone { container }]);
        };
        let runtime = &self.context.runtime;
        let timeout = Duration::from_secs(u64::from(self.task.spec.containers[container].stop_timeout));
        let bound = timeout.saturating_add(STOP_MARGIN);
        let stopped =
            self.bounded(bound, "stop the container", runtime.stop_container(container_id, timeout)).await;
        // It may have ended nevertheless. The exit is an event of the runtime as well; the first report counts.
        let observed =
            self.bounded(LOOK, "inspect the container", runtime.inspect_container(container_id)).await;
        let error = match (observed, stopped) {
            (Ok(Some(observed)), stopped) if matches!(observed.state, State::Running { .. }) => {
                let still_runs = || runtime::Error::Failed {
                    attempted: format!("stop the container {container_id}"),
                    reason: "the engine reported it stopped, but it runs".to_owned(),
                };
                stopped.err().unwrap_or_else(still_runs)
            }
            (Ok(observed), _) => {
                let known = &self.task.containers[container];
                let events = seen_stopped(container, known, observed.as_ref());
                return Outcome::Happened(events);
            }
            (Err(error), stopped) => stopped.err().unwrap_or(error),
        };
        Outcome::Failed { events: Vec::new(), reason: reason::cannot_stop(&error) }
    }

    async fn look(&self, container: usize) -> Outcome {
        let known = &self.task.containers[container];
        let Some(container_id) = &known.container_id else { return Outcome::Happened(Vec::new()) };
        let looked = self.context.runtime.inspect_container(container_id);
        match self.bounded(LOOK, "inspect the container", looked).await {
            Ok(observed) => Outcome::Happened(seen(container, known, observed.as_ref())),
            Err(error) => Outcome::Failed { events: Vec::new(), reason: error.to_string() },
        }
    }

    async fn release(&self, mut followers: HashMap<usize, Follower>) -> Outcome {
        let logs = (0..self.task.containers.len()).filter_map(|container| {
            let before = followers.remove(&container);
            // Without a follower, an earlier process followed it: what that one did not commit is still in the container's log.
            // And a container whose restart failed may have run for a while, unseen.
            let reads_on = before.is_none() || self.task.containers[container].restart_count > 0;
            match source(&self.task, container).filter(|_| reads_on) {
                Some(source) => Some(Follower::spawn(&self.context, source, before)),
                None => before,
            }
        });
        let logs: Vec<Follower> = logs.collect();
        futures::future::join_all(logs.into_iter().map(Follower::finished)).await;

        if let Some(sandbox_id) = &self.task.attachment.sandbox_id {
            self.context.pool().await.filters().leave(sandbox_id);
        }
        let released = self.context.runtime.release_task(&self.task.id);
        match self.bounded(CALL, "remove the task", released).await {
            Ok(()) => Outcome::Released,
            Err(error) => Outcome::Failed { events: Vec::new(), reason: error.to_string() },
        }
    }
}

/// The start has failed after `events`. It is retried if the runtime may succeed later.
fn failed(events: Vec<Event>, container: Option<usize>, error: &runtime::Error, reason: String) -> Outcome {
    if error.may_pass() {
        Outcome::Failed { events, reason }
    } else {
        start_failed(events, container, reason)
    }
}

fn start_failed(mut events: Vec<Event>, container: Option<usize>, reason: String) -> Outcome {
    events.push(Event::StartFailed { container, reason });
    Outcome::Happened(events)
}

/// Where the output of a container goes; `None` if it has no log configuration or was never created.
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
    let spec = &task.spec.containers[container];
    let mut process = spec.process.clone();
    // What the platform sets in every container; a variable of the definition has precedence.
    for (name, value) in [
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
        ("AWS_REGION", &task.region),
        ("AWS_DEFAULT_REGION", &task.region),
    ] {
        if !process.environment.iter().any(|(given, _)| given == name) {
            process.environment.push((name.to_owned(), value.to_owned()));
        }
    }
    // A namespace ends with its holder: there is nothing left to join.
    let share_pid_with = depends::pid_holder(&task.spec, container)
        .map(|holder| &task.containers[holder])
        .filter(|holder| holder.last_status == ContainerStatus::Running)
        .map(|holder| holder.name.clone());
    ContainerSpec {
        task_id: task.id.clone(),
        sandbox_id: task.attachment.sandbox_id.clone().unwrap_or_default(),
        name: spec.name.clone(),
        process,
        share_pid_with,
        task_cpu: task.cpu,
        task_memory: task.memory,
    }
}
