//! Whether tasks can be placed, and why not.

use std::time::Duration;

use super::network::pool::Pool;
use crate::clock::Timestamp;

/// How long a request waits for an engine that is not ready.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub(super) enum Readiness {
    /// The network exists, and the sandboxes that an earlier process left are counted.
    Ready(Pool),
    NotReady(NotReady),
}

/// Why tasks cannot be placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the container engine is not ready to run tasks: {reason}")]
pub struct NotReady {
    pub since: Timestamp,
    /// With all causes, in one line.
    pub reason: String,
}
