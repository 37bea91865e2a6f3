//! Measures every budget of the design, each beside its reference in the same run.
//!
//! `make bench` builds everything in release mode and runs this; `--only WORD` measures the rows whose name has that
//! word. This is not a test: a shared machine is slow at times, so a row over its budget is marked and the exit code
//! stays 0.

mod burst;
mod describe;
mod http;
mod idle;
mod kubelet;
mod logs;
mod plain;
mod pod;
mod report;
mod requests;
mod run_task;
mod scale;
mod start;

use anyhow::Context as _;
use clap::Parser;
use harness::work::Work;

use report::Report;

/// Measures the budgets of the design.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measure only the rows whose name has this word.
    #[arg(long)]
    only: Option<String>,

    /// Serve responses of this many bytes: the reference for the rows of requests, in a process of its own.
    #[arg(long, hide = true)]
    plain_server: Option<usize>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { only, plain_server } = Arguments::parse();
    if let Some(bytes) = plain_server {
        return plain::serve(bytes).await;
    }
    let work = Work::new("bench")?;
    let mut report = Report::begin();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));

    if wanted("start") {
        report.add("start", start::measure(&work).await);
    }
    if wanted("idle") {
        report.add("idle", idle::measure(&work).await);
    }
    if wanted("run-task") {
        report.add("run-task", run_task::measure(&work).await);
    }
    if wanted("burst") {
        report.add("burst", burst::measure(&work).await);
    }
    if wanted("scale") {
        report.add("scale", scale::measure(&work).await);
    }
    if wanted("requests") {
        report.add("requests", requests::measure(&work).await);
    }
    if wanted("describe") {
        report.add("describe", describe::measure(&work).await);
    }
    if wanted("logs") {
        report.add("logs", logs::measure(&work).await);
    }
    if wanted("pod") {
        report.add("pod", pod::measure(&work).await);
    }
    if wanted("kubelet") {
        report.add("kubelet", kubelet::measure().await);
    }
    report.end();
    work.close().context("removing the files of the run")
}
