//! One supervisor per task: carries the plan out on the runtime, feeds what happens back, commits, then publishes.
//!
//! ```text
//! plan(task) ─▶ actions not yet in flight ─▶ runtime
//!      ▲                                        │ outcome, runtime events, stops, time
//!      └── publish ◀── commit ◀── next(task, event)
//! ```
//!
//! It makes no decision and holds nothing that a restart would lose. At most one action works on a container at a time, and
//! [`Action::Release`] works alone.
//!
//! It neither sleeps nor waits for the runtime: a stop is committed and acknowledged whatever the actions do. A failed
//! action is retried with a back-off, and after enough attempts the task moves on with the reason. What the store cannot
//! take waits in a backlog: until it is committed, no action begins.

mod carry_out;
mod commit;
mod outcome;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinSet};
use tracing::warn;

use super::action::{self, Outcome};
use super::awslogs::Follower;
use super::mailbox::{Message, Route};
use super::observation::Observation;
use super::retries::Retries;
use crate::engine::context::Context;
use crate::engine::ledger;
use crate::engine::network::Draft;
use crate::engine::network::pool::{self, Start};
use crate::engine::task::{Action, Container, ContainerStatus, Desired, Event, Task, deadline};
use crate::store;
use commit::{Backlog, Reply};

/// Between two attempts to read the task that is adopted.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// The result of an action.
enum Done {
    /// The engine is ready: the pool to claim from exists.
    Ready,
    Sandbox(Result<Draft, pool::Error>),
    Work(Outcome),
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Done")
    }
}

#[derive(Debug)]
pub(in crate::engine) struct Supervisor {
    context: Arc<Context>,
    task: Arc<Task>,
    inbox: mpsc::UnboundedReceiver<Message>,
    /// For the routes of this task's containers.
    sender: mpsc::UnboundedSender<Message>,
    work: JoinSet<Done>,
    in_flight: HashMap<Id, (Action, AbortHandle)>,
    retries: Retries,
    /// Events of a container whose start is in flight: they are applied after the start.
    deferred: HashMap<usize, Vec<Event>>,
    /// The loss of the task's sandbox, which is applied after the starts that are in flight.
    lost: Option<Event>,
    /// Containers of which events may have been missed.
    looks: BTreeSet<usize>,
    /// The containers as they were when a look at them began.
    looking: HashMap<usize, Container>,
    followers: HashMap<usize, Follower>,
    backlog: Backlog,
    /// A sandbox that was created for the task and is not committed yet.
    made: Option<Draft>,
    /// The task is released, which is not committed yet.
    released: Option<Released>,
    /// Held until the task runs, so that the pool's refill yields.
    starting: Option<Start>,
}

