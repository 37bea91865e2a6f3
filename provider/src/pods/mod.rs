//! The pods bound to the node, each run as a task.

pub mod annotations;
