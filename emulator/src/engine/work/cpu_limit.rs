//! The limit of a task's CPU, set as soon as its first container has started, and again by the audit: for a limit that failed,
//! and for a task whose emulator was killed in between.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tracing::warn;

use crate::engine::context::Context;
use crate::engine::task::{ContainerStatus, Task};
use crate::runtime;

/// The time limit for one task, and how many tasks are limited at once.
const BOUND: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 8;

pub(super) async fn set(context: &Context, task: &Task) {
    let attempted = || format!("limit the CPU of the task {}", task.id);
    let limited = context.runtime.limit_cpu(&task.id, task.cpu);
    if let Err(error) = runtime::within(&context.clock, BOUND, attempted, limited).await {
        warn!(
            task = task.id,
            error = &error as &dyn std::error::Error,
            "could not limit the CPU of a task's containers together; the next audit retries it"
        );
    }
}

/// [`set`] for every task that runs.
pub(super) async fn set_all(context: &Context) {
    let live = context.registry.live();
    let running = live.iter().filter(|task| {
        task.containers.iter().any(|container| container.last_status == ContainerStatus::Running)
    });
    stream::iter(running).for_each_concurrent(AT_ONCE, |task| set(context, task)).await;
}
