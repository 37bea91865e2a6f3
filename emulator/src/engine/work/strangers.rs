//! Removes what the runtime holds of this instance but no task and no row of the store refers to.
//!
//! It was left by a process that was killed, by a call that took longer than its caller waited, or by a removal that failed.
//! What cannot be removed is logged, and the next pass retries it.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use tracing::warn;

use crate::engine::context::Context;
use crate::runtime::{self, Inventory};

/// How long all removals of a kind may take together: the next pass removes what is left.
const TOGETHER: Duration = Duration::from_mins(1);

/// Removals at a time.
const AT_ONCE: usize = 8;

/// How long a pass waits for one removal. It may take much longer; the next pass removes what is left.
const BOUND: Duration = Duration::from_secs(30);

/// Removes the containers, then the shared parts, of tasks that are not live. What tasks whose rows cannot be read have on the
/// runtime stays, so that a program that can read them finds it; a reset removes it.
pub(in crate::engine) async fn remove_of_tasks(context: &Context, inventory: &Inventory) {
    let runtime = &context.runtime;
    // After the inventory was taken: a task with a container in it was live before.
    let live = context.registry.live().into_iter().map(|task| task.id.clone());
    let unreadable = context.unreadable().into_iter();
    let known: HashSet<String> =
        live.chain(unreadable.filter_map(|arn| arn.rsplit('/').next().map(str::to_owned))).collect();
    let containers = inventory.containers.iter().filter(|container| !known.contains(&container.task_id));
    let containers = containers.map(|container| &container.container_id);
    remove_all(context, containers.map(|id| ("container", id, runtime.remove_container(id)))).await;
    let shared = inventory.tasks.iter().filter(|task_id| !known.contains(*task_id));
    remove_all(context, shared.map(|id| ("shared part of the task", id, runtime.release_task(id)))).await;
}

/// Removes the sandboxes that are not in `known`.
pub(in crate::engine) async fn remove_sandboxes(
    context: &Context,
    known: &HashSet<String>,
    inventory: &Inventory,
) {
    let sandboxes = inventory.sandboxes.iter().map(|sandbox| &sandbox.sandbox_id);
    let unknown: Vec<String> = sandboxes.filter(|id| !known.contains(*id)).cloned().collect();
    remove_these(context, &unknown).await;
}

/// Removes these sandboxes.
pub(in crate::engine) async fn remove_these(context: &Context, sandbox_ids: &[String]) {
    let runtime = &context.runtime;
    remove_all(context, sandbox_ids.iter().map(|id| ("sandbox", id, runtime.remove_sandbox(id)))).await;
}

type Removal<'r> = (&'static str, &'r String, BoxFuture<'r, Result<(), runtime::Error>>);

async fn remove_all<'r>(context: &Context, removals: impl Iterator<Item = Removal<'r>>) {
    let removals = removals.map(|(kind, id, removal)| async move {
        let attempted = || format!("remove the {kind} {id}");
        if let Err(error) = runtime::within(&context.clock, BOUND, attempted, removal).await {
            warn!(%error, "could not remove the {kind} {id}, which belongs to no task; the next audit retries it");
        }
    });
    let all = futures::stream::iter(removals).for_each_concurrent(AT_ONCE, |removal| removal);
    if context.clock.timeout(TOGETHER, all).await.is_err() {
        warn!(
            "could not remove everything that belongs to no task within {TOGETHER:?}; the next audit continues"
        );
    }
}
