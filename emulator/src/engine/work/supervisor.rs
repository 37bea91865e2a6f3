//! One supervisor a task: carries the plan out on the runtime, feeds what happens back, commits, then publishes.
//!
//! ```text
//! plan(task) ─▶ actions not yet in flight ─▶ runtime
//!      ▲                                        │ outcome, runtime events, stops, time
//!      └── publish ◀── commit ◀── next(task, event)
//! ```
//!
//! It holds no decision and nothing that a restart would lose. At most one action works on a container at a time, and
//! [`Action::Release`] works alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{debug, error, warn};

use super::action::{self, Outcome, Work};
use super::awslogs::Follower;
use super::mailbox::{Message, Route};
use super::observation::Observation;
use crate::engine::context::Context;
use crate::engine::ledger;
use crate::engine::network::pool::{self, Start};
use crate::engine::task::{Action, Desired, Event, Task, deadline, next, plan, reason};
use crate::store::{self, logs, sandboxes};

/// Between two tries of something that the runtime or the store could not do.
const RETRY: Duration = Duration::from_secs(1);

/// What happened to an action.
enum Done {
    Sandbox(Result<sandboxes::Row, pool::Error>),
    Work(Outcome),
}

#[derive(Debug)]
pub(in crate::engine) struct Supervisor {
    context: Arc<Context>,
    task: Arc<Task>,
    inbox: mpsc::UnboundedReceiver<Message>,
    /// For the routes of this task's containers.
    sender: mpsc::UnboundedSender<Message>,
    work: JoinSet<Done>,
    in_flight: HashMap<Id, Action>,
    /// Events of a container whose start is in flight: they are told after the start.
    deferred: HashMap<usize, Vec<Event>>,
    followers: HashMap<usize, Follower>,
    /// Held until the task runs, so that the pool's refill yields.
    starting: Option<Start>,
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Done")
    }
}

impl Supervisor {
    /// A supervisor of a committed task, reachable through the context from now on.
    pub(in crate::engine) fn new(context: Arc<Context>, task: Arc<Task>) -> Self {
        let (sender, inbox) = mpsc::unbounded_channel();
        context.supervisors.lock().insert(task.arn.clone(), sender.clone());
        let supervisor = Self {
            context,
            task,
            inbox,
            sender,
            work: JoinSet::new(),
            in_flight: HashMap::new(),
            deferred: HashMap::new(),
            followers: HashMap::new(),
            starting: None,
        };
        for (index, container) in supervisor.task.containers.iter().enumerate() {
            if let Some(container_id) = &container.container_id {
                supervisor.route(container_id, index);
            }
        }
        supervisor
    }

    /// Makes the task's state agree with what an earlier supervisor left running, then goes on with it.
    pub(in crate::engine) async fn adopt(mut self, observation: Observation) {
        // From here on requests come to this supervisor; what was asked of the task before is in the store.
        self.read_again().await;
        self.advance(observation.events(&self.task, |_| false)).await;
        for index in 0..self.task.containers.len() {
            if let Some(container_id) = self.task.containers[index].container_id.clone() {
                self.route(&container_id, index);
                self.follow(index);
            }
        }
        self.run().await;
    }

