//! The auditor: compares everything that the runtime holds with what should exist, in one call of the runtime.
//!
//! Events are fast but may be lost; this pass finds what they missed: an exit that was lost with the event stream, a
//! sandbox that exited while it was idle, a container that was created after its caller had stopped waiting. It runs once after
//! the start, after each gap in the events, and every minute.

use std::time::Duration;

use tracing::warn;

use super::boot;
use super::cpu_limit;
use super::mailbox::Message;
use super::observation::ByTask;
use super::strangers;
use crate::engine::context::Context;
use crate::runtime;

/// The time limit for ensuring the network.
const NETWORK: Duration = Duration::from_secs(60);

/// One audit. It does nothing until the engine is ready: the start does its own comparison.
pub(in crate::engine) async fn pass(context: &Context) -> Result<(), runtime::Error> {
    let Some(pool) = context.pool_now() else { return Ok(()) };
    // Before the inventory is taken: a container that is created later would seem to be missing.
    let tasks = context.registry.live();
    let inventory = context.inventory().await?;
    let by_task = ByTask::new(&inventory);
    for task in &tasks {
        let observation = by_task.of(task);
        if !observation.events(task, |_| false).is_empty()
            && let Some(supervisor) = context.supervisor(&task.arn)
        {
            // A supervisor that ended meanwhile does not need it.
            let _ = supervisor.send(Message::Observed(observation));
        }
    }
    strangers::remove_of_tasks(context, &inventory).await;
    // `docker network prune` removes the network while no sandbox is on it.
    let vpc = pool.vpc();
    let ensured = context.clock.timeout(NETWORK, boot::ensure_network(context, &vpc)).await;
    if let Err(error) = ensured.unwrap_or_else(|elapsed| Err(elapsed.into())) {
        warn!(
            error = &error as &dyn std::error::Error,
            "could not ensure the VPC's network, without which no task starts; the next audit retries it"
        );
    }
    if let Err(error) = pool.observe(&inventory).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "could not compare the sandboxes with those that run; the next audit retries it"
        );
    }
    cpu_limit::set_all(context).await;
    Ok(())
}
