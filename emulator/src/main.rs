//! `neargate`: reads the command line, wires, runs. An error at the start is one line that includes what to do.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use neargate::options::{self, Clean, Command, Doctor, MEMORY, Options, Serve};
use neargate::server::Server;
use neargate::signals::Signals;
use neargate::{ask, clean, doctor};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

/// A request makes hundreds of small allocations: with the C library's allocator they are a fifth of its CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Options::parse().command;
    let done = Runtime::new().context("cannot start threads").and_then(|runtime| {
        let done = runtime.block_on(run(command));
        // A call that still blocks a thread must not delay the exit.
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("neargate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Serve(options) => serve(options).await.map(|()| true),
        Command::Doctor(options) => examine(options).await,
        Command::Clean(options) => tidy(options).await,
        Command::Cost(options) => ask::cost(options).await.map(|()| true),
        Command::Version => {
            println!("neargate {}", env!("CARGO_PKG_VERSION"));
            Ok(true)
        }
    }
}

async fn serve(options: Serve) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_from_env("NEARGATE_LOG").unwrap_or_else(|_| EnvFilter::new("neargate=info,warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();

    let Signals { end, abort } = Signals::listen()?;
    let served = async {
        let server = tokio::select! {
            server = Server::start(options) => server?,
            () = end.cancelled() => return Ok(()),
        };
        println!("neargate: listening on http://{}", server.address());
        server.run(end.cancelled()).await
    };
    tokio::select! {
        served = served => served,
        () = abort.cancelled() => bail!("ended at once by a second signal; the next start on the data directory cleans up"),
    }
}

/// Whether tasks can run here.
async fn examine(options: Doctor) -> anyhow::Result<bool> {
    let Doctor { docker_host, listen, data_dir } = options;
    // Only `serve` creates a temporary data directory: there is nothing to examine.
    let in_memory = data_dir.as_ref().is_some_and(|dir| dir.as_os_str() == MEMORY);
    let data_dir = match data_dir {
        _ if in_memory => None,
        Some(data_dir) => Some(data_dir),
        None => Some(options::data_dir()?),
    };
    let options = doctor::Options { docker_host, listen, data_dir };
    doctor::run(&options, &mut std::io::stdout()).await.context("cannot print")
}

/// Cleans up; whether everything was removed.
async fn tidy(options: Clean) -> anyhow::Result<bool> {
    let Clean { docker_host, data_dir, dry_run } = options;
    Ok(clean::run(&clean::Options { docker_host, data_dir, dry_run }, &mut std::io::stdout()).await?)
}
