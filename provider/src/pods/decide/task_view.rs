//! What is known of a pod's task and of its containers, as input of a decision.

use std::sync::Arc;

use aws_sdk_ecs::types::Task;

/// What is known of the task of the pod's attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskView {
    /// There is none: one is to be run.
    None,
    /// There may be one; AWS has not reported yet.
    Unknown,
    /// There is one, as it was last described.
    Task(Arc<Task>),
    /// There was one, and ECS calls it MISSING.
    Missing,
}

/// A container that a probe has given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condemned {
    /// Its name.
    pub container: String,
    /// `liveness` or `startup`.
    pub probe: &'static str,
    /// What the probe saw last.
    pub message: String,
}
