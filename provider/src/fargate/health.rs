//! Whether AWS responds: the source of the node's Ready condition.
//!
//! Every call to AWS is recorded here by its outcome. A response that refuses the request (a
//! `ClientException`) is still a response: AWS works. Only silence, throttling and server errors are trouble,
//! and an error that every request would get (credentials, a cluster that does not exist).

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::RwLock;

use crate::clock;

/// How the latest call to AWS ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// AWS responded.
    Answered,
    /// AWS did not respond, or responded that it cannot: what was seen, in one line.
    Trouble(String),
}

#[derive(Debug)]
struct State {
    last_success: Option<Timestamp>,
    latest: Option<Outcome>,
}

/// The record of the calls to AWS; cheap to clone, shared by those that write and those that read it.
#[derive(Debug, Clone)]
pub struct Health {
    clock: clock::Shared,
    state: Arc<RwLock<State>>,
}

impl Health {
    /// An empty record.
    #[must_use]
    pub fn new(clock: clock::Shared) -> Self {
        Self { clock, state: Arc::new(RwLock::new(State { last_success: None, latest: None })) }
    }

    /// Records how a call ended, now.
    pub fn record(&self, outcome: Outcome) {
        let now = self.clock.now();
        let mut state = self.state.write();
        if outcome == Outcome::Answered {
            state.last_success = Some(now);
        }
        state.latest = Some(outcome);
    }

    /// When AWS last responded; `None` if it has not since the provider started.
    #[must_use]
    pub fn last_success(&self) -> Option<Timestamp> {
        self.state.read().last_success
    }

    /// How the latest call ended; `None` before the first.
    #[must_use]
    pub fn latest(&self) -> Option<Outcome> {
        self.state.read().latest.clone()
    }
}
