//! Whether AWS answers: what the node's Ready condition is made of.
//!
//! Every call to AWS is recorded here by its outcome. An answer that refuses the request (a
//! `ClientException`) is an answer all the same: AWS is there. Only silence, throttling and server errors are
//! trouble, and an error that no request could escape (credentials, a cluster that does not exist).

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::RwLock;

use crate::clock;

/// How the latest call to AWS ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// AWS answered.
    Answered,
    /// AWS did not answer, or answered that it cannot: what was seen, in one line.
    Trouble(String),
}

#[derive(Debug)]
struct State {
    last_success: Option<Timestamp>,
    latest: Option<Outcome>,
}

/// The record of the calls to AWS; cheap to clone, shared by who calls and who asks.
#[derive(Debug, Clone)]
pub struct Health {
    clock: clock::Shared,
    state: Arc<RwLock<State>>,
}

impl Health {
    /// A record of no call at all.
    #[must_use]
    pub fn new(clock: clock::Shared) -> Self {
        Self { clock, state: Arc::new(RwLock::new(State { last_success: None, latest: None })) }
    }

    /// Notes how a call ended, now.
    pub fn record(&self, outcome: Outcome) {
        let now = self.clock.now();
        let mut state = self.state.write();
        if outcome == Outcome::Answered {
            state.last_success = Some(now);
        }
        state.latest = Some(outcome);
    }

    /// When AWS last answered; `None` if it has not since the provider started.
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
