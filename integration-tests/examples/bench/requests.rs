//! The emulator's CPU time per request, beside a plain hyper server under the same load with responses of the same size.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use harness::process::{self, Orphaned, Process};
use harness::work::Work;
use harness::{chain, wait};
use serde_json::{Value, json};

use super::report::Row;
use super::{http, idle, plain, scale};

const CONNECTIONS: usize = 16;
/// Tasks that run: one per caller of [`scale::fill`].
const STORED: usize = 8;
/// Tasks that one request describes.
const DESCRIBED: usize = 5;
const TIME: Duration = Duration::from_secs(5);

/// An operation and its budget.
struct Case {
    operation: &'static str,
    input: Value,
    /// Microseconds of CPU time per response.
    cpu: f64,
    per_second: f64,
}

pub(crate) async fn measure(work: &Work) -> anyhow::Result<Vec<Row>> {
    let mut emulator = scale::simulated(work, "requests").await?;
    let endpoint = emulator.endpoint();
    let pid = emulator.pid().context("the emulator does not run")?;
    scale::fill(&endpoint, STORED).await?;
    let listed = http::Connection::open(&endpoint).await?.ecs("ListTasks", &json!({})).await?;
    let tasks = listed["taskArns"].as_array().context("ListTasks returned no list")?;
    let described: Vec<&Value> = tasks.iter().take(DESCRIBED).collect();
    let cases = [
        Case { operation: "ListTasks", input: json!({}), cpu: 22.0, per_second: 48_000.0 },
        Case { operation: "DescribeClusters", input: json!({}), cpu: 22.0, per_second: 48_000.0 },
        Case {
            operation: "DescribeTasks",
            input: json!({"tasks": described}),
            cpu: 35.0,
            per_second: 33_000.0,
        },
    ];
    let mut rows = Vec::new();
    for case in cases {
        rows.push(row(work, &endpoint, pid, case).await?);
    }
    emulator.terminate().await?;
    Ok(rows)
}

async fn row(work: &Work, endpoint: &str, pid: u32, case: Case) -> anyhow::Result<Row> {
    let Case { operation, input, cpu, per_second } = case;
    let mut connection = http::Connection::open(endpoint).await?;
    let bytes = connection.call(&http::ecs(operation), input.to_string().into()).await?.len();
    let ours = cost(work, endpoint, pid, operation, &input).await?;

    let log = work.log(&format!("plain-{operation}"))?;
    let this = std::env::current_exe().context("finding this program")?;
    let mut command = process::command(this, Orphaned::Killed);
    command.args([plain::ARGUMENT, &bytes.to_string()]);
    let mut server = Process::spawn("the plain server", command, log.clone())?;
    let plain = wait::until("the plain server prints its address", wait::seconds(30), async || {
        server.alive().map_err(|error| chain(&error))?;
        let output = std::fs::read_to_string(&log).unwrap_or_default();
        output.lines().find(|line| line.starts_with("http://")).map(str::to_owned).ok_or(output)
    })
    .await?;
    let reference = cost(work, &plain, server.id(), operation, &input).await?;
    server.kill()?;

    let of = if operation == "DescribeTasks" { format!(" of {DESCRIBED}") } else { String::new() };
    Ok(Row {
        what: format!("{operation}{of}, {CONNECTIONS} connections"),
        measured: format!(
            "{:.1} µs CPU = {:.2} ×, {:.0}/s = {:.2} ×",
            ours.cpu,
            ours.cpu / reference.cpu,
            ours.per_second,
            ours.per_second / reference.per_second
        ),
        reference: format!(
            "hyper: {:.1} µs, {:.0}/s ({} B, {})",
            reference.cpu, reference.per_second, bytes, ours.generator
        ),
        budget: format!("≤ {cpu} µs, ≥ {per_second}/s"),
        within: ours.cpu <= cpu && ours.per_second >= per_second,
    })
}

/// The result of a load.
struct Cost {
    /// Microseconds of the server's CPU time per response.
    cpu: f64,
    per_second: f64,
    generator: &'static str,
}

async fn cost(
    work: &Work,
    endpoint: &str,
    pid: u32,
    operation: &'static str,
    input: &Value,
) -> anyhow::Result<Cost> {
    let before = idle::cpu_seconds(pid)?;
    let (generator, calls, per_second) = match wrk(work, endpoint, operation, input)? {
        Some((calls, per_second)) => ("wrk", calls, per_second),
        None => {
            let body = Bytes::from(input.to_string());
            let load =
                http::load(endpoint, CONNECTIONS, TIME, http::ecs(operation), move |_, _| body.clone());
            let load = load.await?;
            ("no wrk: own load", load.calls, load.per_second)
        }
    };
    let cpu = (idle::cpu_seconds(pid)? - before) * 1e6 / calls;
    Ok(Cost { cpu, per_second, generator })
}

/// Responses, in total and per second, measured by wrk, which leaves most of the CPU to the server; `None` if wrk is not
/// installed.
fn wrk(work: &Work, endpoint: &str, operation: &str, input: &Value) -> anyhow::Result<Option<(f64, f64)>> {
    let script = script(work.path(), operation, input)?;
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{}s", TIME.as_secs()), "--script"])
        .arg(script)
        .arg(endpoint)
        .stderr(Stdio::inherit())
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        output => output.context("running wrk")?,
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && !printed.contains("Non-2xx"), "{operation} by wrk: {printed}");
    let line = |part: &str| printed.lines().map(str::trim).find(|line| line.contains(part));
    let calls = line(" requests in ").and_then(|line| line.split(' ').next()?.parse().ok());
    let per_second = line("Requests/sec:").and_then(|line| line.split(':').nth(1)?.trim().parse().ok());
    match calls.zip(per_second) {
        Some(figures) => Ok(Some(figures)),
        None => bail!("wrk reported no number of requests: {printed}"),
    }
}

/// The script from which wrk builds the request.
fn script(folder: &Path, operation: &str, input: &Value) -> anyhow::Result<PathBuf> {
    let path = folder.join(format!("{operation}.lua"));
    let headers = http::headers(&http::ecs(operation))
        .map(|(name, value)| format!("wrk.headers['{name}'] = '{value}'\n"));
    let text = format!("wrk.method = 'POST'\n{}wrk.body = [[{input}]]\n", headers.concat());
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
