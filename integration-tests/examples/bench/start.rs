//! Start → first response, and the memory of an idle emulator.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use harness::process::{self, Orphaned, Process};
use harness::work::Work;

use super::report::{self, Row};
use super::{http::Connection, idle};

const RUNS: usize = 5;

pub(crate) async fn measure(work: &Work) -> anyhow::Result<Vec<Row>> {
    // Free now; it is assumed that no other program takes it before the first start.
    let free = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    let listen = free.local_addr().context("reading a port")?.to_string();
    drop(free);
    let data = work.folder("data-start")?;
    let mut samples = Vec::new();
    let mut memory = 0.0;
    for run in 0..RUNS {
        let (process, millis) = to_first_response(work, &listen, &data).await?;
        samples.push(millis);
        if run + 1 == RUNS {
            // The pool is filled in the background; after this time the emulator is idle.
            tokio::time::sleep(Duration::from_secs(5)).await;
            memory = idle::memory(process.id())?;
        }
        process.terminate().await?;
    }
    let millis = report::median(&mut samples);
    Ok(vec![
        Row {
            what: "start → first response".to_owned(),
            measured: format!("{millis:.0} ms"),
            reference: format!("median of {RUNS}"),
            budget: "≤ 100 ms".to_owned(),
            within: millis <= 100.0,
        },
        Row {
            what: "idle memory".to_owned(),
            measured: format!("{memory:.1} MiB"),
            reference: "resident set".to_owned(),
            budget: "≤ 25 MiB".to_owned(),
            within: memory <= 25.0,
        },
    ])
}

async fn to_first_response(work: &Work, listen: &str, data: &Path) -> anyhow::Result<(Process, f64)> {
    let mut command = process::command(process::binary("neargate")?, Orphaned::Terminated);
    command.args(["serve", "--ephemeral", "--listen", listen, "--data-dir"]).arg(data);
    let begin = Instant::now();
    let process = Process::spawn("start", command, work.log("start")?)?;
    let endpoint = format!("http://{listen}");
    while let Err(error) = first_response(&endpoint).await {
        ensure!(begin.elapsed() < Duration::from_secs(30), "no response: {error:#}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((process, begin.elapsed().as_secs_f64() * 1000.0))
}

async fn first_response(endpoint: &str) -> anyhow::Result<()> {
    let mut connection = Connection::open(endpoint).await?;
    connection.ecs("ListClusters", &serde_json::json!({})).await.map(drop)
}
