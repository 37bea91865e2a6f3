//! The disk of the engine is full; the emulator's own is not.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use harness::aws::describe;
use tokio::process::Command;

use crate::world::{Fleet, World};

/// On the engine's disk.
const FILLER: &str = "/var/lib/docker/neargate-test-filler";

/// Fills the disk to its last block. Removed on drop.
struct Full;

impl Full {
    async fn now() -> anyhow::Result<Self> {
        let full = Self;
        // It ends with "no space left", as intended.
        let script =
            format!("dd if=/dev/zero of={FILLER} bs=1M; dd if=/dev/zero of={FILLER}.rest bs=512; sync");
        Command::new("sh").args(["-c", &script]).output().await.context("filling the disk")?;
        let more = Command::new("sh").args(["-c", &format!("echo more >{FILLER}.more")]).output().await?;
        ensure!(!more.status.success(), "the disk is not full");
        Ok(full)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        for file in [FILLER.to_owned(), format!("{FILLER}.rest"), format!("{FILLER}.more")] {
            std::fs::remove_file(file).ok();
        }
    }
}

pub(crate) async fn a_full_disk_under_the_engine_holds_up_no_stop_and_is_survived(
    world: &Arc<World>,
) -> anyhow::Result<()> {
    let (fleet, arns) = Fleet::running(world, "full", 6).await?;
    let full = Full::now().await?;
    let (stopped, running) = arns.split_at(3);
    fleet.stop(stopped).await?;
    // They may fail to start; each has to report it.
    let late = fleet.run(2).await?;
    for arn in &late {
        let task = fleet.task(arn).await?;
        ensure!(
            task.last_status() != Some("STOPPED") || task.stopped_reason().is_some(),
            "{}",
            describe(&task)
        );
    }
    drop(full);
    fleet.reach(stopped, "STOPPED").await?;
    fleet.reach(running, "RUNNING").await?;
    fleet.ends(&[running, &late[..]].concat()).await?;
    fleet.runs_again().await?;
    fleet.close().await
}
