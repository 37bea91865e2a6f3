//! The auditor: compares everything that the runtime holds with what should be, in one call of the runtime.
//!
//! Events are fast but may be lost; this pass finds what they missed: an exit that was lost with the event stream, a
//! sandbox that exited while it was idle, a container that was made after its caller had stopped waiting. It runs once after
//! the start, after each gap in the events, and every minute.

use std::time::Duration;

use tracing::warn;

use super::boot;
use super::mailbox::Message;
use super::observation::ByTask;
use super::strangers;
use crate::engine::context::Context;
use crate::runtime;

/// The bound of ensuring the network.
const NETWORK: Duration = Duration::from_secs(60);

/// One audit. Nothing is done while the engine is not ready: the start makes one of its own.
pub(in crate::engine) async fn pass(context: &Context) -> Result<(), runtime::Error> {
    let Some(pool) = context.pool_now() else { return Ok(()) };
    // Before the inventory is taken: what comes to be meanwhile is not in it.
    let tasks = context.registry.live();
    let inventory = context.inventory().await?;
    let by_task = ByTask::new(&inventory);
    for task in &tasks {
        let observation = by_task.of(task);
        if !observation.events(task, |_| false).is_empty()
            && let Some(supervisor) = context.supervisor(&task.arn)
        {
            // One that ended meanwhile has nothing to look at any more.
            let _ = supervisor.send(Message::Observed(observation));
        }
    }
    strangers::remove_of_tasks(context, &inventory).await;
    // `docker network prune` removes it while no sandbox is on it.
    let vpc = pool.vpc();
    let ensured = context.clock.timeout(NETWORK, boot::ensure_network(context, &vpc)).await;
    if let Err(error) = ensured.unwrap_or_else(|elapsed| Err(elapsed.into())) {
        warn!(
            error = &error as &dyn std::error::Error,
            "could not ensure the VPC's network, without which no task starts; the next audit tries it again"
        );
    }
    if let Err(error) = pool.observe(&inventory).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "could not compare the sandboxes with those that run; the next audit does"
        );
    }
    Ok(())
}
