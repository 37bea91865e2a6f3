//! The engine's daemon is killed and hangs under running tasks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use harness::aws::{LOG_GROUP, describe};
use harness::wait;

use crate::world::{Fleet, World, containers_of, engine_responds, systemctl};

const TASKS: i32 = 20;

/// The file of the daemon's settings.
const SETTINGS: &str = "/etc/docker/daemon.json";

async fn live_restore(on: bool) -> anyhow::Result<()> {
    engine_with(&format!("{{\"live-restore\": {on}}}\n")).await
}

/// Restarts the daemon with only these settings.
pub(crate) async fn engine_with(settings: &str) -> anyhow::Result<()> {
    std::fs::write(SETTINGS, settings).context("writing daemon.json")?;
    systemctl(&["restart", "docker"]).await?;
    engine_responds().await
}

pub(crate) async fn usual_engine() -> anyhow::Result<()> {
    engine_with("{}\n").await
}

/// Kills the daemon and starts it again.
pub(crate) async fn die_and_return() -> anyhow::Result<()> {
    systemctl(&["kill", "--signal=KILL", "docker"]).await?;
    systemctl(&["start", "docker"]).await?;
    engine_responds().await
}

pub(crate) async fn a_daemon_that_dies_ends_twenty_tasks_and_the_next_ones_run(
    world: &Arc<World>,
) -> anyhow::Result<()> {
    live_restore(false).await?;
    let (fleet, arns) = Fleet::running(world, "dies", TASKS).await?;
    die_and_return().await?;
    for task in fleet.reach(&arns, "STOPPED").await? {
        let container = &task.containers()[0];
        ensure!(
            container.exit_code().is_some() || container.reason().is_some(),
            "neither an exit code nor a reason: {}",
            describe(&task)
        );
    }
    // The idle sandboxes also died: none of these tasks may get one of them.
    fleet.runs_again().await?;
    fleet.close().await
}

pub(crate) async fn a_daemon_with_live_restore_that_dies_costs_none_of_twenty_tasks(
    world: &Arc<World>,
) -> anyhow::Result<()> {
    live_restore(true).await?;
    let (fleet, arns) = Fleet::running(world, "restored", TASKS).await?;
    let before = containers_of(&arns[0]).await?;
    let lines = fleet.aws.lines(LOG_GROUP, "main", &arns[0]).await?.len();
    die_and_return().await?;
    wait::until("its log continues", crate::world::TIMEOUT, async || {
        let now =
            fleet.aws.lines(LOG_GROUP, "main", &arns[0]).await.map_err(|error| harness::chain(&error))?;
        if now.len() > lines + 5 { Ok(()) } else { Err(format!("{} lines, {lines} before", now.len())) }
    })
    .await?;
    fleet.reach(&arns, "RUNNING").await?;
    ensure!(containers_of(&arns[0]).await? == before, "another container runs");
    fleet.ends(&arns).await?;
    let all = fleet.aws.lines(LOG_GROUP, "main", &arns[0]).await?;
    let expected: Vec<String> = (1..=all.len()).map(|number| format!("line {number:06}")).collect();
    ensure!(all == expected, "a line is lost, doubled or out of order");
    fleet.close().await?;
    live_restore(false).await
}

pub(crate) async fn a_daemon_that_hangs_for_a_minute_holds_up_no_stop_and_ends_no_task(
    world: &Arc<World>,
) -> anyhow::Result<()> {
    let (fleet, arns) = Fleet::running(world, "hangs", TASKS).await?;
    let (stopped, running) = arns.split_at(5);
    systemctl(&["kill", "--signal=STOP", "docker"]).await?;
    let hung = async {
        fleet.stop(stopped).await?;
        wait::throughout("the tasks are shown RUNNING", Duration::from_secs(60), async || {
            for arn in running {
                let task = fleet.task(arn).await.map_err(|error| harness::chain(&error))?;
                if task.last_status() != Some("RUNNING") {
                    return Err(describe(&task));
                }
            }
            Ok(())
        })
        .await
    }
    .await;
    systemctl(&["kill", "--signal=CONT", "docker"]).await?;
    hung?;
    engine_responds().await?;
    fleet.reach(stopped, "STOPPED").await?;
    fleet.reach(running, "RUNNING").await?;
    fleet.runs_again_beside(running).await?;
    fleet.ends(running).await?;
    fleet.close().await
}
