//! `docker system prune` by another user, of all that the engine considers unused.

use std::sync::Arc;

use anyhow::ensure;
use harness::docker;

use crate::world::{Fleet, World};

pub(crate) async fn a_prune_of_everything_beside_running_tasks_costs_none_of_them(
    world: &Arc<World>,
) -> anyhow::Result<()> {
    let (fleet, arns) = Fleet::running(world, "pruned", 6).await?;
    let (stopped, running) = arns.split_at(3);
    // Containers that have exited are pruned before or after the emulator has seen their exit.
    let prune = docker::docker(&["system", "prune", "--all", "--volumes", "--force"]);
    let (pruned, accepted) = tokio::join!(prune, fleet.stop(stopped));
    accepted?;
    pruned?;
    for task in fleet.reach(stopped, "STOPPED").await? {
        let reason = task.stopped_reason();
        ensure!(reason == Some("the test"), "{reason:?}");
    }
    fleet.runs_again_beside(running).await?;
    docker::docker(&["system", "prune", "--all", "--volumes", "--force"]).await?;
    fleet.runs_again_beside(running).await?;
    fleet.ends(running).await?;
    fleet.close().await
}
