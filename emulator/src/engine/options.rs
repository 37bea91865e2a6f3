//! The engine's options.

use super::vpc;

/// The engine's options.
#[derive(Clone, Debug)]
pub struct Options {
    /// The region of hostnames, which are fixed before the task and its region are known.
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
