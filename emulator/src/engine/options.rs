//! How the engine is to behave.

use super::vpc;

/// How the engine is to behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// The region of hostnames, which are fixed before a task of some region comes.
    pub region: String,
    pub vpc: vpc::Choice,
    /// Show ACTIVATING between PENDING and RUNNING.
    pub activating: bool,
    /// Idle sandboxes of a subnet in use: tasks that can start at once without a wait for their network.
    pub sandbox_pool: usize,
    /// End tasks, pool and network at shutdown.
    pub ephemeral: bool,
    /// Listen on the host's loopback for the ports of tasks that run.
    pub publish_ports: bool,
}
