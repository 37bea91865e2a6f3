//! kill -9 in the middle of everything, repeatedly: only what should exist is left.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use harness::aws;

use crate::world::{Fleet, World, containers_of};

/// Each a little later in the start of its tasks than the previous one.
const KILLS: u32 = 20;

pub(crate) async fn twenty_kills_leave_no_container_sandbox_volume_cgroup_or_address(
    world: &Arc<World>,
) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(world, "kills").await?;
    let mut arns = Vec::new();
    for kill in 0..KILLS {
        arns.extend(fleet.run(2).await?);
        if kill % 4 == 3 {
            fleet.stop(&arns[arns.len() - 3..]).await?;
        }
        // Not a wait for a state: this is the time of the kill.
        tokio::time::sleep(Duration::from_millis(u64::from(kill) * 250)).await;
        fleet.emulator.kill()?;
        fleet.emulator.resume().await?;
    }
    let stopped: Vec<String> = (3..KILLS)
        .step_by(4)
        .flat_map(|kill| {
            let end = usize::try_from(kill + 1).unwrap_or(usize::MAX) * 2;
            arns[end - 3..end].to_vec()
        })
        .collect();
    let running: Vec<String> = arns.iter().filter(|arn| !stopped.contains(arn)).cloned().collect();
    fleet.reach(&stopped, "STOPPED").await?;
    fleet.reach(&running, "RUNNING").await?;
    for arn in &running {
        let own = containers_of(arn).await?;
        ensure!(own.len() == 1, "the task {} has the containers {own:?}", aws::id(arn));
    }
    fleet.ends(&running).await?;
    fleet.close().await
}
