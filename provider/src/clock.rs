//! The source of time. Everything else takes a [`Clock`] or an instant, so that a test can move time by hand.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

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
        reason = "this is the clock module: the only place that asks the machine"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