    /// Sees the task through to STOPPED.
    pub(in crate::engine) async fn run(mut self) {
        if self.task.started_at.is_none() {
            self.starting = Some(self.context.pool().await.begin_start());
        }
        loop {
            self.carry_out().await;
            if self.task.started_at.is_some() || self.task.desired_status == Desired::Stopped {
                self.starting = None;
            }
            if self.task.is_stopped() {
                break;
            }
            let wait = deadline(&self.task).map(|deadline| deadline.since(self.context.clock.now()));
            tokio::select! {
                Some(message) = self.inbox.recv() => self.handle(message).await,
                Some(done) = self.work.join_next_with_id() => self.done(done).await,
                () = self.context.clock.sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    self.advance(vec![Event::Tick]).await;
                }
            }
        }
        self.leave().await;
    }

    /// Nobody is to write here any more; who already has gets an answer.
    async fn leave(mut self) {
        self.context.supervisors.lock().remove(&self.task.arn);
        self.inbox.close();
        while let Some(message) = self.inbox.recv().await {
            self.handle(message).await;
        }
    }

    fn route(&self, container_id: &str, container: usize) {
        let route = Route { supervisor: self.sender.clone(), container };
        self.context.routes.lock().insert(container_id.to_owned(), route);
    }

    // ── carrying out ──

    /// Begins all that is planned and not yet under way.
    async fn carry_out(&mut self) {
        if self.task.desired_status == Desired::Stopped {
            self.abandon_pulls();
        }
        loop {
            let planned: Vec<Action> =
                plan(&self.task).into_iter().filter(|action| self.may_begin(*action)).collect();
            let mut again = false;
            for action in planned {
                match action {
                    Action::AnnounceStop => {
                        self.advance(vec![Event::Stopping]).await;
                        again = true;
                    }
                    Action::Claim => again |= self.claim().await,
                    _ => self.begin(action),
                }
            }
            if !again {
                return;
            }
        }
    }

    fn may_begin(&self, action: Action) -> bool {
        let busy = |other: &Action| match (action, other) {
            (Action::Release, _) => true,
            _ if action == *other => true,
            _ => action.container().is_some() && action.container() == other.container(),
        };
        !self.in_flight.values().any(busy)
    }

    /// A pull may take minutes, and nobody waits for it once the task is to stop.
    fn abandon_pulls(&mut self) {
        if self.in_flight.values().any(|action| matches!(action, Action::Pull(_)))
            && self.in_flight.values().all(|action| matches!(action, Action::Pull(_)))
        {
            self.work.abort_all();
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
        let handle = self.work.spawn(async move { Done::Work(work.carry_out(action, followers).await) });
        self.in_flight.insert(handle.id(), action);
    }

    /// Claims an idle sandbox at once, else begins to make one. Whether the task moved on.
    async fn claim(&mut self) -> bool {
        let pool = self.context.pool().await;
        let subnet_id = pool.subnet_of(&self.task);
        let (before, now) = (Arc::clone(&self.task), self.context.clock.now());
        let connect = move |claim| next(&before, &Event::Connected(claim), now);
        match pool.claim_idle(&subnet_id, &self.task, connect).await {
            Ok(Some(after)) => {
                self.take(after);
                true
            }
            Ok(None) => {
                let task = Arc::clone(&self.task);
                let make = async move { Done::Sandbox(pool.make_for(&subnet_id, &task).await) };
                let handle = self.work.spawn(make);
                self.in_flight.insert(handle.id(), Action::Claim);
                false
            }
            Err(error) => {
                self.trouble("claim a sandbox", &error).await;
                true
            }
        }
    }

    // ── what happens ──

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Happened(event) => match event_container(&event) {
                Some(container)
                    if self.in_flight.values().any(|action| *action == Action::Start(container)) =>
                {
                    self.deferred.entry(container).or_default().push(event);
                }
                _ => self.advance(vec![event]).await,
            },
            Message::Observed(observation) => {
                let busy =
                    |container| self.in_flight.values().any(|action| action.container() == Some(container));
                let events = observation.events(&self.task, busy);
                self.advance(events).await;
            }
            Message::Stop { code, reason, reply } => {
                self.advance(vec![Event::Stop { code, reason }]).await;
                // Who asked may have gone away; the task stops all the same.
                let _ = reply.send(Arc::clone(&self.task));
            }
            // Stopped: who asked changes the row instead, for from here on nothing else writes it.
            Message::Tag { .. } if self.task.is_stopped() => {}
            Message::Tag { change, reply } => {
                let changed = match change.apply(&self.task.tags) {
                    Ok(tags) => {
                        self.advance(vec![Event::Tagged(tags)]).await;
                        Ok(Arc::clone(&self.task))
                    }
                    Err(broken) => Err(broken),
                };
                let _ = reply.send(changed);
            }
        }
    }

    async fn done(&mut self, done: Result<(Id, Done), JoinError>) {
        let (id, done) = match done {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => {
                if error.is_panic() {
                    error!(%error, "carrying out an action panicked");
                }
                (error.id(), None)
            }
        };
        let action = self.in_flight.remove(&id);
        match done {
            Some(Done::Sandbox(Ok(row))) => self.keep_sandbox(row).await,
            Some(Done::Sandbox(Err(error))) => {
                let reason = reason::cannot_provision(&error);
                self.advance(vec![Event::StartFailed { container: None, reason }]).await;
            }
            Some(Done::Work(Outcome::Happened(events))) => self.worked(action, events).await,
            Some(Done::Work(Outcome::Released)) => self.released().await,
            Some(Done::Work(Outcome::Again)) => self.context.clock.sleep(RETRY).await,
            None => {}
        }
    }

    async fn keep_sandbox(&mut self, row: sandboxes::Row) {
        let pool = self.context.pool().await;
        loop {
            let (before, now) = (Arc::clone(&self.task), self.context.clock.now());
            let connect = move |claim| next(&before, &Event::Connected(claim), now);
            match pool.keep(row.clone(), &self.task, connect).await {
                Ok(after) => return self.take(after),
                Err(error) => self.trouble("keep a sandbox", &error).await,
            }
        }
    }

    async fn worked(&mut self, action: Option<Action>, mut events: Vec<Event>) {
        let started = match action {
            Some(Action::Start(container)) => Some(container),
            _ => None,
        };
        let deferred = started.and_then(|container| self.deferred.remove(&container)).unwrap_or_default();
        // What happened since the start is a change of its own: a short task is seen RUNNING.
        self.advance(std::mem::take(&mut events)).await;
        if let Some(container) = started {
            self.follow(container);
        }
        for event in deferred {
            self.advance(vec![event]).await;
        }
    }

    fn follow(&mut self, container: usize) {
        let Some(source) = action::source(&self.task, container) else { return };
        let after = self.followers.remove(&container);
        let context = &self.context;
        let follower = Follower::spawn(
            context.store.clone(),
            Arc::clone(&context.runtime),
            context.clock.clone(),
            source,
            after,
        );
        self.followers.insert(container, follower);
    }

    /// Everything of the task is gone from the runtime: commit STOPPED together with forgetting it.
    async fn released(&mut self) {
        let pool = self.context.pool().await;
        let now = self.context.clock.now();
        let after = match next(&self.task, &Event::Released, now) {
            Ok(after) => after,
            Err(illegal) => return error!(%illegal, "a task was released too early"),
        };
        loop {
            let (entry, attachment) = (ledger::Entry::of(&after), after.attachment.clone());
            let containers: Vec<String> =
                after.containers.iter().filter_map(|container| container.container_id.clone()).collect();
            let committed = self
                .context
                .store
                .write(move |connection| {
                    Box::pin(async move {
                        if let Some(sandbox_id) = &attachment.sandbox_id {
                            sandboxes::delete(connection, sandbox_id).await?;
                        }
                        for container_id in &containers {
                            logs::delete_cursor(connection, container_id).await?;
                        }
                        ledger::put(connection, &entry).await
                    })
                })
                .await;
            match committed {
                Ok(()) => break,
                Err(error) => self.trouble("commit a stopped task", &error).await,
            }
        }
        let subnet_id = pool.subnet_of(&after);
        match after.attachment.private_ipv4_address {
            Some(address) => pool.give_back(&subnet_id, address),
            None => pool.release_promise(&subnet_id),
        }
        {
            let mut routes = self.context.routes.lock();
            for container_id in
                after.containers.iter().filter_map(|container| container.container_id.as_ref())
            {
                routes.remove(container_id);
            }
        }
        self.take(after);
    }

    // ── state ──

    async fn read_again(&mut self) {
        loop {
            match ledger::get(self.context.store.readers(), &self.task.arn).await {
                Ok(Some(task)) => return self.task = Arc::new(task),
                Ok(None) => return,
                Err(error) => self.trouble("read a task", &error).await,
            }
        }
    }

    /// Draws the next state from what happened, commits it, then publishes it.
    async fn advance(&mut self, events: Vec<Event>) {
        let now = self.context.clock.now();
        let mut after = Task::clone(&self.task);
        for event in events {
            match next(&after, &event, now) {
                Ok(state) => after = state,
                // News of what is over: an exit after the last commit, a health check of a stopped container.
                Err(illegal) => debug!(%illegal, "left aside"),
            }
        }
        if after == *self.task {
            return;
        }
        let entry = ledger::Entry::of(&after);
        loop {
            let entry = entry.clone();
            let committed = self
                .context
                .store
                .write(move |connection| Box::pin(async move { ledger::put(connection, &entry).await }));
            match committed.await {
                Ok(()) => return self.take(after),
                Err(error) => self.trouble("commit a task", &error).await,
            }
        }
    }

    fn take(&mut self, after: Task) {
        if after.last_status != self.task.last_status {
            debug!(version = after.version, status = ?after.last_status, "task");
        }
        self.task = Arc::new(after);
        self.context.publish(&self.task);
    }

    /// The store is in trouble (a full disk, as a rule): the task waits where it is.
    async fn trouble(&self, attempted: &str, error: &store::Error) {
        warn!(error = error as &dyn std::error::Error, "could not {attempted}; trying again");
        self.context.clock.sleep(RETRY).await;
    }
}

impl Drop for Supervisor {
    /// The engine goes away, or gives everything up: followers end where they are.
    fn drop(&mut self) {
        for follower in self.followers.values() {
            follower.abort();
        }
    }
}

fn event_container(event: &Event) -> Option<usize> {
    match event {
        Event::Started { container, .. }
        | Event::Health { container, .. }
        | Event::Exited { container, .. }
        | Event::Gone { container } => Some(*container),
        _ => None,
    }
}
