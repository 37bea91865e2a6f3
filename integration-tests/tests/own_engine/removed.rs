//! `docker rm -f` by another user: of a container, of a task's sandbox, of an idle one.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use harness::aws::describe;
use harness::{chain, docker, wait};

use crate::world::{Fleet, TIMEOUT, World, containers_of, idle_sandboxes};

pub(crate) async fn a_task_whose_container_is_removed_stops_and_reports_so(
    world: &Arc<World>,
) -> anyhow::Result<()> {
    let (fleet, arns) = Fleet::running(world, "container", 1).await?;
    let containers = containers_of(&arns[0]).await?;
    docker::docker(&["rm", "--force", containers.first().context("the task has no container")?]).await?;
    let tasks = fleet.reach(&arns, "STOPPED").await?;
    let container = &tasks[0].containers()[0];
    ensure!(
        container.exit_code() == Some(137) || container.reason().is_some(),
        "neither an exit code nor a reason: {}",
        describe(&tasks[0])
    );
    fleet.runs_again().await?;
    fleet.close().await
}

pub(crate) async fn a_task_whose_sandbox_is_removed_stops_and_reports_so(
    world: &Arc<World>,
) -> anyhow::Result<()> {
    let (fleet, arns) = Fleet::running(world, "sandbox", 1).await?;
    let containers = containers_of(&arns[0]).await?;
    let container = docker::inspect(containers.first().context("the task has no container")?).await?;
    let mode = container.pointer("/HostConfig/NetworkMode").and_then(serde_json::Value::as_str);
    let sandbox = mode.and_then(|mode| mode.strip_prefix("container:")).context("no sandbox is joined")?;
    docker::docker(&["rm", "--force", sandbox]).await?;
    let tasks = fleet.reach(&arns, "STOPPED").await?;
    ensure!(
        tasks[0].stopped_reason().is_some_and(|reason| !reason.is_empty()),
        "no reason: {}",
        describe(&tasks[0])
    );
    fleet.runs_again().await?;
    fleet.close().await
}

pub(crate) async fn an_idle_sandbox_that_is_removed_costs_no_task(world: &Arc<World>) -> anyhow::Result<()> {
    let fleet = Fleet::start(world, "idle").await?;
    let instance = fleet.emulator.instance().to_owned();
    fleet.runs_again().await?;
    let idle = wait::until("a sandbox is idle", TIMEOUT, async || {
        let idle = idle_sandboxes(&instance).await.map_err(|error| chain(&error))?;
        if idle.is_empty() { Err("none".to_owned()) } else { Ok(idle) }
    })
    .await?;
    for name in &idle {
        docker::docker(&["rm", "--force", name]).await?;
    }
    // At once, so that some of these tasks claim a sandbox that no longer exists.
    fleet.runs_again().await?;
    fleet.close().await
}
