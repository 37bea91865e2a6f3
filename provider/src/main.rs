//! `neargate-provider`: reads the command line, wires, runs. An error is one line that includes what to do.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use neargate_provider::{
    options::{Arguments, Options},
    service::Service,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// What a shell reports of a process that a signal ended: 128 and the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

fn main() -> ExitCode {
    let run = || {
        let options = Options::load(Arguments::parse())?;
        let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
        let ended = runtime.block_on(run(options));
        // A name that is still being resolved does not delay the end.
        runtime.shutdown_background();
        ended
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("neargate-provider: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new("info"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();

    let shutdown = CancellationToken::new();
    let terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::spawn(follow(terminate, interrupt, shutdown.clone()));
    let service = tokio::select! {
        service = Service::connect(options) => service?,
        () = shutdown.cancelled() => return Ok(()),
    };
    Ok(service.run(shutdown).await?)
}

/// The first signal ends the provider in order, at any time; the second one at once. Nothing is lost by that: the provider can
/// be killed anywhere.
async fn follow(mut terminate: Signal, mut interrupt: Signal, shutdown: CancellationToken) {
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
        }
    };
    next().await;
    tracing::info!("received a signal; shutting down (a second signal ends the provider at once)");
    shutdown.cancel();
    let signal = next().await;
    std::process::exit(ENDED_BY_SIGNAL + signal.as_raw_value());
}
