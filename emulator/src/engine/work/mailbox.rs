//! The messages of a supervisor, and which supervisor receives a container's events.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::observation::Observation;
use crate::engine::tag;
use crate::engine::task::{Event, StopCode, Task};

/// What a supervisor receives.
#[derive(Debug)]
pub(in crate::engine) enum Message {
    /// The runtime reported an event of the task.
    Happened(Event),
    /// An inventory differs from the task. It does not apply to containers on which an action works.
    Observed(Observation),
    Stop {
        code: StopCode,
        reason: String,
        reply: oneshot::Sender<Arc<Task>>,
    },
    Tag {
        change: tag::Change,
        reply: oneshot::Sender<Result<Arc<Task>, tag::Broken>>,
    },
}

/// The supervisor that an event of a container goes to.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Route {
    pub(in crate::engine) supervisor: mpsc::UnboundedSender<Message>,
    /// The container's index in its task.
    pub(in crate::engine) container: usize,
}
