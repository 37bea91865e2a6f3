//! Ten thousand tasks at once on the simulated runtime.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use harness::emulator::{Emulator, Options};
use harness::work::Work;
use serde_json::json;

use super::report::Row;
use super::{http::Connection, idle, run_task};

const TASKS: usize = 10_000;
const CALLERS: usize = 8;

pub(crate) async fn measure(work: &Work) -> anyhow::Result<Vec<Row>> {
    let mut emulator = simulated(work, "scale").await?;
    let per_second = fill(&emulator.endpoint(), TASKS).await?;
    let memory = idle::memory(emulator.pid().context("the emulator does not run")?)?;
    emulator.terminate().await?;
    Ok(vec![
        Row {
            what: format!("simulated: {TASKS} tasks, RunTask one by one"),
            measured: format!("{per_second:.0} RunTask/s until all run"),
            reference: format!("{CALLERS} connections"),
            budget: "≥ 500/s".to_owned(),
            within: per_second >= 500.0,
        },
        Row {
            what: format!("simulated: memory with {TASKS} tasks running"),
            measured: format!("{memory:.0} MiB"),
            reference: "resident set".to_owned(),
            budget: "≤ 500 MiB".to_owned(),
            within: memory <= 500.0,
        },
    ])
}

/// An emulator whose tasks have no containers.
pub(crate) async fn simulated(work: &Work, name: &str) -> anyhow::Result<Emulator> {
    let arguments = vec!["--runtime".to_owned(), "simulated".to_owned()];
    Emulator::start(work, name, Options { arguments, ..Options::default() }).await
}

/// Runs `tasks` tasks and waits until all run; returns the number of tasks per second.
pub(crate) async fn fill(endpoint: &str, tasks: usize) -> anyhow::Result<f64> {
    run_task::register(endpoint).await?;
    let begin = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let endpoint = endpoint.to_owned();
        tokio::spawn(async move {
            let mut connection = Connection::open(&endpoint).await?;
            for _ in 0..tasks / CALLERS {
                connection.ecs("RunTask", &run_task::run_task(1)).await?;
            }
            anyhow::Ok(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.context("a caller ended early")??;
    }
    let mut connection = Connection::open(endpoint).await?;
    loop {
        let described = connection.ecs("DescribeClusters", &json!({})).await?;
        let running = described["clusters"][0]["runningTasksCount"].as_u64().unwrap_or(0);
        if usize::try_from(running).unwrap_or(0) >= tasks {
            break;
        }
        ensure!(begin.elapsed() < Duration::from_secs(300), "only {running} of {tasks} tasks run");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of tasks")]
    let per_second = tasks as f64 / begin.elapsed().as_secs_f64();
    Ok(per_second)
}
