//! The CPU time of an emulator while ten tasks run and no request arrives.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use harness::emulator::{Emulator, Options};
use harness::work::Work;

use super::report::Row;
use super::run_task;

const TASKS: usize = 10;
const WATCHED: Duration = Duration::from_secs(30);

pub(crate) async fn measure(work: &Work) -> anyhow::Result<Vec<Row>> {
    let mut emulator = Emulator::start(work, "idle", Options::default()).await?;
    let pid = emulator.pid().context("the emulator does not run")?;
    run_task::register(&emulator.endpoint()).await?;
    for _ in 0..TASKS {
        run_task::to_running(&emulator.endpoint()).await?;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (begin, before) = (Instant::now(), cpu_seconds(pid)?);
    tokio::time::sleep(WATCHED).await;
    let share = (cpu_seconds(pid)? - before) / begin.elapsed().as_secs_f64() * 100.0;
    emulator.terminate().await?;
    Ok(vec![Row {
        what: format!("idle with {TASKS} tasks"),
        measured: format!("{share:.2} % of a core"),
        reference: format!("over {} s", WATCHED.as_secs()),
        budget: "≤ 0.5 %".to_owned(),
        within: share <= 0.5,
    }])
}

/// The CPU time that a process has had, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = read(pid, "stat")?;
    // Behind the name in parentheses, utime and stime are the 12th and 13th fields (proc(5)), in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|ticks| ticks.parse::<f64>().ok());
    Ok((ticks(11).context("no utime")? + ticks(12).context("no stime")?) / 100.0)
}

/// The emulator's resident set, in MiB.
pub(crate) fn memory(pid: u32) -> anyhow::Result<f64> {
    let status = read(pid, "status")?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB"));
    let kibibytes: f64 = kibibytes.context("no VmRSS")?.trim().parse().context("reading VmRSS")?;
    Ok(kibibytes / 1024.0)
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}"))
        .with_context(|| format!("reading /proc/{pid}/{file}"))
}
