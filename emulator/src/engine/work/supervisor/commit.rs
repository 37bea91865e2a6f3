//! From events to the next state of the task: computed, committed, then published.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{debug, error};

use super::{Released, Supervisor, store_trouble};
use crate::engine::task::{Action, ContainerStatus, Event, Tag, Task, next};
use crate::engine::work::retries::Retry;
use crate::engine::{ledger, tag};
use crate::store::{logs, sandboxes};

/// Events that are not committed yet.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) events: Vec<Event>,
    /// The callers that wait for the commit.
    pub(super) replies: Vec<Reply>,
    /// The store failed.
    pub(super) retry: Option<Retry>,
}

/// A caller that receives the committed task.
#[derive(Debug)]
pub(super) enum Reply {
    Stop(oneshot::Sender<Arc<Task>>),
    Tag(oneshot::Sender<Result<Arc<Task>, tag::Broken>>),
}

impl Backlog {
    /// The task's tags after the events that are not committed.
    pub(super) fn tags<'a>(&'a self, task: &'a Task) -> &'a [Tag] {
        let tagged = self.events.iter().rev().find_map(|event| match event {
            Event::Tagged(tags) => Some(tags),
            _ => None,
        });
        tagged.unwrap_or(&task.tags)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.replies.is_empty()
    }
}

impl Supervisor {
    /// Computes the next state from the events, commits it, then publishes it.
    pub(super) async fn advance(&mut self, events: Vec<Event>) {
        self.backlog.events.extend(events);
        self.commit().await;
    }

    /// Commits the backlog; after a failure of the store only once the retry is due.
    pub(super) async fn commit(&mut self) {
        let now = self.context.clock.now();
        if self.backlog.is_empty() || self.backlog.retry.is_some_and(|retry| retry.wait(now).is_some()) {
            return;
        }
        let mut after = Task::clone(&self.task);
        for event in &self.backlog.events {
            match next(&after, event, now) {
                Ok(state) => after = state,
                // It is out of date: an exit after the last commit, a health check of a stopped container.
                Err(illegal) => debug!(%illegal, "ignored an event that no longer applies to the task"),
            }
        }
        if after != *self.task {
            let entry = ledger::Entry::of(&after);
            let committed = self
                .context
                .store
                .write(move |connection| Box::pin(async move { ledger::put(connection, &entry).await }));
            if let Err(error) = committed.await {
                store_trouble("commit a task", &error);
                self.backlog.retry = Some(Retry::after(self.backlog.retry, now));
                return;
            }
            self.take(after);
        }
        for reply in std::mem::take(&mut self.backlog).replies {
            let task = Arc::clone(&self.task);
            // The caller may have gone away; the task is changed nevertheless.
            match reply {
                Reply::Stop(reply) => drop(reply.send(task)),
                Reply::Tag(reply) => drop(reply.send(Ok(task))),
            }
        }
    }

    pub(super) fn take(&mut self, after: Task) {
        if after.last_status != self.task.last_status {
            debug!(version = after.version, status = ?after.last_status, "task");
        }
        let before = std::mem::replace(&mut self.task, Arc::new(after));
        if before.attachment.sandbox_id.is_some() && self.task.attachment.sandbox_id.is_none() {
            // Reports of its containers no longer matter.
            self.forget_routes();
            // Without a pool the engine is being halted; the next start finds the sandbox.
            if let Some(pool) = self.context.pool_now() {
                pool.abandon(&before);
            }
        }
        self.context.publish(&self.task);
        for index in 0..self.task.containers.len() {
            let runs = |task: &Task| task.containers[index].last_status == ContainerStatus::Running;
            if runs(&self.task) && !runs(&before) {
                self.follow(index);
            }
        }
    }

    /// Commits STOPPED and the deletion of the task's sandbox and cursors together. Returns whether that succeeded.
    pub(super) async fn end(&mut self) -> bool {
        let Some(Released { left }) = self.released.clone() else { return false };
        let now = self.context.clock.now();
        let after = match next(&self.task, &Event::Released { left }, now) {
            Ok(after) => after,
            Err(illegal) => {
                error!(%illegal, "a task was released too early");
                self.released = None;
                self.retries.failed(Action::Release, now);
                return false;
            }
        };
        let (entry, attachment) = (ledger::Entry::of(&after), after.attachment.clone());
        let container_ids: Vec<String> =
            after.containers.iter().filter_map(|container| container.container_id.clone()).collect();
        let committed = self
            .context
            .store
            .write(move |connection| {
                Box::pin(async move {
                    let sandbox = match &attachment.sandbox_id {
                        Some(sandbox_id) => sandboxes::delete(&mut *connection, sandbox_id).await?,
                        None => None,
                    };
                    for container_id in &container_ids {
                        logs::delete_cursor(connection, container_id).await?;
                    }
                    ledger::put(connection, &entry).await.map(|()| sandbox)
                })
            })
            .await;
        let sandbox = match committed {
            Ok(sandbox) => sandbox,
            Err(error) => {
                store_trouble("commit a stopped task", &error);
                self.retries.failed(Action::Release, now);
                return false;
            }
        };
        if let Some(pool) = self.context.pool_now() {
            match &sandbox {
                Some(sandbox) => pool.retire(sandbox),
                None if after.attachment.sandbox_id.is_none() => {
                    pool.release_promise(&pool.subnet_of(&after));
                }
                // A full pass has found that it was lost.
                None => {}
            }
        }
        // Also those of containers that were given up with a lost sandbox, which the task no longer names.
        self.forget_routes();
        self.take(after);
        true
    }
}
