//! Begins what is planned and not yet under way.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Done, Supervisor, store_trouble};
use crate::engine::task::{Action, Desired, Event, next, plan};
use crate::engine::work::action::Work;

impl Supervisor {
    /// Begins all that is planned and not yet under way.
    pub(super) async fn carry_out(&mut self) {
        if self.task.desired_status == Desired::Stopped {
            self.abandon_waits();
        }
        let mut again = true;
        while std::mem::take(&mut again) {
            self.commit().await;
            if !self.backlog.is_empty() {
                return;
            }
            for action in self.planned() {
                again |= match action {
                    Action::AnnounceStop => {
                        self.advance(vec![Event::Stopping]).await;
                        true
                    }
                    Action::Claim => self.claim().await,
                    Action::Release if self.released.is_some() => self.end().await,
                    _ => {
                        self.begin(action);
                        false
                    }
                };
                if !self.backlog.is_empty() {
                    return;
                }
            }
        }
    }

    /// What may be begun now.
    fn planned(&self) -> Vec<Action> {
        let now = self.context.clock.now();
        // A created sandbox is committed first, even if the task is to stop: then it is removed with the task.
        let planned = if self.made.is_some() { vec![Action::Claim] } else { plan(&self.task) };
        let looks = self.looks.iter().filter(|index| {
            let container = &self.task.containers[**index];
            container.container_id.is_some() && !container.is_stopped()
        });
        planned
            .into_iter()
            .chain(looks.copied().map(Action::Look))
            .filter(|action| self.may_begin(*action) && self.retries.is_due(*action, now))
            .collect()
    }

    /// A look delays no other action: its outcome is dropped if the container changed meanwhile.
    fn may_begin(&self, action: Action) -> bool {
        let busy = |other: Action| match (action, other) {
            _ if action == other => true,
            (Action::Look(container), _) => other.container() == Some(container),
            (_, Action::Look(_)) => false,
            (Action::Release, _) => true,
            _ => action.container().is_some() && action.container() == other.container(),
        };
        let is_useless = self.lost.is_some() && matches!(action, Action::Start(_));
        !is_useless && !self.in_flight.values().any(|(other, _)| busy(*other))
    }

    /// A pull or a new sandbox may take minutes, and is of no use to a task that is to stop.
    fn abandon_waits(&self) {
        for (action, handle) in self.in_flight.values() {
            if matches!(action, Action::Pull(_) | Action::Claim) {
                handle.abort();
            }
        }
    }

    fn begin(&mut self, action: Action) {
        let work = Work {
            context: Arc::clone(&self.context),
            task: Arc::clone(&self.task),
            route: self.sender.clone(),
        };
        let followers = match action {
            Action::Release => std::mem::take(&mut self.followers),
            _ => HashMap::new(),
        };
        if let Action::Look(container) = action {
            self.looking.insert(container, self.task.containers[container].clone());
        }
        self.spawn(action, async move { Done::Work(work.carry_out(action, followers).await) });
    }

    fn spawn(&mut self, action: Action, work: impl Future<Output = Done> + Send + 'static) {
        let handle = self.work.spawn(work);
        self.in_flight.insert(handle.id(), (action, handle));
    }

    /// Claims an idle sandbox at once, else begins to create one. Returns whether the task changed.
    async fn claim(&mut self) -> bool {
        let Some(pool) = self.context.pool_now() else {
            let context = Arc::clone(&self.context);
            self.spawn(Action::Claim, async move {
                context.pool().await;
                Done::Ready
            });
            return false;
        };
        let (before, now) = (Arc::clone(&self.task), self.context.clock.now());
        let connect = move |claim| next(&before, &Event::Connected(claim), now);
        let subnet_id = pool.subnet_of(&self.task);
        let claimed = match &mut self.made {
            Some(draft) => pool.keep(draft, &self.task, connect).await.map(Some),
            None => pool.claim_idle(&subnet_id, &self.task, connect).await,
        };
        match claimed {
            Ok(Some(after)) => {
                self.made = None;
                self.retries.succeeded(Action::Claim);
                self.take(after);
                true
            }
            Ok(None) => {
                let task = Arc::clone(&self.task);
                self.spawn(
                    Action::Claim,
                    async move { Done::Sandbox(pool.make_for(&subnet_id, &task).await) },
                );
                false
            }
            Err(error) => {
                store_trouble("commit the task's sandbox", &error);
                self.retries.failed(Action::Claim, now);
                false
            }
        }
    }
}
