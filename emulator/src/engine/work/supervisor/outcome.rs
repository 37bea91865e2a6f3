//! The outcome of an action: events, a retry, or the end of the retries.

use tokio::task::{Id, JoinError};
use tracing::{error, warn};

use super::{Done, Released, Supervisor};
use crate::engine::task::{Action, Desired, Event, plan, reason};
use crate::engine::work::action::Outcome;

impl Supervisor {
    pub(super) async fn done(&mut self, done: Result<(Id, Done), JoinError>) {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((action, _)) = self.in_flight.remove(&id) else { return };
        match done.map(|(_, done)| done) {
            Ok(Done::Ready) => {}
            Ok(Done::Sandbox(Ok(draft))) => self.made = Some(draft),
            Ok(Done::Sandbox(Err(error))) => {
                let reason = reason::cannot_provision(&error);
                if error.may_pass() && self.task.desired_status == Desired::Running {
                    self.failed(action, reason).await;
                } else {
                    self.advance(vec![Event::StartFailed { container: None, reason }]).await;
                }
            }
            Ok(Done::Work(outcome)) => self.worked(action, outcome).await,
            Err(error) if error.is_panic() => {
                error!(?action, %error, "an action panicked; it counts as failed");
                self.failed(action, format!("InternalError: {action:?} panicked")).await;
            }
            // A pull that was abandoned.
            Err(_) => {}
        }
        if !self.is_starting()
            && let Some(lost) = self.lost.take()
        {
            self.happened(lost).await;
        }
    }

    async fn worked(&mut self, action: Action, outcome: Outcome) {
        match outcome {
            Outcome::Happened(events) => match action {
                Action::Look(container) => self.looked(container, events).await,
                _ => {
                    let is_lost = events.iter().any(is_loss);
                    if is_lost {
                        self.apply_deferred_if_it_ran(action).await;
                    }
                    if is_lost && self.is_starting() {
                        // Another container may have started in it.
                        self.lost = events.into_iter().find(is_loss);
                        self.retries.failed(action, self.context.clock.now());
                    } else {
                        self.carried_out(action, events).await;
                    }
                }
            },
            Outcome::Released => self.released = Some(Released { left: None }),
            Outcome::Failed { events, reason } => {
                if !events.is_empty() {
                    self.advance(events).await;
                }
                self.failed(action, reason).await;
                self.apply_deferred(action).await;
            }
            Outcome::StoreFailed => {
                self.retries.failed(action, self.context.clock.now());
            }
        }
    }

    async fn carried_out(&mut self, action: Action, mut events: Vec<Event>) {
        // Events after a start are separate changes, so that a short task is published as RUNNING.
        let is_start = |event: &Event| matches!((action, event), (Action::Start(_), Event::Started { .. }));
        let since = events.iter().position(is_start).map_or(Vec::new(), |at| events.split_off(at + 1));
        self.advance(events).await;
        if self.backlog.is_empty() && plan(&self.task).contains(&action) {
            // It changed nothing, and would begin again at once.
            self.retries.failed(action, self.context.clock.now());
        } else {
            self.retries.succeeded(action);
        }
        for event in since {
            self.advance(vec![event]).await;
        }
        self.apply_deferred(action).await;
    }

    /// Applies what was reported of a container while it was being started.
    async fn apply_deferred(&mut self, action: Action) {
        let Action::Start(container) = action else { return };
        for event in self.deferred.remove(&container).unwrap_or_default() {
            self.happened(event).await;
        }
    }

    /// A start has failed in a lost sandbox. If the container ran nevertheless, its events are applied, because they decide
    /// what happens to the task; otherwise they are dropped with the container.
    async fn apply_deferred_if_it_ran(&mut self, action: Action) {
        let Action::Start(container) = action else { return };
        let is_start = |event: &Event| matches!(event, Event::Started { .. });
        if !self.deferred.get(&container).is_some_and(|deferred| deferred.iter().any(is_start)) {
            self.deferred.remove(&container);
        }
        self.apply_deferred(action).await;
    }

    /// Applies the outcome of a look if no action and no event changed the container meanwhile; otherwise the look is
    /// repeated.
    async fn looked(&mut self, container: usize, events: Vec<Event>) {
        let begun_with = self.looking.remove(&container);
        let untouched = begun_with.as_ref() == self.task.containers.get(container)
            && !self.in_flight.values().any(|(other, _)| other.container() == Some(container));
        if !untouched {
            return;
        }
        self.looks.remove(&container);
        self.retries.succeeded(Action::Look(container));
        for event in events {
            self.advance(vec![event]).await;
        }
    }

    /// An action failed: it is retried, and after enough attempts the task continues without it.
    async fn failed(&mut self, action: Action, reason: String) {
        let retry = self.retries.failed(action, self.context.clock.now());
        if !retry.is_exhausted() {
            warn!(?action, %reason, "could not carry out an action; retrying");
            return;
        }
        let instead = match action {
            // A look is never given up: nothing else would report that a container has exited.
            Action::Look(_) | Action::AnnounceStop => {
                return warn!(?action, %reason, "could not inspect a container; retrying");
            }
            Action::Claim | Action::Initialize => Event::StartFailed { container: None, reason },
            Action::Pull(container) | Action::Start(container) => {
                Event::StartFailed { container: Some(container), reason }
            }
            Action::Stop(container) => Event::StopFailed { container, reason },
            Action::Release => {
                error!(%reason, "could not remove everything of a STOPPED task; the audit removes what is left");
                self.released = Some(Released { left: Some(reason) });
                return;
            }
        };
        warn!(?action, ?instead, "could not carry out an action; gave up");
        self.retries.succeeded(action);
        self.advance(vec![instead]).await;
    }
}

fn is_loss(event: &Event) -> bool {
    matches!(event, Event::SandboxLost { .. })
}
