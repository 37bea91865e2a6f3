//! Twenty tasks at once: RunTask until all are RUNNING, and StopTask until all are STOPPED, beside the same twenty
//! containers by the engine's own API, eight in parallel, on its bridge with the same limits.
//!
//! A round has a fresh server: burst, stop, and the burst again. The engine is measured before each, so that both have the
//! same conditions.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bollard::Docker;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptionsBuilder};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use harness::docker;
use harness::emulator::{Emulator, Options};
use harness::work::Work;
use serde_json::json;

use super::http::Connection;
use super::report::{self, Row};
use super::run_task;

const TASKS: usize = 20;
const AT_ONCE: usize = 8;
const ROUNDS: usize = 3;

/// RunTask accepts at most ten.
const PER_CALL: u32 = 10;

/// A phase ends within this time, or the measurement fails.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The pool counts as filled if no sandbox has been created or removed for this time.
const QUIET: Duration = Duration::from_secs(4);

/// The seconds of a phase, ours and the engine's, round by round.
#[derive(Default)]
struct Phase {
    ours: Vec<f64>,
    engine: Vec<f64>,
}

impl Phase {
    fn row(mut self, what: &str, reference: &str, factor: f64) -> Row {
        let (ours, engine) = (report::median(&mut self.ours), report::median(&mut self.engine));
        Row {
            what: what.to_owned(),
            measured: format!("{ours:.2} s = {:.2} ×", ours / engine),
            reference: format!("{engine:.2} s {reference}"),
            budget: format!("≤ {factor} ×"),
            within: ours <= factor * engine,
        }
    }
}

pub(crate) async fn measure(work: &Work) -> anyhow::Result<Vec<Row>> {
    let engine = Docker::connect_with_defaults().context("connecting to the engine")?;
    let (mut fresh, mut stop, mut again) = (Phase::default(), Phase::default(), Phase::default());
    for round in 0..ROUNDS {
        let options = Options { sandbox_pool: None, ..Options::default() };
        let mut emulator = Emulator::start(work, &format!("burst-{round}"), options).await?;
        run_task::register(&emulator.endpoint()).await?;
        pool_is_filled(&emulator).await?;
        for burst in [&mut fresh, &mut again] {
            let begin = Instant::now();
            let containers = containers(&engine).await?;
            burst.engine.push(begin.elapsed().as_secs_f64());
            let begin = Instant::now();
            end(&engine, containers).await?;
            stop.engine.push(begin.elapsed().as_secs_f64());

            let mut connection = Connection::open(&emulator.endpoint()).await?;
            let begin = Instant::now();
            let tasks = tasks(&mut connection).await?;
            reach(&mut connection, &tasks, "RUNNING").await?;
            burst.ours.push(begin.elapsed().as_secs_f64());
            // The refill after the burst is not part of a stop.
            pool_is_filled(&emulator).await?;
            let begin = Instant::now();
            for task in &tasks {
                connection.ecs("StopTask", &json!({"task": task})).await?;
            }
            reach(&mut connection, &tasks, "STOPPED").await?;
            stop.ours.push(begin.elapsed().as_secs_f64());
            pool_is_filled(&emulator).await?;
        }
        emulator.terminate().await?;
    }
    Ok(vec![
        fresh.row("20 tasks at once, fresh server", "create + start, 8 in parallel", 1.0),
        again.row("20 tasks at once, again", "create + start, 8 in parallel", 0.6),
        stop.row("20 tasks stopped, sandboxes removed later", "stop + remove, 8 in parallel", 1.2),
    ])
}

/// Runs the tasks; returns their ARNs.
async fn tasks(connection: &mut Connection) -> anyhow::Result<Vec<String>> {
    let mut arns = Vec::new();
    while arns.len() < TASKS {
        let ran = connection.ecs("RunTask", &run_task::run_task(PER_CALL)).await?;
        let tasks = ran["tasks"].as_array().context("RunTask returned no tasks")?;
        ensure!(!tasks.is_empty(), "RunTask: {ran}");
        arns.extend(tasks.iter().filter_map(|task| task["taskArn"].as_str().map(str::to_owned)));
    }
    Ok(arns)
}

async fn reach(connection: &mut Connection, tasks: &[String], status: &str) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let described = connection.ecs("DescribeTasks", &json!({"tasks": tasks})).await?;
        let described = described["tasks"].as_array().context("DescribeTasks returned no tasks")?;
        let reached = described.iter().filter(|task| task["lastStatus"] == status).count();
        if reached == tasks.len() {
            return Ok(());
        }
        if let Some(task) =
            described.iter().find(|task| status == "RUNNING" && task["lastStatus"] == "STOPPED")
        {
            bail!("a task stopped: {task}");
        }
        ensure!(begin.elapsed() < TIMEOUT, "{reached} of {} are {status}", tasks.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same with the engine's API; returns the containers' ids.
async fn containers(engine: &Docker) -> anyhow::Result<Vec<String>> {
    let started = stream::iter(0..TASKS).map(|_| run_task::create_and_start(engine, run_task::BRIDGE));
    started.buffer_unordered(AT_ONCE).try_collect().await
}

async fn end(engine: &Docker, containers: Vec<String>) -> anyhow::Result<()> {
    let ended = stream::iter(containers).map(Ok::<_, anyhow::Error>);
    ended
        .try_for_each_concurrent(AT_ONCE, async |id| {
            let timeout = StopContainerOptionsBuilder::default().t(30).build();
            engine.stop_container(&id, Some(timeout)).await.context("stopping a container")?;
            let force = RemoveContainerOptionsBuilder::default().force(true).build();
            engine.remove_container(&id, Some(force)).await.context("removing a container")
        })
        .await
}

/// Waits until the number of the emulator's containers stays the same.
async fn pool_is_filled(emulator: &Emulator) -> anyhow::Result<()> {
    let filter = format!("label=neargate.instance={}", emulator.instance());
    let begin = Instant::now();
    let (mut before, mut since) = (None, Instant::now());
    loop {
        let containers = docker::docker(&["ps", "--all", "--quiet", "--filter", &filter]).await?;
        if before.as_ref() != Some(&containers) {
            (before, since) = (Some(containers), Instant::now());
        }
        if since.elapsed() >= QUIET {
            return Ok(());
        }
        ensure!(
            begin.elapsed() < TIMEOUT,
            "the number of containers still changes after {} s",
            TIMEOUT.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
