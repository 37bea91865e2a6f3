//! Where time enters. Everything else takes a [`Clock`] or an instant, so that a test can move time by hand.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;

/// A source of the current time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current instant.
    fn now(&self) -> Timestamp;
}

/// A clock as components carry it.
pub type Shared = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock module: the one place that asks the machine"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is moved; for tests.
#[derive(Debug)]
pub struct Manual {
    now: Mutex<Timestamp>,
}

impl Manual {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(now) })
    }

    /// Moves the clock forward by `by`.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        // An overflow lies nine thousand years ahead; the clock stays where it is then.
        *now = now.checked_add(by).unwrap_or(*now);
    }
}

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        *self.now.lock()
    }
}