/// See [`Event::Released`].
#[derive(Clone, Debug)]
struct Released {
    left: Option<String>,
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
            retries: Retries::default(),
            deferred: HashMap::new(),
            lost: None,
            looks: BTreeSet::new(),
            looking: HashMap::new(),
            followers: HashMap::new(),
            backlog: Backlog::default(),
            made: None,
            released: None,
            starting: None,
        };
        for (index, container) in supervisor.task.containers.iter().enumerate() {
            if let Some(container_id) = &container.container_id {
                supervisor.route(container_id, index);
            }
        }
        supervisor
    }

    /// Makes the task's state agree with what an earlier supervisor left running, then runs it.
    pub(in crate::engine) async fn adopt(mut self, observation: Observation) {
        // From here on this supervisor receives the requests; earlier ones are in the store.
        self.read_again().await;
        self.advance(observation.events(&self.task, |_| false)).await;
        for index in 0..self.task.containers.len() {
            if let Some(container_id) = self.task.containers[index].container_id.clone() {
                self.route(&container_id, index);
                // The log of one that has not started ends at once: followed now, it would count as read to its end.
                if self.task.containers[index].has_started() && !self.followers.contains_key(&index) {
                    self.follow(index);
                }
            }
        }
        // What happened between the inventory and the routes was not delivered.
        self.look_at_all();
        self.run().await;
    }

    /// Carries the task through to STOPPED.
    pub(in crate::engine) async fn run(mut self) {
        loop {
            self.hold_back_refill();
            self.carry_out().await;
            if self.task.is_stopped() {
                break;
            }
            let wait = self.wait();
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

    /// Accepts no more messages, and replies to those that are queued.
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

    /// Receives no more events of the task's containers.
    fn forget_routes(&self) {
        self.context.routes.lock().retain(|_, route| !route.supervisor.same_channel(&self.sender));
    }

    /// Whether the task no longer has this container, because it was created in a sandbox that is lost.
    fn is_given_up(&self, container: usize) -> bool {
        self.task.containers.get(container).is_some_and(|container| container.container_id.is_none())
    }

    /// Whether the start of a container is under way.
    fn is_starting(&self) -> bool {
        self.in_flight.values().any(|(action, _)| matches!(action, Action::Start(_)))
    }

    fn hold_back_refill(&mut self) {
        let starts = self.task.started_at.is_none() && self.task.desired_status == Desired::Running;
        if !starts {
            self.starting = None;
        } else if self.starting.is_none() {
            self.starting = self.context.pool_now().as_ref().map(pool::Pool::begin_start);
        }
    }

    /// How long to wait if nothing happens; `None` without a limit.
    fn wait(&self) -> Option<Duration> {
        let now = self.context.clock.now();
        if let Some(retry) = self.backlog.retry {
            return Some(retry.wait(now).unwrap_or_default());
        }
        let deadline = deadline(&self.task).map(|deadline| deadline.since(now));
        deadline.into_iter().chain(self.retries.wait(now)).min()
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Happened(event) => match event.container() {
                Some(container) if self.is_in_flight(Action::Start(container)) => {
                    self.deferred.entry(container).or_default().push(event);
                }
                Some(container) if self.is_given_up(container) => {}
                _ => self.happened(event).await,
            },
            Message::Observed(observation) => {
                let busy =
                    |index| self.in_flight.values().any(|(action, _)| action.container() == Some(index));
                for event in observation.events(&self.task, busy) {
                    self.happened(event).await;
                }
            }
            Message::Stop { code, reason, reply } => {
                self.backlog.replies.push(Reply::Stop(reply));
                self.advance(vec![Event::Stop { code, reason }]).await;
            }
            // Stopped: the caller changes the row instead, because nothing else writes it from here on.
            Message::Tag { .. } if self.task.is_stopped() => {}
            Message::Tag { change, reply } => match change.apply(self.backlog.tags(&self.task)) {
                Ok(tags) => {
                    self.backlog.replies.push(Reply::Tag(reply));
                    self.advance(vec![Event::Tagged(tags)]).await;
                }
                Err(broken) => {
                    // The caller may have gone away.
                    let _ = reply.send(Err(broken));
                }
            },
        }
    }

    async fn read_again(&mut self) {
        loop {
            match ledger::get(self.context.store.readers(), &self.task.arn).await {
                Ok(Some(task)) => return self.task = Arc::new(task),
                Ok(None) => return,
                Err(error) => store_trouble("read a task", &error),
            }
            self.context.clock.sleep(READ_AGAIN).await;
        }
    }

    fn look_at_all(&mut self) {
        self.looks.extend(0..self.task.containers.len());
    }

    fn is_in_flight(&self, action: Action) -> bool {
        self.in_flight.values().any(|(other, _)| *other == action)
    }

    /// Something that the runtime reported.
    async fn happened(&mut self, event: Event) {
        if matches!(event, Event::SandboxLost { .. }) && self.is_starting() {
            // Whether anything ran in it decides what happens to the task, and the start under way will show that.
            self.lost = Some(event);
            return;
        }
        let ended = match &event {
            Event::Exited { container, .. } => Some(*container),
            _ => None,
        };
        self.advance(vec![event]).await;
        // The exit is of an earlier run, or the engine's clock was set back: a look shows which.
        let runs = |container: &Container| container.last_status == ContainerStatus::Running;
        self.looks.extend(ended.filter(|index| self.task.containers.get(*index).is_some_and(runs)));
    }

    fn follow(&mut self, container: usize) {
        let Some(source) = action::source(&self.task, container) else { return };
        let after = self.followers.remove(&container);
        let follower = Follower::spawn(&self.context, source, after);
        self.followers.insert(container, follower);
    }
}

/// Usually a full disk: the task waits where it is.
fn store_trouble(attempted: &str, error: &store::Error) {
    warn!(error = error as &dyn std::error::Error, "could not {attempted}; retrying");
}
